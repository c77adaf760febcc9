"""Information theoretic representation distillation: correlation and mutual information."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from edgekd.errors import EdgekdError
from edgekd.losses.base import Facts, Loss, Outputs, require_teacher
from edgekd.losses.embedding import (
    Projection,
    embeddings,
    full_precision,
    names_of,
    read_pairs,
    unit,
    widths,
)

#: Keeps the slope of a logarithm finite; also what counts as rounding, relative to the values.
EPSILON = 1e-6


def correlation_loss(student: Tensor, teacher: Tensor, *, alpha: float = 1.01) -> Tensor:
    r"""Return how far each dimension is from a correlation of 1.

    .. math:: \log_2 \sum_d |\rho_d - 1|^{2 \alpha}

    with :math:`\rho_d` Pearson's correlation of dimension d between student and teacher over the
    batch. Miles et al., https://arxiv.org/abs/2112.00459. A dimension that does not vary in the
    batch counts as uncorrelated.

    Args:
        student: (N, D), with gradients.
        teacher: (N, D); no gradient flows into it.
        alpha: above 0.5; higher ones look more at the worst dimensions.

    Returns:
        A scalar, negative where all is well; at least log2(1e-6), about -20.

    Example (correlations 1 and -1, alpha 1: log2(0 + 4) = 2):
        >>> import torch
        >>> s = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
        >>> t = torch.tensor([[0.0, 0.0], [2.0, 2.0]])
        >>> round(correlation_loss(s, t, alpha=1.0).item(), 4)
        2.0
    """
    correlations = (unit(_centred(student)) * unit(_centred(teacher.detach()))).sum(-1)
    # Rounding may lift a correlation above 1, where a root has no value.
    missing = (1.0 - correlations).clamp_min(0.0)
    return (missing.pow(2.0 * alpha).sum() + EPSILON).log2()


def _centred(rows: Tensor) -> Tensor:
    """Return (D, N): every dimension with mean 0, and exactly 0 where only rounding varies."""
    centred = rows - rows.mean(0)
    noise = centred.detach().abs().amax(0) <= EPSILON * rows.detach().abs().amax(0)
    return torch.where(noise, 0.0, centred).T


def density(rows: Tensor) -> Tensor:
    r"""Return the density matrix of a batch: cosines between samples, with a trace of 1.

    Args:
        rows: (N, D).

    Returns:
        (N, N), symmetric, without negative eigenvalues.
    """
    directions = unit(rows)
    return _of_trace_one(directions @ directions.T)


def _of_trace_one(matrix: Tensor) -> Tensor:
    return matrix / matrix.diagonal().sum().clamp_min(EPSILON)


def renyi_entropy(matrix: Tensor) -> Tensor:
    r"""Return the matrix-based Renyi entropy of order 2, in bits.

    .. math:: S_2(A) = -\log_2 \mathrm{tr}(A^2) = -\log_2 \lVert A \rVert_F^2

    Giraldo et al., 2012, https://arxiv.org/abs/1211.2459. With order 2 the Frobenius norm does
    what takes the eigenvalues otherwise.

    Args:
        matrix: (N, N), symmetric, positive, of trace 1.

    Example (two orthogonal samples are 1 bit):
        >>> import torch
        >>> renyi_entropy(torch.eye(2) / 2).item()
        1.0
    """
    return -(matrix.square().sum() + 1e-30).log2()


def information_loss(student: Tensor, teacher: Tensor) -> Tensor:
    r"""Return the negative mutual information between the batch's representations, in bits.

    .. math:: -I_2 = S_2\left(\frac{A \circ B}{\mathrm{tr}(A \circ B)}\right) - S_2(A) - S_2(B)

    with the density matrices A and B of student and teacher. The formalism is that of quantum
    information: a Gram matrix of trace 1 is a density matrix, and its entropy is that of its
    spectrum. Nothing here needs or imitates a quantum computer. Miles et al.,
    https://arxiv.org/abs/2112.00459, whose code leaves out the logarithms.

    Args:
        student: (N, D), with gradients.
        teacher: (N, E); no gradient flows into it. E may differ from D.

    Returns:
        A scalar in bits, between -log2(N) and about 0.

    Example (two orthogonal samples in both: 1 - 1 - 1):
        >>> import torch
        >>> round(information_loss(torch.eye(2), torch.eye(2)).item(), 4)
        -1.0
    """
    ours, theirs = density(student), density(teacher.detach())
    joint = _of_trace_one(ours * theirs)
    return renyi_entropy(joint) - renyi_entropy(ours) - renyi_entropy(theirs)


class ITRD(Loss):
    r"""Correlation and mutual information with the teacher. Experimental.

    .. math:: \lambda_C L_{corr} + \lambda_I L_{mi}

    with `correlation_loss` and `information_loss`. Miles et al., "Information Theoretic
    Representation Distillation", BMVC 2022, https://arxiv.org/abs/2112.00459. Both parts are
    negative where the student does well: look at how the term falls, not at its sign.

    Args:
        layers: pairs of a student's and a teacher's layer; the mean over the pairs is taken.
            Without it, the logits are compared.
        correlation: :math:`\lambda_C`, at least 0.
        information: :math:`\lambda_I`, at least 0.
        alpha: of the correlation, above 0.5; the authors use 1.01 for alike architectures and
            1.5 for unlike ones.

    Shapes: see `embedding`. Gives a scalar. For the correlation, a linear layer of the loss brings
    the student's embedding to the teacher's length; logits of equal length are taken as they are.
    """

    def __init__(
        self,
        *,
        layers: Sequence[tuple[str, str]] | None = None,
        correlation: float = 2.0,
        information: float = 1.0,
        alpha: float = 1.01,
    ) -> None:
        """Check and store the options."""
        super().__init__()
        if correlation < 0.0 or information < 0.0 or correlation + information == 0.0:
            raise EdgekdError(
                "correlation and information must be at least 0 and not both 0, not "
                f"{correlation} and {information}"
            )
        if not alpha > 0.5:
            raise EdgekdError(f"alpha must be above 0.5, not {alpha}")
        self.pairs = read_pairs(layers)
        self.correlation = correlation
        self.information = information
        self.alpha = alpha
        self.projections = nn.ModuleList([nn.Identity()])

    def layers(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the layers of the pairs; see `Loss.layers`."""
        return names_of(self.pairs)

    def build(self, facts: Facts) -> None:
        """Make the projections; see `Loss.build`."""
        needed = self.correlation > 0.0
        self.projections = nn.ModuleList(
            Projection(ours, theirs) if needed and (self.pairs or ours != theirs) else nn.Identity()
            for ours, theirs in widths(facts, self.pairs)
        )

    def forward(self, student: Outputs, teacher: Outputs | None, target: Tensor) -> Tensor:
        """Return the loss; see `Loss.forward`."""
        found = embeddings(student, require_teacher(teacher, "itrd"), self.pairs)
        losses = []
        with full_precision(student.logits):
            for (ours, theirs), project in zip(found, self.projections, strict=True):
                if self.correlation:
                    value = correlation_loss(project(ours), theirs, alpha=self.alpha)
                    losses.append(self.correlation * value)
                if self.information:
                    losses.append(self.information * information_loss(ours, theirs))
        return torch.stack(losses).sum() / len(found)
