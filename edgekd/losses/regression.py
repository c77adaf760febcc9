"""Regression of the true values."""

from __future__ import annotations

from typing import ClassVar, Literal, get_args

from torch import Tensor
from torch.nn import functional

from edgekd.errors import EdgekdError
from edgekd.losses.base import Loss, Outputs, valid
from edgekd.losses.logit_rows import token_mask, value_rows

Distance = Literal["mse", "l1", "huber"]


def distances(ours: Tensor, wanted: Tensor, kind: Distance, *, delta: float = 1.0) -> Tensor:
    r"""Return how far each sample is off: a mean over its outputs.

    ``mse`` is :math:`d^2`, ``l1`` is :math:`|d|`, ``huber`` is :math:`d^2 / 2` up to
    :math:`|d| = \delta` and :math:`\delta (|d| - \delta / 2)` beyond.

    Args:
        ours: (M, D).
        wanted: (M, D).
        kind: which distance.
        delta: of ``huber``.

    Returns:
        (M,).

    Example (differences 0.5 and 3: 0.125 and 2.5):
        >>> import torch
        >>> ours, wanted = torch.tensor([[0.5, 3.0]]), torch.zeros(1, 2)
        >>> round(distances(ours, wanted, "huber").item(), 6)
        1.3125
    """
    if kind == "mse":
        each = (ours - wanted).square()
    elif kind == "l1":
        each = (ours - wanted).abs()
    else:
        each = functional.huber_loss(ours, wanted, reduction="none", delta=delta)
    return each.mean(-1)


def check_distance(kind: Distance, delta: float) -> None:
    """Refuse what is no distance.

    Raises:
        EdgekdError: the name is unknown, or ``delta`` is not above 0.
    """
    if kind not in get_args(Distance):
        raise EdgekdError(f"distance must be one of {', '.join(get_args(Distance))}, not {kind!r}")
    if not delta > 0.0:
        raise EdgekdError(f"delta must be above 0, not {delta}")


def regression_loss(
    outputs: Tensor,
    target: Tensor,
    *,
    distance: Distance = "mse",
    delta: float = 1.0,
    mask: Tensor | None = None,
) -> Tensor:
    r"""Return the mean distance of outputs from true values.

    .. math:: \frac{1}{N} \sum_n \frac{1}{D} \sum_d \ell(z_{nd} - y_{nd})

    Class indices become one-hot vectors, so that classifiers may be trained with squares; Hui
    and Belkin, "Evaluation of Neural Architectures Trained with Square Loss vs Cross-Entropy in
    Classification Tasks", 2020, https://arxiv.org/abs/2006.07322.

    Args:
        outputs: (N, D) or (N, L, D), with gradients.
        target: values of the same shape, without the last axis where D is 1; or class indices.
        distance: ``mse``, ``l1`` or ``huber``; see `distances`.
        delta: of ``huber``.
        mask: (N, L), False at padding; the mean is then over the tokens that count.

    Returns:
        A scalar, computed in float32 at least.

    Example (errors 1 and 3, one output each):
        >>> import torch
        >>> round(regression_loss(torch.tensor([[2.0], [0.0]]), torch.tensor([1.0, 3.0])).item(), 6)
        5.0
    """
    wanted = value_rows(target, outputs, mask, "regression")
    return distances(valid(outputs, mask), wanted, distance, delta=delta).mean()


class Regression(Loss):
    """Distance from the true values; see `regression_loss`.

    Args:
        distance: ``mse``, ``l1`` or ``huber``.
        delta: where ``huber`` turns from squares to absolute values.

    Shapes: outputs (N, D) and target (N, D), or (N,) where D is 1, or class indices (N,); with
    tokens (N, L, D) and alike; gives a scalar.
    """

    needs_teacher: ClassVar[bool] = False
    needs_labels = True

    def __init__(self, *, distance: Distance = "mse", delta: float = 1.0) -> None:
        """Check and store the options."""
        super().__init__()
        check_distance(distance, delta)
        self.distance: Distance = distance
        self.delta = delta

    def forward(self, student: Outputs, teacher: Outputs | None, target: Tensor) -> Tensor:
        """Return the loss; see `Loss.forward`."""
        return regression_loss(
            student.logits,
            target,
            distance=self.distance,
            delta=self.delta,
            mask=token_mask(student),
        )
