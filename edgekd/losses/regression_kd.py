"""Distillation of regression: the teacher's values as targets, or as a bound."""

from __future__ import annotations

import torch
from torch import Tensor

from edgekd.errors import EdgekdError
from edgekd.losses.base import Facts, Loss, Outputs, valid
from edgekd.losses.logit_rows import check_logits, pair, token_mask, value_rows
from edgekd.losses.regression import Distance, check_distance, distances
from edgekd.schedule import Schedule, as_value


def regression_kd_loss(
    student: Tensor,
    teacher: Tensor,
    *,
    distance: Distance = "mse",
    delta: float = 1.0,
    mask: Tensor | None = None,
) -> Tensor:
    r"""Return the mean distance of the student's values from the teacher's.

    .. math:: \frac{1}{N} \sum_n \frac{1}{D} \sum_d \ell(z^s_{nd} - z^t_{nd})

    Compared with other ways to distil regression by Saputra et al., "Distilling Knowledge From a
    Deep Pose Regressor Network", ICCV 2019, https://arxiv.org/abs/1908.00858.

    Args:
        student: (N, D) or (N, L, D) values, with gradients.
        teacher: values of the same shape; no gradient flows into them.
        distance: ``mse``, ``l1`` or ``huber``; see `distances`.
        delta: of ``huber``.
        mask: (N, L), False at padding; the mean is then over the tokens that count.

    Returns:
        A scalar, computed in float32 at least.

    Example (differences 1 and -3):
        >>> ours, theirs = torch.tensor([[2.0, 0.0]]), torch.tensor([[1.0, 3.0]])
        >>> round(regression_kd_loss(ours, theirs, distance="l1").item(), 6)
        2.0
    """
    ours, theirs = valid(student, mask), valid(teacher.detach(), mask)
    return distances(ours, theirs, distance, delta=delta).mean()


def bounded_regression_loss(
    student: Tensor,
    teacher: Tensor,
    target: Tensor,
    *,
    margin: float = 0.0,
    distance: Distance = "mse",
    delta: float = 1.0,
    mask: Tensor | None = None,
) -> Tensor:
    r"""Return the distance from the true values where the student is worse than its teacher.

    .. math:: \frac{1}{N} \sum_n \ell^s_n [\ell^s_n + m > \ell^t_n],
        \quad \ell_n = \frac{1}{D} \sum_d \ell(z_{nd} - y_{nd})

    Chen et al., "Learning Efficient Object Detection Models with Knowledge Distillation", NIPS
    2017, equation 5. They have squares summed over the outputs; here a sample's distance is a
    mean over them, and so is what the margin is compared with. The teacher's values may be far
    off for single samples: the student hears of the truth alone, until it is better than the
    teacher by the margin.

    Args:
        student: (N, D) or (N, L, D) values, with gradients.
        teacher: values of the same shape; no gradient flows into them.
        target: values of the same shape, without the last axis where D is 1; or class indices.
        margin: :math:`m`, at least 0.
        distance: ``mse``, ``l1`` or ``huber``; see `distances`.
        delta: of ``huber``.
        mask: (N, L), False at padding; the mean is then over the tokens that count.

    Returns:
        A scalar, computed in float32 at least.

    Example (errors 4 and 1 of the student, 1 and 9 of the teacher: only the first counts):
        >>> ours, theirs = torch.tensor([[2.0], [1.0]]), torch.tensor([[1.0], [3.0]])
        >>> round(bounded_regression_loss(ours, theirs, torch.zeros(2)).item(), 6)
        2.0
    """
    wanted = value_rows(target, student, mask, "regression-kd")
    ours = distances(valid(student, mask), wanted, distance, delta=delta)
    theirs = distances(valid(teacher.detach(), mask), wanted, distance, delta=delta)
    return torch.where(ours + margin > theirs, ours, torch.zeros_like(ours)).mean()


class RegressionKD(Loss):
    """Distance from the teacher's values, or a bound by them.

    See `regression_kd_loss` and `bounded_regression_loss`. Values are never standardised: their
    size is what is predicted.

    Args:
        distance: ``mse``, ``l1`` or ``huber``.
        delta: where ``huber`` turns from squares to absolute values.
        bounded: the distance is from the true values, and counts only where the student is not
            yet better than the teacher by the margin.
        margin: at least 0, or a schedule; in the units of the distance. For ``bounded`` only.

    Shapes: values (N, D) or (N, L, D) of both, and target as for `Regression` where bounded;
    gives a scalar.
    """

    def __init__(
        self,
        *,
        distance: Distance = "mse",
        delta: float = 1.0,
        bounded: bool = False,
        margin: float | Schedule = 0.0,
    ) -> None:
        """Check and store the options."""
        super().__init__()
        check_distance(distance, delta)
        self.distance: Distance = distance
        self.delta = delta
        self.bounded = self.needs_labels = bounded
        self.margin = as_value(margin)
        least = self.margin.least() if isinstance(self.margin, Schedule) else self.margin
        if not least >= 0.0:
            raise EdgekdError(f"margin must be at least 0, not {least}")
        if self.margin != 0.0 and not bounded:
            raise EdgekdError("margin is for the bounded form", hint="Set bounded = true as well.")

    def build(self, facts: Facts) -> None:
        """Check that the values can be compared; see `Loss.build`."""
        check_logits(facts, "regression-kd")

    def forward(self, student: Outputs, teacher: Outputs | None, target: Tensor) -> Tensor:
        """Return the loss; see `Loss.forward`."""
        ours, theirs = pair(student, teacher, "regression-kd")
        if not self.bounded:
            return regression_kd_loss(ours, theirs, distance=self.distance, delta=self.delta)
        wanted = value_rows(target, student.logits, token_mask(student), "regression-kd")
        return bounded_regression_loss(
            ours,
            theirs,
            wanted,
            margin=self.now(self.margin),
            distance=self.distance,
            delta=self.delta,
        )
