"""Hidden states of transformers, token by token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from edgekd.losses.adapters import make_adapter
from edgekd.losses.base import Facts, Outputs
from edgekd.losses.hint import hint_loss
from edgekd.losses.paired import PairedLoss, token_mask


class TransformerHidden(PairedLoss):
    r"""Mean squared error between projected hidden states, summed over the pairs.

    .. math:: \sum_{(s, t)} \mathrm{MSE}(H^s W, H^t)

    Jiao et al., "TinyBERT: Distilling BERT for Natural Language Understanding", 2020,
    https://arxiv.org/abs/1909.10351, equations 8 and 9: the mean is over features and over the
    tokens that are no padding. Where both widths are equal there is no :math:`W`. As in the
    paper, pairs share it, as far as their widths are the same; its bias is that of the authors'
    code.

    Args:
        layers: pairs of module names, ``[[student, teacher], ...]``, e.g. those that
            `edgekd.losses.mapping.uniform_pairs` gives.
        shared: one projection for all pairs of the same widths, else one for every pair.

    Shapes: features (N, L, D) and (N, L, D'), gives a scalar.

    Example ((1 - 3)^2 and (2 - 1)^2 have the mean 2.5; the token with 9 is padding):
        >>> import torch
        >>> loss = TransformerHidden(layers=[("a", "b")])
        >>> loss.build(Facts({"a": (2, 2)}, {"b": (2, 2)}, (3,), (3,), 1))
        >>> features = {"a": torch.tensor([[[1.0, 2.0], [9.0, 9.0]]])}
        >>> student = Outputs(torch.zeros(1, 3), features, torch.tensor([[True, False]]))
        >>> teacher = Outputs(torch.zeros(1, 3), {"b": torch.tensor([[[3.0, 1.0], [0.0, 0.0]]])})
        >>> round(loss(student, teacher, torch.zeros(1)).item(), 6)
        2.5
    """

    title: ClassVar[str] = "transformer-hidden"

    def __init__(self, *, layers: Sequence[tuple[str, str]], shared: bool = True) -> None:
        """Store the options; the projections are made in `build`."""
        super().__init__(layers)
        self.shared = shared
        self.adapters = nn.ModuleList()
        self._of_pair: list[int] = []

    def build(self, facts: Facts) -> None:
        """Make the projections; see `Loss.build`."""
        self.adapters = nn.ModuleList()
        self._of_pair = []
        known: dict[tuple[int, ...], int] = {}
        for number, (ours, theirs) in enumerate(self.pairs):
            shapes = facts.student[ours], facts.teacher[theirs]
            if any(len(shape) != 2 for shape in shapes) or shapes[0][0] != shapes[1][0]:
                why = "both must be (L, D) with the same L; the loss 'hint' takes any shapes"
                raise self.misfit((ours, theirs), shapes, why)
            widths = (shapes[0][1], shapes[1][1])
            key = widths if self.shared else (number,)
            if key not in known:
                known[key] = len(self.adapters)
                where = f"{self.title}: student {ours!r}, teacher {theirs!r}"
                self.adapters.append(make_adapter(*shapes, where=where))
            self._of_pair.append(known[key])

    def forward(self, student: Outputs, teacher: Outputs | None, target: Tensor) -> Tensor:
        """Return the loss; see `Loss.forward`."""
        terms = []
        for number, (ours, theirs) in zip(self._of_pair, self.both(student, teacher), strict=True):
            mask = token_mask(student.mask, theirs, self.title)
            terms.append(hint_loss(self.adapters[number](ours), theirs, mask=mask))
        return torch.stack(terms).sum()
