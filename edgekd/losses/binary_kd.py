"""Distillation of independent yes-or-no predictions: one Bernoulli divergence a class."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from edgekd.losses.base import Facts, Loss, Outputs, valid
from edgekd.losses.kd import check_temperature
from edgekd.losses.logit_rows import check_logits, pair
from edgekd.schedule import Schedule


def bernoulli_divergence(student: Tensor, teacher: Tensor) -> Tensor:
    r"""Return the KL divergence of the student's coins from the teacher's, an element each.

    .. math:: q \log \frac{q}{p} + (1 - q) \log \frac{1 - q}{1 - p},
        \quad p = \sigma(z^s), \; q = \sigma(z^t)

    Computed from logits throughout, so that it is finite where a probability rounds to 0 or 1.

    Args:
        student: log odds, of any shape.
        teacher: log odds of the same shape.

    Example (q = 0.731059 against p = 0.5):
        >>> import torch
        >>> round(bernoulli_divergence(torch.tensor(0.0), torch.tensor(1.0)).item(), 4)
        0.1109
    """
    yes = functional.logsigmoid(teacher) - functional.logsigmoid(student)
    no = functional.logsigmoid(-teacher) - functional.logsigmoid(-student)
    return teacher.sigmoid() * yes + (-teacher).sigmoid() * no


def binary_kd_loss(
    student: Tensor, teacher: Tensor, *, temperature: float, mask: Tensor | None = None
) -> Tensor:
    r"""Return the per-class Bernoulli divergence of multi-label predictions.

    .. math:: T^2 \frac{1}{N} \sum_n \frac{1}{C} \sum_c
        \mathrm{KL}\left(\sigma(z^t_{nc} / T) \,\|\, \sigma(z^s_{nc} / T)\right)

    Every class is a question of its own, so there is no softmax over them. The divergence is
    that of Yang et al., "Multi-Label Knowledge Distillation", ICCV 2023,
    https://arxiv.org/abs/2308.06453, who sum over classes (a weight of :math:`C`) and have
    :math:`T = 1`. The mean over classes matches `binary_cross_entropy_loss`; :math:`T^2` keeps
    the size of the gradients independent of the temperature, as in `kd_loss`.

    Args:
        student: (N, C) or (N, L, C) logits, with gradients.
        teacher: logits of the same shape; no gradient flows into them.
        temperature: :math:`T > 0`.
        mask: (N, L), False at padding; the mean is then over the tokens that count.

    Returns:
        A scalar, computed in float32 at least.

    Example (classes 0.110944 and 0, so 4 times their mean):
        >>> import torch
        >>> ours, theirs = torch.tensor([[0.0, 3.0]]), torch.tensor([[2.0, 3.0]])
        >>> round(binary_kd_loss(ours, theirs, temperature=2.0).item(), 4)
        0.2219
    """
    ours, theirs = valid(student, mask), valid(teacher.detach(), mask)
    divergence = bernoulli_divergence(ours / temperature, theirs / temperature)
    return divergence.mean(-1).mean() * temperature**2


class BinaryKD(Loss):
    """Bernoulli divergence from the teacher, a class each; see `binary_kd_loss`.

    Args:
        temperature: above 0, or a schedule.

    Logits are not standardised here: the sign of each one is its answer, and a mean over the
    classes would shift it.

    Shapes: logits (N, C) or (N, L, C) of both, gives a scalar.
    """

    def __init__(self, *, temperature: float | Schedule = 1.0) -> None:
        """Check and store the temperature."""
        super().__init__()
        self.temperature = check_temperature(temperature)

    def build(self, facts: Facts) -> None:
        """Check that the logits can be compared; see `Loss.build`."""
        check_logits(facts, "binary-kd")

    def forward(self, student: Outputs, teacher: Outputs | None, target: Tensor) -> Tensor:
        """Return the loss; see `Loss.forward`."""
        rows = pair(student, teacher, "binary-kd")
        return binary_kd_loss(*rows, temperature=self.now(self.temperature))
