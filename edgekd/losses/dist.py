"""DIST: the relations between predictions instead of the predictions themselves."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from edgekd.errors import EdgekdError
from edgekd.losses.base import Facts, Loss, Outputs, valid
from edgekd.losses.kd import check_temperature
from edgekd.losses.logit_rows import check_logits, pair
from edgekd.schedule import Schedule


def pearson(a: Tensor, b: Tensor, *, epsilon: float = 1e-8) -> Tensor:
    """Return Pearson's correlation along the last axis.

    Args:
        a: (..., K).
        b: (..., K).
        epsilon: added to the product of the norms, as in the code of DIST's authors. It draws
            the correlation to 0 where both hardly vary, such as a class that neither network
            thinks likely for any sample of the batch; what does not vary has no gradient.

    Returns:
        (...), from -1 to 1.

    Example (deviations (-1, 0, 1) and (-4, -1, 5): 9 / sqrt(2 * 42)):
        >>> round(pearson(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([0.0, 3.0, 9.0])).item(), 4)
        0.982
    """
    a = a - a.mean(-1, keepdim=True)
    b = b - b.mean(-1, keepdim=True)
    norms = torch.linalg.vector_norm(a, dim=-1) * torch.linalg.vector_norm(b, dim=-1)
    correlation: Tensor = (a * b).sum(-1) / (norms + epsilon)
    return correlation


def dist_loss(
    student: Tensor,
    teacher: Tensor,
    *,
    beta: float,
    gamma: float,
    temperature: float,
    mask: Tensor | None = None,
) -> Tensor:
    r"""Return the relational loss of Huang et al.

    .. math:: T^2 \left(\beta \frac{1}{N} \sum_n (1 - \rho(p^s_{n \cdot}, p^t_{n \cdot}))
        + \gamma \frac{1}{C} \sum_c (1 - \rho(p^s_{\cdot c}, p^t_{\cdot c}))\right)

    with Pearson's correlation :math:`\rho` of the probabilities
    :math:`p = \mathrm{softmax}(z / T)`: over the classes of one sample (inter-class), and over
    the samples of the batch for one class (intra-class).

    "Knowledge Distillation from A Stronger Teacher", NeurIPS 2022,
    https://arxiv.org/abs/2205.10536. The factor :math:`T^2` is in the authors' code, not in the
    paper's equations.

    Args:
        student: (N, C) or (N, L, C) logits, with gradients.
        teacher: logits of the same shape; no gradient flows into them.
        beta: weight of the inter-class relation.
        gamma: weight of the intra-class relation. In a batch of one sample it is a constant.
        temperature: :math:`T > 0`.
        mask: (N, L), False at padding; each token that counts is then a sample.

    Returns:
        A scalar, computed in float32 at least.

    Example (one sample: (0.5, 0.3, 0.2) and (0.6, 0.1, 0.3) correlate with 0.737043):
        >>> ours = torch.tensor([[0.5, 0.3, 0.2]]).log()
        >>> theirs = torch.tensor([[0.6, 0.1, 0.3]]).log()
        >>> round(dist_loss(ours, theirs, beta=2.0, gamma=0.0, temperature=1.0).item(), 4)
        0.5259
    """
    ours = functional.softmax(valid(student, mask) / temperature, dim=-1)
    theirs = functional.softmax(valid(teacher.detach(), mask) / temperature, dim=-1)
    inter = 1.0 - pearson(ours, theirs).mean()
    intra = 1.0 - pearson(ours.T, theirs.T).mean()
    return (beta * inter + gamma * intra) * temperature**2


class DIST(Loss):
    """Correlations with the teacher's predictions; see `dist_loss`.

    Args:
        beta: weight of the relation between classes, at least 0.
        gamma: weight of the relation between samples, at least 0.
        temperature: above 0, or a schedule. The authors take 1 on ImageNet and 4 on CIFAR-100.
        standardise: standardise the logits of each sample first; see `standardised`.

    Shapes: logits (N, C) or (N, L, C) of both, gives a scalar.
    """

    def __init__(
        self,
        *,
        beta: float = 1.0,
        gamma: float = 1.0,
        temperature: float | Schedule = 1.0,
        standardise: bool = False,
    ) -> None:
        """Check and store the options."""
        super().__init__()
        if not (beta >= 0.0 and gamma >= 0.0 and beta + gamma > 0.0):
            raise EdgekdError(
                f"dist: beta and gamma must be at least 0 and not both 0, not {beta} and {gamma}"
            )
        self.beta = beta
        self.gamma = gamma
        self.temperature = check_temperature(temperature)
        self.standardise = standardise

    def build(self, facts: Facts) -> None:
        """Check that the logits can be compared; see `Loss.build`."""
        check_logits(facts, "dist", classes=2)

    def forward(self, student: Outputs, teacher: Outputs | None, target: Tensor) -> Tensor:
        """Return the loss; see `Loss.forward`."""
        return dist_loss(
            *pair(student, teacher, "dist", standardise=self.standardise),
            beta=self.beta,
            gamma=self.gamma,
            temperature=self.now(self.temperature),
        )
