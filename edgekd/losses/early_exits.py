"""Deep supervision of early exits: labels, and what the end of the network says."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional

from edgekd.errors import EdgekdError, RecipeError
from edgekd.losses.base import Facts, Loss, Outputs, valid
from edgekd.losses.kd import check_temperature, kd_loss
from edgekd.losses.logit_rows import check_logits, label_rows
from edgekd.schedule import Schedule

Teach = Literal["self", "teacher", "both"]


def early_exit_loss(
    logits: Tensor,
    teachers: list[Tensor],
    target: Tensor,
    *,
    alpha: float,
    temperature: float,
    label_smoothing: float = 0.0,
) -> Tensor:
    r"""Return the loss of one exit.

    .. math:: (1 - \alpha) \, \mathrm{CE}(p, y)
        + \frac{\alpha}{K} \sum_k T^2 \, \mathrm{KL}(p^k_T \Vert p_T)

    with :math:`p` the exit's softmax and :math:`p_T` that of its logits over :math:`T`. Zhang et
    al., "Be Your Own Teacher: Improve the Performance of Convolutional Neural Networks via Self
    Distillation", ICCV 2019, https://arxiv.org/abs/1905.08094, equation 6 without its last term
    (hints between features), and with the factor :math:`T^2` of `kd_loss`.

    Args:
        logits: (N, C) of the exit, with gradients.
        teachers: K logits (N, C); no gradient flows into them. With none, the labels count whole.
        target: (N,) class indices, or (N, C) probabilities.
        alpha: the share of the teachers, between 0 and 1.
        temperature: of both softmaxes, above 0.
        label_smoothing: of the cross-entropy.

    Returns:
        A scalar, the mean over samples, computed in float32 at least.

    Example (cross-entropy 0.693147 of (0, 0), and 4 times KL 0.0303 from (1, 0) at T = 2):
        >>> import torch
        >>> teacher = torch.tensor([[1.0, 0.0]])
        >>> options = {"alpha": 0.25, "temperature": 2.0}
        >>> value = early_exit_loss(torch.zeros(1, 2), [teacher], torch.tensor([0]), **options)
        >>> round(value.item(), 4)
        0.5502
    """
    rows = valid(logits, None)
    wanted = label_rows(target, logits, None, "early-exits")
    if wanted.is_floating_point():
        wanted = wanted.to(rows.dtype)
    labels = functional.cross_entropy(rows, wanted, label_smoothing=label_smoothing)
    if not teachers:
        return labels
    taught = torch.stack([kd_loss(rows, other, temperature=temperature) for other in teachers])
    return (1.0 - alpha) * labels + alpha * taught.mean()


class EarlyExits(Loss):
    """Labels and a teacher for every early exit, summed over the exits; see `early_exit_loss`.

    The network's own end is no exit here: give it a loss of its own, e.g. ``cross-entropy``.

    Args:
        alpha: the share of what teaches beside the labels, between 0 and 1.
        temperature: above 0, or a schedule.
        teach: who teaches the exits: ``self``, the network's own end, detached; ``teacher``, the
            frozen teacher; or ``both``, half and half. A student that is trained without its
            teacher for comparison learns from ``self`` where this says ``both``, and from the
            labels alone where it says ``teacher``.
        label_smoothing: of the cross-entropy.
        exits: how many there are; a recipe fills it in.

    Shapes: ``exits.0``, ... and logits (N, C), of the teacher too, and target (N,) or (N, C);
    gives a scalar.
    """

    needs_teacher: ClassVar[bool] = False
    needs_labels = True

    def __init__(
        self,
        *,
        alpha: float = 0.5,
        temperature: float | Schedule = 3.0,
        teach: Teach = "self",
        label_smoothing: float = 0.0,
        exits: int = 0,
    ) -> None:
        """Check and store the options."""
        super().__init__()
        if not 0.0 <= alpha <= 1.0:
            raise EdgekdError(f"early-exits: alpha must be in [0, 1], not {alpha}")
        if not 0.0 <= label_smoothing < 1.0:
            raise EdgekdError(f"label_smoothing must be in [0, 1), not {label_smoothing}")
        if teach not in ("self", "teacher", "both"):
            raise EdgekdError(f"early-exits: teach is self, teacher or both, not {teach!r}")
        self.alpha = alpha
        self.temperature = check_temperature(temperature)
        self.teach = teach
        self.label_smoothing = label_smoothing
        self.names = tuple(f"exits.{number}" for number in range(exits))

    def layers(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the exits, which are captured like any layer; see `Loss.layers`."""
        return self.names, ()

    def build(self, facts: Facts) -> None:
        """Check that there are exits, and that logits can be compared; see `Loss.build`.

        Raises:
            RecipeError: they cannot.
        """
        if not self.names or len(facts.student_logits) != 1:
            raise RecipeError(
                "loss 'early-exits'",
                ["it needs a student with exits, and one prediction a sample"],
                hint="Add [student.exits] to the recipe.",
            )
        if self.teach != "self":
            check_logits(facts, "early-exits")

    def forward(self, student: Outputs, teacher: Outputs | None, target: Tensor) -> Tensor:
        """Return the loss; see `Loss.forward`."""
        found: list[Tensor] = []
        if self.teach != "teacher":
            found.append(student.logits.detach())
        if self.teach != "self" and teacher is not None:
            found.append(teacher.logits.detach())
        terms = [
            early_exit_loss(
                student.features[name],
                found,
                target,
                alpha=self.alpha,
                temperature=self.now(self.temperature),
                label_smoothing=self.label_smoothing,
            )
            for name in self.names
        ]
        return torch.stack(terms).sum()
