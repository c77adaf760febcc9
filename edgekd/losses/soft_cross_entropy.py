"""Cross-entropy with the teacher's softened distribution as the target."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from edgekd.losses.base import Facts, Loss, Outputs, valid
from edgekd.losses.kd import check_temperature
from edgekd.losses.logit_rows import check_logits, pair
from edgekd.schedule import Schedule


def soft_cross_entropy_loss(
    student: Tensor, teacher: Tensor, *, temperature: float, mask: Tensor | None = None
) -> Tensor:
    r"""Return the cross-entropy on soft targets, as Hinton et al. write it.

    .. math:: -T^2 \frac{1}{N} \sum_n \sum_c p^t_{nc} \log p^s_{nc},
        \quad p = \mathrm{softmax}(z / T)

    "Distilling the Knowledge in a Neural Network", 2015, section 2,
    https://arxiv.org/abs/1503.02531. It is `kd_loss` plus the entropy of the teacher, which the
    student cannot change: the gradients are the same, but a perfect student does not reach 0.

    Args:
        student: (N, C) or (N, L, C) logits, with gradients.
        teacher: logits of the same shape; no gradient flows into them.
        temperature: :math:`T > 0`.
        mask: (N, L), False at padding; the mean is then over the tokens that count.

    Returns:
        A scalar, computed in float32 at least.

    Example (softmax(0.5, 0) = 0.622459, 0.377541; log softmax(1, 0) = -0.313262, -1.313262):
        >>> import torch
        >>> ours, theirs = torch.tensor([[2.0, 0.0]]), torch.tensor([[1.0, 0.0]])
        >>> value = soft_cross_entropy_loss(ours, theirs, temperature=2.0)
        >>> round(value.item() / 4, 4)
        0.6908
    """
    log_student = functional.log_softmax(valid(student, mask) / temperature, dim=-1)
    soft = functional.softmax(valid(teacher.detach(), mask) / temperature, dim=-1)
    return -(soft * log_student).sum(-1).mean() * temperature**2


class SoftCrossEntropy(Loss):
    """Cross-entropy on soft targets at a temperature; see `soft_cross_entropy_loss`.

    Args:
        temperature: above 0, or a schedule.
        standardise: standardise the logits of each sample first; see `standardised`.

    Shapes: logits (N, C) or (N, L, C) of both, gives a scalar.
    """

    def __init__(self, *, temperature: float | Schedule = 4.0, standardise: bool = False) -> None:
        """Check and store the options."""
        super().__init__()
        self.temperature = check_temperature(temperature)
        self.standardise = standardise

    def build(self, facts: Facts) -> None:
        """Check that the logits can be compared; see `Loss.build`."""
        check_logits(facts, "soft-cross-entropy")

    def forward(self, student: Outputs, teacher: Outputs | None, target: Tensor) -> Tensor:
        """Return the loss; see `Loss.forward`."""
        rows = pair(student, teacher, "soft-cross-entropy", standardise=self.standardise)
        return soft_cross_entropy_loss(*rows, temperature=self.now(self.temperature))
