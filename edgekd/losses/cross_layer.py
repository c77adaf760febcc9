"""Cross-layer distillation: each student layer chooses among several of the teacher's."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from edgekd.errors import EdgekdError
from edgekd.losses.adapters import make_adapter, mean_of_positions
from edgekd.losses.base import Facts, Outputs, require_teacher
from edgekd.losses.paired import PairedLoss, precise, squared_errors, token_mask, weighted_mean


def attended_error(scores: Tensor, errors: Tensor, counts: Tensor) -> Tensor:
    r"""Return the errors of one student layer, weighted by its attention over teacher layers.

    .. math:: \frac{1}{N} \sum_n \sum_t \alpha_{nt} e_{nt}, \quad \alpha_n = \mathrm{softmax}(z_n)

    Args:
        scores: (N, T), the attention of each sample before the softmax.
        errors: (N, T), the distance to each of the T teacher layers.
        counts: (N,), how much each sample counts.

    Returns:
        A scalar, in float32 at least.

    Example (weights 3/4 and 1/4 on the errors 1 and 5):
        >>> import torch
        >>> scores = torch.tensor([[3.0, 1.0]]).log()
        >>> errors, counts = torch.tensor([[1.0, 5.0]]), torch.ones(1)
        >>> round(attended_error(scores, errors, counts).item(), 6)
        2.0
    """
    weights = precise(scores).softmax(dim=1)
    return weighted_mean((weights * errors).sum(1), counts)


class CrossLayer(PairedLoss):
    r"""Mean squared errors to several teacher layers, weighted by a learned attention.

    .. math:: \sum_s \frac{1}{N} \sum_n \sum_t \alpha_{nst} \,
        \mathrm{MSE}(r_{st}(f^s_n), f^t_n), \quad
        \alpha_{ns} = \mathrm{softmax}_t(Q_s(f^s_n)^\top K_t(f^t_n) / \sqrt d)

    Chen et al., "Cross-Layer Distillation with Semantic Calibration" (SemCKD), AAAI 2021,
    https://arxiv.org/abs/2012.03236. :math:`Q_s` and :math:`K_t` are two linear layers with a
    ReLU between them. In the paper they see a sample's row of the batch's similarity matrix,
    whose length is the batch size; here they see the sample's own features, averaged over
    positions (as Ji et al., https://arxiv.org/abs/2102.02973, do), so that the last, short batch
    of an epoch is nothing special. :math:`r_{st}` is an adapter of `edgekd.losses.adapters` in
    place of the paper's three convolutions.

    Args:
        layers: pairs of module names, ``[[student, teacher], ...]``: a student's layer attends
            over all teacher layers that it stands in a pair with. With a single one, its pair is
            a hint.
        width: d, the length of queries and keys.

    Shapes: features (N, C, H, W), (N, L, D) or (N, D) of both, gives a scalar.
    """

    title: ClassVar[str] = "cross-layer"

    def __init__(self, *, layers: Sequence[tuple[str, str]], width: int = 64) -> None:
        """Store the options; what learns is made in `build`."""
        super().__init__(layers)
        if width < 1:
            raise EdgekdError(f"width must be at least 1, not {width}")
        self.width = width
        self.pairs = tuple(dict.fromkeys(self.pairs))
        self.adapters = nn.ModuleList()
        self.queries = nn.ModuleList()
        self.keys = nn.ModuleList()

    def build(self, facts: Facts) -> None:
        """Make adapters, queries and keys; see `Loss.build`."""
        ours, theirs = self.layers()
        self.adapters = nn.ModuleList(
            make_adapter(
                facts.student[name],
                facts.teacher[other],
                where=f"{self.title}: student {name!r}, teacher {other!r}",
            )
            for name, other in self.pairs
        )
        self.queries = nn.ModuleList(_perceptron(facts.student[n], self.width) for n in ours)
        self.keys = nn.ModuleList(_perceptron(facts.teacher[n], self.width) for n in theirs)

    def forward(self, student: Outputs, teacher: Outputs | None, target: Tensor) -> Tensor:
        """Return the loss; see `Loss.forward`."""
        known = require_teacher(teacher, self.title)
        ours, theirs = self.layers()
        queries = self._vectors(self.queries, ours, student.features, student.mask)
        aims = {name: known.features[name].detach() for name in theirs}
        keys = self._vectors(self.keys, theirs, aims, student.mask)
        terms = []
        for name in ours:
            scores, errors, counts = [], [], []
            for adapter, pair in zip(self.adapters, self.pairs, strict=True):
                if pair[0] != name:
                    continue
                error, count = self._error(adapter, student, aims[pair[1]], pair[0])
                errors.append(error)
                counts.append(count)
                scores.append((queries[name] * keys[pair[1]]).sum(1) / math.sqrt(self.width))
            # Where only some of the teacher's layers have tokens, those say what counts.
            often = torch.stack(counts, 1).amax(1)
            terms.append(attended_error(torch.stack(scores, 1), torch.stack(errors, 1), often))
        return torch.stack(terms).sum()

    def _vectors(
        self,
        networks: nn.ModuleList,
        names: tuple[str, ...],
        captured: Mapping[str, Tensor],
        mask: Tensor | None,
    ) -> dict[str, Tensor]:
        """Return the queries or the keys (N, width) of every layer."""
        found = {}
        for network, name in zip(networks, names, strict=True):
            features = captured[name]
            pooled = mean_of_positions(features, token_mask(mask, features, self.title))
            weight = next(network.parameters())
            found[name] = precise(network(pooled.to(weight.dtype)))
        return found

    def _error(
        self, adapter: nn.Module, student: Outputs, aim: Tensor, name: str
    ) -> tuple[Tensor, Tensor]:
        features = student.features[name]
        adapted = adapter(features, token_mask(student.mask, features, self.title))
        return squared_errors(adapted, aim, token_mask(student.mask, aim, self.title))


def _perceptron(shape: tuple[int, ...], width: int) -> nn.Module:
    channels = shape[1] if len(shape) == 2 else shape[0]
    return nn.Sequential(nn.Linear(channels, width), nn.ReLU(), nn.Linear(width, width))
