"""Self-distillation without labels: a sharpened and centred teacher (DINO)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from edgekd.errors import EdgekdError
from edgekd.losses.base import Facts, Loss, Outputs, valid
from edgekd.losses.kd import check_temperature
from edgekd.losses.logit_rows import check_logits, pair
from edgekd.schedule import Schedule


def dino_loss(
    student: Tensor,
    teacher: Tensor,
    centre: Tensor,
    *,
    temperature: float,
    teacher_temperature: float,
    mask: Tensor | None = None,
) -> Tensor:
    r"""Return the cross-entropy with a sharpened and centred teacher.

    .. math:: -\frac{1}{N} \sum_n \sum_c q_{nc} \log p_{nc}, \quad
        q = \mathrm{softmax}((z^t - c) / \tau_t), \quad p = \mathrm{softmax}(z^s / \tau_s)

    "Emerging properties in self-supervised vision transformers", Caron et al. 2021,
    https://arxiv.org/abs/2104.14294, Eq. 1 and 4. Without labels every constant is a solution.
    The low :math:`\tau_t` keeps answers from becoming uniform, the centre :math:`c` keeps one
    class from taking all samples; each prevents what the other would lead to.

    Args:
        student: (N, C) or (N, L, C) logits of one view, with gradients.
        teacher: logits of another view, of the same shape; no gradient flows into them.
        centre: (C,) the running mean of the teacher's logits.
        temperature: :math:`\tau_s > 0`.
        teacher_temperature: :math:`\tau_t > 0`; below the student's, it sharpens.
        mask: (N, L), False at padding; the mean is then over the tokens that count.

    Returns:
        A scalar, computed in float32 at least.

    Example (centred, both of the teacher's logits are 0, and its answer is 0.5, 0.5):
        >>> import torch
        >>> ours, theirs = torch.tensor([[0.1, 0.0]]), torch.tensor([[1.0, 0.0]])
        >>> value = dino_loss(
        ...     ours, theirs, torch.tensor([1.0, 0.0]), temperature=0.1, teacher_temperature=0.04
        ... )
        >>> round(value.item(), 6)
        0.813262
    """
    log_student = functional.log_softmax(valid(student, mask) / temperature, dim=-1)
    centred = valid(teacher.detach(), mask) - centre
    sharp = functional.softmax(centred / teacher_temperature, dim=-1)
    return -(sharp * log_student).sum(-1).mean()


class DINO(Loss):
    r"""Cross-entropy with a sharpened and centred teacher; see `dino_loss`.

    After every batch the centre becomes :math:`m c + (1 - m) \bar z^t`; it is in the checkpoint.

    Args:
        temperature: of the student, above 0, or a schedule.
        teacher_temperature: above 0, or a schedule.
        momentum: :math:`m` of the centre, in [0, 1).

    Shapes: logits (N, C) or (N, L, C) of both, gives a scalar.
    """

    centre: Tensor

    def __init__(
        self,
        *,
        temperature: float | Schedule = 0.1,
        teacher_temperature: float | Schedule = 0.04,
        momentum: float = 0.9,
    ) -> None:
        """Check and store the options."""
        super().__init__()
        self.temperature = check_temperature(temperature)
        self.teacher_temperature = check_temperature(teacher_temperature)
        if not 0.0 <= momentum < 1.0:
            raise EdgekdError(f"momentum must be in [0, 1), not {momentum}")
        self.momentum = momentum

    def build(self, facts: Facts) -> None:
        """Check that the logits can be compared, and make the centre; see `Loss.build`."""
        check_logits(facts, "dino")
        self.register_buffer("centre", torch.zeros(facts.teacher_logits[-1]))

    def forward(self, student: Outputs, teacher: Outputs | None, target: Tensor) -> Tensor:
        """Return the loss, and move the centre; see `Loss.forward`."""
        ours, theirs = pair(student, teacher, "dino")
        value = dino_loss(
            ours,
            theirs,
            self.centre,
            temperature=self.now(self.temperature),
            teacher_temperature=self.now(self.teacher_temperature),
        )
        if self.training:
            with torch.no_grad():
                self.centre.lerp_(theirs.mean(dim=0).to(self.centre), 1.0 - self.momentum)
        return value
