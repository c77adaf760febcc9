"""The opponent of the adversarial loss: a small network, and what it minimises."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm


class Discriminator(nn.Module):
    """Linear layers that score vectors: above 0 for the teacher's, below 0 for the student's.

    There is no BatchNorm in it, so the score of a sample does not depend on its batch.

    Args:
        width: length of the vectors.
        hidden: widths of the hidden layers.
        spectral: keep the largest singular value of every layer at 1: Miyato et al., "Spectral
            Normalization for Generative Adversarial Networks", 2018,
            https://arxiv.org/abs/1802.05957
    """

    def __init__(self, width: int, hidden: Sequence[int], *, spectral: bool) -> None:
        """Make the layers."""
        super().__init__()
        layers: list[nn.Module] = []
        for outputs in hidden:
            layers += [_linear(width, outputs, spectral), nn.LeakyReLU(0.2)]
            width = outputs
        self.layers = nn.Sequential(*layers, _linear(width, 1, spectral))

    def forward(self, rows: Tensor) -> Tensor:
        """Return the scores (N,) of vectors (N, D)."""
        scores: Tensor = self.layers(rows.to(next(self.parameters()).dtype)).squeeze(-1)
        return scores.to(rows.dtype)


def _linear(inputs: int, outputs: int, spectral: bool) -> nn.Module:
    layer = nn.Linear(inputs, outputs)
    return spectral_norm(layer) if spectral else layer


def fooling_loss(scores: Tensor) -> Tensor:
    r"""Return what the student minimises: that its outputs are taken for the teacher's.

    .. math:: -\frac{1}{N} \sum_n \log \sigma(d_n)

    the non-saturating loss of Goodfellow et al., "Generative Adversarial Nets", 2014,
    https://arxiv.org/abs/1406.2661

    Args:
        scores: (N,), of the student's outputs.

    Example (a discriminator that cannot tell: log 2):
        >>> import torch
        >>> round(fooling_loss(torch.zeros(4)).item(), 6)
        0.693147
    """
    return functional.softplus(-scores).mean()


def telling_loss(teacher: Tensor, student: Tensor) -> Tensor:
    r"""Return what the discriminator minimises: cross-entropy of telling the two apart.

    .. math:: -\frac{1}{2N} \sum_n \big( \log \sigma(d^t_n) + \log (1 - \sigma(d^s_n)) \big)

    Args:
        teacher: (N,) scores of the teacher's outputs.
        student: (N,) scores of the student's.

    Example (scores of 0 mean log 2):
        >>> import torch
        >>> round(telling_loss(torch.zeros(4), torch.zeros(4)).item(), 6)
        0.693147
    """
    return 0.5 * (functional.softplus(-teacher).mean() + functional.softplus(student).mean())


def gradient_penalty(scores: Tensor, rows: Tensor) -> Tensor:
    r"""Return the penalty R1 on the discriminator's slope at the teacher's outputs.

    .. math:: \frac{1}{2N} \sum_n \lVert \nabla_{x_n} d(x_n) \rVert_2^2

    Mescheder et al., "Which Training Methods for GANs do actually Converge?", 2018,
    https://arxiv.org/abs/1801.04406: with it, the game settles where without it it circles.

    Args:
        scores: (N,), computed from ``rows``.
        rows: (N, D), a leaf that needs gradients.

    Example (d(x) = 3 x: 9 / 2):
        >>> import torch
        >>> rows = torch.ones(2, 1, requires_grad=True)
        >>> gradient_penalty(3.0 * rows.squeeze(-1), rows).item()
        4.5
    """
    (slopes,) = torch.autograd.grad(scores.sum(), rows, create_graph=True)
    return 0.5 * slopes.square().sum(-1).mean()


def told_apart(teacher: Tensor, student: Tensor) -> Tensor:
    """Return the share of outputs that the scores put on their right side; 0 is wrong for both.

    Args:
        teacher: (N,) scores of the teacher's outputs.
        student: (N,) scores of the student's.
    """
    return 0.5 * ((teacher > 0).float().mean() + (student < 0).float().mean())
