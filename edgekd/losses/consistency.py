"""Consistency: the student says of one view what the teacher says of another."""

from __future__ import annotations

from torch import Tensor

from edgekd.losses.base import Facts, Loss, Outputs, valid
from edgekd.losses.kd import check_temperature
from edgekd.losses.logit_rows import check_logits, pair
from edgekd.schedule import Schedule


def consistency_loss(
    student: Tensor, teacher: Tensor, *, temperature: float = 1.0, mask: Tensor | None = None
) -> Tensor:
    r"""Return the mean squared difference of the probabilities.

    .. math:: \frac{1}{N C} \sum_n \sum_c (p^s_{nc} - p^t_{nc})^2,
        \quad p = \mathrm{softmax}(z / T)

    The consistency cost of "Mean teachers are better role models", Tarvainen and Valpola 2017,
    https://arxiv.org/abs/1703.01780, after Laine and Aila 2017, https://arxiv.org/abs/1610.02242.
    It is bounded, so a teacher that is sure and wrong early on pulls less than by a divergence.

    Args:
        student: (N, C) or (N, L, C) logits, with gradients.
        teacher: logits of the same shape; no gradient flows into them.
        temperature: :math:`T > 0`.
        mask: (N, L), False at padding; the mean is then over the tokens that count.

    Returns:
        A scalar, computed in float32 at least.

    Example (softmax(1, 0) = 0.731059, 0.268941; both differ from 0.5 by 0.231059):
        >>> import torch
        >>> value = consistency_loss(torch.zeros(1, 2), torch.tensor([[1.0, 0.0]]))
        >>> round(value.item(), 6)
        0.053388
    """
    ours = (valid(student, mask) / temperature).softmax(dim=-1)
    theirs = (valid(teacher.detach(), mask) / temperature).softmax(dim=-1)
    return (ours - theirs).square().mean()


class Consistency(Loss):
    """Mean squared difference of the probabilities; see `consistency_loss`.

    Args:
        temperature: above 0, or a schedule.

    Shapes: logits (N, C) or (N, L, C) of both, gives a scalar.
    """

    def __init__(self, *, temperature: float | Schedule = 1.0) -> None:
        """Check and store the temperature."""
        super().__init__()
        self.temperature = check_temperature(temperature)

    def build(self, facts: Facts) -> None:
        """Check that the logits can be compared; see `Loss.build`."""
        check_logits(facts, "consistency")

    def forward(self, student: Outputs, teacher: Outputs | None, target: Tensor) -> Tensor:
        """Return the loss; see `Loss.forward`."""
        rows = pair(student, teacher, "consistency")
        return consistency_loss(*rows, temperature=self.now(self.temperature))
