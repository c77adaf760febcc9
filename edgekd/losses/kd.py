"""Knowledge distillation: KL divergence from the teacher's softened distribution."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.nn import functional

from edgekd.errors import EdgekdError
from edgekd.losses.base import Facts, Loss, Outputs, valid
from edgekd.losses.logit_rows import check_logits, pair
from edgekd.schedule import Schedule, as_value


def kd_loss(
    student: Tensor, teacher: Tensor, *, temperature: float, mask: Tensor | None = None
) -> Tensor:
    r"""Return the distillation loss of Hinton et al.

    .. math:: T^2 \frac{1}{N} \sum_n \sum_c p^t_{nc} (\log p^t_{nc} - \log p^s_{nc}),
        \quad p = \mathrm{softmax}(z / T)

    "Distilling the Knowledge in a Neural Network", 2015, https://arxiv.org/abs/1503.02531.
    The factor :math:`T^2` keeps the size of the gradients independent of the temperature; the
    mean is over samples, never over samples times classes.

    Args:
        student: (N, C) or (N, L, C) logits, with gradients.
        teacher: logits of the same shape; no gradient flows into them.
        temperature: :math:`T > 0`.
        mask: (N, L), False at padding; the mean is then over the tokens that count.

    Returns:
        A scalar, computed in float32 at least, also under mixed precision.

    Example (softmax(0.5, 0) = 0.622459, 0.377541; the KL from it to 0.5, 0.5 is 0.0303):
        >>> import torch
        >>> value = kd_loss(torch.zeros(1, 2), torch.tensor([[1.0, 0.0]]), temperature=2.0)
        >>> round(value.item() / 4, 6)
        0.0303
    """
    log_student = functional.log_softmax(valid(student, mask) / temperature, dim=-1)
    log_teacher = functional.log_softmax(valid(teacher.detach(), mask) / temperature, dim=-1)
    divergence = functional.kl_div(log_student, log_teacher, log_target=True, reduction="none")
    return divergence.sum(-1).mean() * temperature**2


def check_temperature(temperature: float | Schedule | dict[str, Any]) -> float | Schedule:
    """Read a temperature or its schedule.

    Raises:
        EdgekdError: it is not above 0 all along.
    """
    found = as_value(temperature)
    least = found.least() if isinstance(found, Schedule) else found
    if not least > 0.0:
        raise EdgekdError(f"temperature must be above 0, not {least}")
    return found


class KD(Loss):
    """KL divergence from the teacher at a temperature; see `kd_loss`.

    Args:
        temperature: above 0, or a schedule. Higher ones show more of how the teacher ranks wrong
            classes.
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
        check_logits(facts, "kd")

    def forward(self, student: Outputs, teacher: Outputs | None, target: Tensor) -> Tensor:
        """Return the loss; see `Loss.forward`."""
        rows = pair(student, teacher, "kd", standardise=self.standardise)
        return kd_loss(*rows, temperature=self.now(self.temperature))
