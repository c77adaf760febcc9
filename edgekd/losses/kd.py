"""Knowledge distillation: KL divergence from the teacher's softened distribution."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from edgekd.errors import EdgekdError
from edgekd.losses.base import Loss, Outputs


def kd_loss(student: Tensor, teacher: Tensor, *, temperature: float) -> Tensor:
    r"""Return the distillation loss of Hinton et al.

    .. math:: T^2 \frac{1}{N} \sum_n \sum_c p^t_{nc} (\log p^t_{nc} - \log p^s_{nc}),
        \quad p = \mathrm{softmax}(z / T)

    "Distilling the Knowledge in a Neural Network", 2015, https://arxiv.org/abs/1503.02531.
    The factor :math:`T^2` keeps the size of the gradients independent of the temperature; the
    mean is over samples, never over samples times classes.

    Args:
        student: (N, C) logits, with gradients.
        teacher: (N, C) logits; no gradient flows into them.
        temperature: :math:`T > 0`.

    Returns:
        A scalar, computed in float32 at least, also under mixed precision.

    Example (softmax(0.5, 0) = 0.622459, 0.377541; the KL from it to 0.5, 0.5 is 0.0303):
        >>> import torch
        >>> value = kd_loss(torch.zeros(1, 2), torch.tensor([[1.0, 0.0]]), temperature=2.0)
        >>> round(value.item() / 4, 6)
        0.0303
    """
    log_student = functional.log_softmax(_at_least_float32(student) / temperature, dim=-1)
    log_teacher = functional.log_softmax(_at_least_float32(teacher.detach()) / temperature, dim=-1)
    divergence = functional.kl_div(log_student, log_teacher, log_target=True, reduction="none")
    return divergence.sum(-1).mean() * temperature**2


def _at_least_float32(logits: Tensor) -> Tensor:
    return logits.float() if logits.dtype.itemsize < 4 else logits


class KD(Loss):
    """KL divergence from the teacher at a temperature; see `kd_loss`.

    Args:
        temperature: above 0. Higher ones show more of how the teacher ranks wrong classes.

    Shapes: logits (N, C) of both, gives a scalar.
    """

    def __init__(self, *, temperature: float = 4.0) -> None:
        """Check and store the temperature."""
        super().__init__()
        if not temperature > 0.0:
            raise EdgekdError(f"temperature must be above 0, not {temperature}")
        self.temperature = temperature

    def forward(self, student: Outputs, teacher: Outputs | None, target: Tensor) -> Tensor:
        """Return the loss; see `Loss.forward`."""
        if teacher is None:
            raise EdgekdError("the loss 'kd' needs a teacher")
        return kd_loss(student.logits, teacher.logits, temperature=self.temperature)
