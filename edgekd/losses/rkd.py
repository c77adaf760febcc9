"""Relational knowledge distillation: distances and angles between the samples of a batch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from edgekd.errors import EdgekdError
from edgekd.losses.base import Loss, Outputs, require_teacher
from edgekd.losses.embedding import (
    TINY,
    embeddings,
    full_precision,
    names_of,
    read_pairs,
    unit,
)


def distances(rows: Tensor) -> Tensor:
    r"""Return all distances between rows, in units of their mean.

    .. math:: \psi_{ij} = \frac{1}{\mu} \lVert x_i - x_j \rVert_2

    with :math:`\mu` the mean of the distances that are not 0.

    Args:
        rows: (N, D).

    Returns:
        (N, N); all 0 where all rows are equal.
    """
    # Not by a matrix product, whose rounding makes distances out of equal rows.
    found = torch.cdist(rows, rows, compute_mode="donot_use_mm_for_euclid_dist")
    mean = found.sum() / (found > 0).sum().clamp_min(1)
    return found / mean.clamp_min(TINY)


def angles(rows: Tensor) -> Tensor:
    r"""Return the cosines of all angles that three rows form.

    .. math:: \psi_{ijk} = \cos \angle x_j x_i x_k = \langle e_{ij}, e_{ik} \rangle,
        \quad e_{ij} = \frac{x_j - x_i}{\lVert x_j - x_i \rVert_2}

    Args:
        rows: (N, D).

    Returns:
        (N, N, N), the corner first; 0 where two of the three rows are equal.
    """
    directions = unit(rows.unsqueeze(0) - rows.unsqueeze(1))
    return directions @ directions.transpose(1, 2)


def rkd_loss(
    student: Tensor, teacher: Tensor, *, distance: float = 1.0, angle: float = 2.0
) -> Tensor:
    r"""Return the relational loss of Park et al.

    .. math:: \lambda_D \frac{1}{N^2} \sum_{ij} l(\psi^t_{ij}, \psi^s_{ij})
        + \lambda_A \frac{1}{N^3} \sum_{ijk} l(\psi^t_{ijk}, \psi^s_{ijk})

    with the Huber loss :math:`l(x, y) = \frac{1}{2} (x - y)^2` where :math:`|x - y| \le 1`, else
    :math:`|x - y| - \frac{1}{2}`, and :math:`\psi` as in `distances` and `angles`.

    "Relational Knowledge Distillation", CVPR 2019, https://arxiv.org/abs/1904.05068. The paper
    sums over pairs and triples; the means here, as in the authors' code, do not grow with the
    batch.

    Args:
        student: (N, D) embeddings, with gradients.
        teacher: (N, E) embeddings; no gradient flows into them. E may differ from D.
        distance: :math:`\lambda_D`; 0 leaves the distances out.
        angle: :math:`\lambda_A`; 0 leaves the angles out.

    Returns:
        A scalar. Two samples have no relation that scale leaves over: it is 0 for N < 3.

    Example (distances 1, 1, 2 against 1, 2, 1 in units of 4/3: two of three pairs, each twice of
    nine, differ by 3/4, so 4/9 * 9/32 = 0.125):
        >>> import torch
        >>> s, t = torch.tensor([[0.0], [1.0], [2.0]]), torch.tensor([[0.0], [1.0], [-1.0]])
        >>> round(rkd_loss(s, t, distance=1.0, angle=0.0).item(), 6)
        0.125
    """
    teacher = teacher.detach()
    with full_precision(student):
        terms = [
            weight * functional.smooth_l1_loss(relation(student), relation(teacher))
            for weight, relation in ((distance, distances), (angle, angles))
            if weight
        ]
        return torch.stack(terms).sum()


class RKD(Loss):
    """Distances and angles between samples, as the teacher sees them; see `rkd_loss`.

    Args:
        layers: pairs of a student's and a teacher's layer; the mean over the pairs is taken.
            Without it, the logits are compared.
        distance: weight of the distances.
        angle: weight of the angles; the paper weighs them twice as much.

    Shapes: see `embedding`; lengths of student and teacher may differ. Gives a scalar. Memory for
    the angles is N^2 D + N^3 numbers.
    """

    def __init__(
        self,
        *,
        layers: Sequence[tuple[str, str]] | None = None,
        distance: float = 1.0,
        angle: float = 2.0,
    ) -> None:
        """Check and store the options."""
        super().__init__()
        if distance < 0.0 or angle < 0.0 or distance + angle == 0.0:
            raise EdgekdError(
                f"distance and angle must be at least 0 and not both 0, not {distance} and {angle}"
            )
        self.pairs = read_pairs(layers)
        self.distance = distance
        self.angle = angle

    def layers(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the layers of the pairs; see `Loss.layers`."""
        return names_of(self.pairs)

    def forward(self, student: Outputs, teacher: Outputs | None, target: Tensor) -> Tensor:
        """Return the loss; see `Loss.forward`."""
        found = embeddings(student, require_teacher(teacher, "rkd"), self.pairs)
        losses = [rkd_loss(s, t, distance=self.distance, angle=self.angle) for s, t in found]
        return torch.stack(losses).mean()
