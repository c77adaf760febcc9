"""Contrastive representation distillation, with a memory of all training samples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgekd.errors import EdgekdError, RecipeError
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
from edgekd.losses.kd import check_temperature
from edgekd.schedule import Schedule


def nce_loss(log_scores: Tensor, *, samples: int) -> Tensor:
    r"""Return the noise-contrastive loss of one positive and K negatives a sample.

    .. math:: -\frac{1}{N} \sum_n \Big( \log h(p_{n0}) + \sum_{k=1}^K \log (1 - h(p_{nk})) \Big),
        \quad h(p) = \frac{p}{p + K / M}

    for M training samples, of which negatives are drawn evenly. Tian et al., "Contrastive
    Representation Distillation", ICLR 2020, https://arxiv.org/abs/1910.10699

    Args:
        log_scores: (N, 1 + K) log of the scores p; the positive first.
        samples: M.

    Returns:
        A scalar.

    Example (p = K / M = 1/2 everywhere: h = 1/2, so 2 log 2 = 1.386294):
        >>> import torch
        >>> log_scores = torch.full((1, 2), 0.5).log()
        >>> round(nce_loss(log_scores, samples=2).item(), 6)
        1.386294
    """
    negatives = log_scores.shape[1] - 1
    # log h = log sigmoid(log p - log(K / M)): no exponential that could overflow.
    odds = log_scores - math.log(negatives / samples)
    likely = functional.logsigmoid(odds[:, 0]) + functional.logsigmoid(-odds[:, 1:]).sum(-1)
    return -likely.mean()


class Contrast(nn.Module):
    """The embeddings of one pair of layers, and what every sample's were when last seen.

    Args:
        ours: length of the student's vectors.
        theirs: that of the teacher's.
        samples: the number of training samples.
        dim: length of the embeddings.
    """

    ours: Tensor
    theirs: Tensor
    log_normaliser: Tensor
    begun: Tensor

    def __init__(self, ours: int, theirs: int, *, samples: int, dim: int) -> None:
        """Make the projections, and fill the memories at random as the authors do."""
        super().__init__()
        self.embed_ours = Projection(ours, dim)
        self.embed_theirs = Projection(theirs, dim)
        bound = math.sqrt(3.0 / dim)
        self.register_buffer("ours", torch.empty(samples, dim).uniform_(-bound, bound))
        self.register_buffer("theirs", torch.empty(samples, dim).uniform_(-bound, bound))
        self.register_buffer("log_normaliser", torch.zeros(2))
        self.register_buffer("begun", torch.tensor(False))

    def forward(
        self, ours: Tensor, theirs: Tensor, chosen: Tensor, temperature: float, momentum: float
    ) -> Tensor:
        """Contrast a batch with the memories, then remember it.

        Args:
            ours: (N, D) of the student.
            theirs: (N, E) of the teacher.
            chosen: (N, 1 + K) positions in the memories: each sample's own, then its negatives.
            temperature: of the scores.
            momentum: share of a memory that stays.

        Returns:
            A scalar.
        """
        ours, theirs = unit(self.embed_ours(ours)), unit(self.embed_theirs(theirs))
        student = _similarities(ours, self.theirs, chosen) / temperature
        teacher = _similarities(theirs, self.ours, chosen) / temperature
        samples = len(self.ours)
        found = torch.stack([_log_mean(student), _log_mean(teacher)]) + math.log(samples)
        constants = torch.where(self.begun, self.log_normaliser.to(found.dtype), found)
        if self.training:
            self._remember(ours.detach(), theirs.detach(), chosen[:, 0], momentum)
            self.log_normaliser.copy_(constants)
            self.begun.fill_(True)
        return nce_loss(student - constants[0], samples=samples) + nce_loss(
            teacher - constants[1], samples=samples
        )

    def _remember(self, ours: Tensor, theirs: Tensor, places: Tensor, momentum: float) -> None:
        for memory, seen in ((self.ours, ours), (self.theirs, theirs)):
            mixed = momentum * memory[places].to(seen.dtype) + (1.0 - momentum) * seen
            memory[places] = unit(mixed).to(memory.dtype)


def _similarities(rows: Tensor, memory: Tensor, chosen: Tensor) -> Tensor:
    """Return (N, 1 + K): each row times what the memory holds at its chosen positions."""
    return torch.einsum("nd,nkd->nk", rows, memory[chosen].to(rows.dtype))


def _log_mean(values: Tensor) -> Tensor:
    """Return the log of the mean of exp(values)."""
    return values.detach().flatten().logsumexp(0) - math.log(values.numel())


def draw_negatives(indices: Tensor, negatives: int, samples: int) -> Tensor:
    """Return each sample's own position, then those of other samples, drawn evenly.

    Args:
        indices: (N,) positions in the training split.
        negatives: K, with replacement.
        samples: M, at least 2.

    Returns:
        (N, 1 + K), from torch's global generator, which the loop seeds for every step.
    """
    shape = (len(indices), negatives)
    # One of the M - 1 others: a step of 1 to M - 1 from the sample's own position, in a ring.
    steps = torch.randint(1, samples, shape, device=indices.device)
    return torch.cat([indices[:, None], (indices[:, None] + steps) % samples], dim=1)


class CRD(Loss):
    r"""Tell the teacher's embedding of a sample from those of others, by the student's.

    Student and teacher are embedded linearly into vectors of length 1; the score of two is
    :math:`p = \exp(\langle u, v \rangle / T) / Z`, with Z set by the first batch so that scores
    begin near :math:`1 / M`. The student is contrasted with the memory of the teacher's
    embeddings and the teacher with the memory of the student's; both losses are `nce_loss`. Tian
    et al., "Contrastive Representation Distillation", ICLR 2020, https://arxiv.org/abs/1910.10699

    Negatives are drawn from all other samples, as the paper derives it; the authors' code leaves
    out those of the same class.

    Args:
        layers: pairs of a student's and a teacher's layer, best those before the classifier; the
            mean over the pairs is taken. Without it, the logits are embedded.
        dim: length of the embeddings.
        negatives: K a sample; the paper uses 16384.
        temperature: T above 0; a schedule changes it, not Z.
        momentum: share of a sample's memory that stays when it is seen again.

    Shapes: see `embedding`; lengths of student and teacher may differ. Gives a scalar. The
    memories hold 2 M dim numbers; a step needs 2 N K dim more.
    """

    def __init__(
        self,
        *,
        layers: Sequence[tuple[str, str]] | None = None,
        dim: int = 128,
        negatives: int = 1024,
        temperature: float | Schedule = 0.07,
        momentum: float = 0.5,
    ) -> None:
        """Check and store the options."""
        super().__init__()
        if dim < 1 or negatives < 1:
            raise EdgekdError(f"dim and negatives must be above 0, not {dim} and {negatives}")
        if not 0.0 <= momentum < 1.0:
            raise EdgekdError(f"momentum must be in [0, 1), not {momentum}")
        self.pairs = read_pairs(layers)
        self.dim = dim
        self.negatives = negatives
        self.temperature = check_temperature(temperature)
        self.momentum = momentum
        self.samples = 0
        self.contrasts = nn.ModuleList()

    def layers(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the layers of the pairs; see `Loss.layers`."""
        return names_of(self.pairs)

    def build(self, facts: Facts) -> None:
        """Make embeddings and memories; see `Loss.build`."""
        if facts.samples < 2:
            raise RecipeError(
                "loss",
                [f"'crd' contrasts samples, and there is {facts.samples} to train with"],
                hint="Train with more samples, or use another loss.",
            )
        self.samples = facts.samples
        options: dict[str, Any] = {"samples": facts.samples, "dim": self.dim}
        self.contrasts = nn.ModuleList(
            Contrast(ours, theirs, **options) for ours, theirs in widths(facts, self.pairs)
        )

    def forward(self, student: Outputs, teacher: Outputs | None, target: Tensor) -> Tensor:
        """Return the loss; see `Loss.forward`.

        Raises:
            EdgekdError: it is unknown which training samples the batch holds.
        """
        found = embeddings(student, require_teacher(teacher, "crd"), self.pairs)
        if student.indices is None:
            raise EdgekdError(
                "'crd' remembers samples, and the batch does not say which ones it holds",
                hint="Give their positions in the training split as Outputs.indices.",
            )
        chosen = draw_negatives(student.indices, self.negatives, self.samples)
        temperature = self.now(self.temperature)
        with full_precision(student.logits):
            losses = [
                contrast(ours, theirs, chosen, temperature, self.momentum)
                for contrast, (ours, theirs) in zip(self.contrasts, found, strict=True)
            ]
        return torch.stack(losses).mean()
