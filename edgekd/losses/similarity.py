"""Similarity-preserving distillation: which samples of a batch are alike."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from edgekd.losses.base import Loss, Outputs, require_teacher
from edgekd.losses.embedding import TINY, embeddings, full_precision, names_of, read_pairs, unit


def similarities(rows: Tensor) -> Tensor:
    r"""Return how alike the samples of a batch are, every row of length 1.

    .. math:: \tilde G = Q Q^\top, \quad G_i = \tilde G_i / \lVert \tilde G_i \rVert_2

    Args:
        rows: (N, D).

    Returns:
        (N, N).
    """
    # G does not depend on the scale of Q, but the products of large entries would overflow.
    scaled = rows / rows.detach().abs().amax().clamp_min(TINY)
    return unit(scaled @ scaled.T)


def similarity_preserving_loss(student: Tensor, teacher: Tensor) -> Tensor:
    r"""Return the loss of Tung and Mori.

    .. math:: \frac{1}{N} \sum_i \lVert G^t_i - G^s_i \rVert_2^2

    with the rows of similarities :math:`G_i` as in `similarities`.

    "Similarity-Preserving Knowledge Distillation", ICCV 2019, https://arxiv.org/abs/1907.09682.
    The paper divides by :math:`N^2`, so that its term shrinks as the batch grows, and weighs it
    with 3000. Here it is a mean over samples: the paper's weight divided by the size of the
    batch (23 at N = 128) gives the same gradient.

    Args:
        student: (N, D), with gradients.
        teacher: (N, E); no gradient flows into it. E may differ from D.

    Returns:
        A scalar between 0 and 4.

    Example (the student takes two unlike samples for equal ones: rows (1, 1) / sqrt(2) against
    (1, 0), squared distance 2 - sqrt(2) = 0.585786):
        >>> import torch
        >>> s, t = torch.tensor([[1.0], [1.0]]), torch.tensor([[1.0, 0.0], [0.0, 1.0]])
        >>> round(similarity_preserving_loss(s, t).item(), 6)
        0.585786
    """
    with full_precision(student):
        difference = similarities(student) - similarities(teacher.detach())
        return difference.square().sum(-1).mean()


class SimilarityPreserving(Loss):
    """Similarities between samples, as the teacher sees them; see `similarity_preserving_loss`.

    Args:
        layers: pairs of a student's and a teacher's layer; the mean over the pairs is taken.
            Without it, the logits are compared.

    Shapes: see `embedding`; feature maps are flattened. Sizes of student and teacher may differ.
    Gives a scalar.
    """

    def __init__(self, *, layers: Sequence[tuple[str, str]] | None = None) -> None:
        """Check and store the layers."""
        super().__init__()
        self.pairs = read_pairs(layers)

    def layers(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the layers of the pairs; see `Loss.layers`."""
        return names_of(self.pairs)

    def forward(self, student: Outputs, teacher: Outputs | None, target: Tensor) -> Tensor:
        """Return the loss; see `Loss.forward`."""
        known = require_teacher(teacher, "similarity-preserving")
        found = embeddings(student, known, self.pairs, flatten=True)
        return torch.stack([similarity_preserving_loss(s, t) for s, t in found]).mean()
