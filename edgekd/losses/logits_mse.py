"""Mean squared difference of the logits."""

from __future__ import annotations

from torch import Tensor

from edgekd.losses.base import Facts, Loss, Outputs, valid
from edgekd.losses.logit_rows import check_logits, pair


def logits_mse_loss(student: Tensor, teacher: Tensor, *, mask: Tensor | None = None) -> Tensor:
    r"""Return the mean squared difference of logits.

    .. math:: \frac{1}{N} \sum_n \frac{1}{C} \sum_c (z^s_{nc} - z^t_{nc})^2

    Ba and Caruana, "Do Deep Nets Really Need to be Deep?", 2014,
    https://arxiv.org/abs/1312.6184, and Kim et al., "Comparing Kullback-Leibler Divergence and
    Mean Squared Error Loss in Knowledge Distillation", 2021, https://arxiv.org/abs/2105.08919.

    The mean over classes is a choice: it keeps one weight right for any number of them. Kim et
    al. sum over classes, which is a weight of :math:`C`; Ba and Caruana halve that sum,
    :math:`C / 2`. With logits of mean 0, `kd_loss` tends to half of this loss as the temperature
    grows. There is no temperature here.

    Args:
        student: (N, C) or (N, L, C) logits, with gradients.
        teacher: logits of the same shape; no gradient flows into them.
        mask: (N, L), False at padding; the mean is then over the tokens that count.

    Returns:
        A scalar, computed in float32 at least.

    Example (differences 1 and -2, so (1 + 4) / 2):
        >>> import torch
        >>> value = logits_mse_loss(torch.tensor([[1.0, 2.0]]), torch.tensor([[0.0, 4.0]]))
        >>> round(value.item(), 6)
        2.5
    """
    difference = valid(student, mask) - valid(teacher.detach(), mask)
    return difference.square().mean(-1).mean()


class LogitsMSE(Loss):
    """Mean squared difference of the logits; see `logits_mse_loss`.

    Args:
        standardise: standardise the logits of each sample first; see `standardised`. The
            student is then free in the mean and the spread of its logits.

    Shapes: logits (N, C) or (N, L, C) of both, gives a scalar.
    """

    def __init__(self, *, standardise: bool = False) -> None:
        """Store the option."""
        super().__init__()
        self.standardise = standardise

    def build(self, facts: Facts) -> None:
        """Check that the logits can be compared; see `Loss.build`."""
        check_logits(facts, "logits-mse")

    def forward(self, student: Outputs, teacher: Outputs | None, target: Tensor) -> Tensor:
        """Return the loss; see `Loss.forward`."""
        rows = pair(student, teacher, "logits-mse", standardise=self.standardise)
        return logits_mse_loss(*rows)
