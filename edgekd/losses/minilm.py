"""Self-attention relations of MiniLM and MiniLMv2."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from edgekd.errors import RecipeError
from edgekd.losses.base import Facts, Outputs, require_teacher
from edgekd.losses.paired import PairedLoss, token_mask
from edgekd.losses.projections import Projections, scaled_products

_PARTS = "qkv"


def relation_loss(
    student: tuple[Tensor, Tensor],
    teacher: tuple[Tensor, Tensor],
    *,
    heads: int,
    mask: Tensor | None = None,
) -> Tensor:
    r"""Return the KL divergence between the self-attention relations of two networks.

    .. math:: \frac{1}{A T} \sum_{a=1}^{A} \sum_{t=1}^{T} D_{KL}(R^t_{a,t} \Vert R^s_{a,t}),
        \quad R_a = \mathrm{softmax}(B_a C_a^\top / \sqrt{d_a})

    Wang et al., "MiniLMv2: Multi-Head Self-Attention Relation Distillation", 2021,
    https://arxiv.org/abs/2012.15828, equations 5 to 8: B and C are queries, keys or values of all
    heads side by side, cut into :math:`A` relation heads of :math:`d_a` features, so that neither
    widths nor heads of the networks need to agree. The mean is over the T tokens of the batch
    that are no padding.

    Args:
        student: two projections (N, L, D), with gradients, e.g. values and values.
        teacher: the same two of the teacher, (N, L, D'); no gradient flows into them.
        heads: A, the number of relation heads; it divides D and D'.
        mask: (N, L), False at padding.

    Returns:
        A scalar, computed in float32 at least, also under mixed precision.

    Example (the student's relations are 1/2, 1/2; the teacher's rows softmax(1, 0) and 1/2, 1/2:
    0.731059 log 1.462117 + 0.268941 log 0.537883 = 0.110945, over 2 tokens):
        >>> import torch
        >>> zeros = torch.zeros(1, 2, 1)
        >>> b = torch.tensor([[[1.0], [0.0]]])
        >>> round(relation_loss((zeros, zeros), (b, b), heads=1).item(), 6)
        0.055472
    """
    ours = _log_relations(student, heads, mask)
    theirs = _log_relations((teacher[0].detach(), teacher[1].detach()), heads, mask)
    # At padding both are 0 now, so that the sum over keys leaves it out.
    divergence = functional.kl_div(ours, theirs, log_target=True, reduction="none").sum(-1)
    tokens = divergence.mean(1)
    if mask is None:
        return tokens.mean()
    return tokens.masked_fill(~mask, 0.0).sum() / mask.sum().clamp(min=1)


def _log_relations(pair: tuple[Tensor, Tensor], heads: int, mask: Tensor | None) -> Tensor:
    """Return (N, heads, L, L) logarithms; 0 at keys that are padding."""
    scores = scaled_products(*pair, heads)
    if mask is None:
        return functional.log_softmax(scores, dim=-1)
    hidden = ~mask[:, None, None, :]
    lowest = torch.finfo(scores.dtype).min
    return functional.log_softmax(scores.masked_fill(hidden, lowest), -1).masked_fill(hidden, 0.0)


class MiniLM(PairedLoss):
    """KL divergence between self-attention relations, summed over relations and pairs.

    See `relation_loss`. MiniLMv2 takes one pair: the student's last layer and an upper-middle or
    the last layer of the teacher. It learns nothing of its own.

    Args:
        layers: pairs of attention modules, ``[[student, teacher], ...]``.
        heads: relation heads; they divide both widths. More of them compare finer.
        relations: which products: ``qq``, ``kk`` and ``vv`` are MiniLMv2; ``qk`` (attention, with
            ``heads`` the networks' own number) and ``vv`` are MiniLM,
            https://arxiv.org/abs/2002.10957.
        projections: the modules below each layer that give queries, keys and values; one name for
            a fused projection.
        teacher_projections: those of the teacher, if they are called otherwise.

    Shapes: queries, keys and values (N, L, D) and (N, L, D'), gives a scalar.
    """

    title: ClassVar[str] = "minilm"

    def __init__(
        self,
        *,
        layers: Sequence[tuple[str, str]],
        heads: int = 8,
        relations: Sequence[str] = ("qq", "kk", "vv"),
        projections: Sequence[str] = ("query", "key", "value"),
        teacher_projections: Sequence[str] | None = None,
    ) -> None:
        """Check and store the options."""
        super().__init__(layers)
        theirs = projections if teacher_projections is None else teacher_projections
        self.projections = tuple(Projections(n, 3, self.title) for n in (projections, theirs))
        self.heads = heads
        known = [a + b for a in _PARTS for b in _PARTS]
        wrong = [name for name in relations if name not in known]
        if wrong or not relations:
            what = f"unknown relation {wrong[0]!r}" if wrong else "there is none"
            raise self._fault(f"relations: {what}", f"Known: {', '.join(known)}.")
        if heads < 1:
            raise self._fault(f"heads: {heads} is no number of heads", "At least 1 is needed.")
        self.relations = tuple((_PARTS.index(r[0]), _PARTS.index(r[1])) for r in relations)

    def layers(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the names to capture; see `Loss.layers`."""
        ours, theirs = (
            tuple(name for layer in side for name in own.captured(layer))
            for side, own in zip(super().layers(), self.projections, strict=True)
        )
        return ours, theirs

    def build(self, facts: Facts) -> None:
        """Check lengths and widths; see `Loss.build`."""
        for pair in self.pairs:
            found = []
            for own, shapes, layer in zip(
                self.projections, (facts.student, facts.teacher), pair, strict=True
            ):
                shape = own.shape(shapes, layer)
                if shape is None:
                    given = [shapes[name] for name in own.captured(layer)]
                    raise self._fault(
                        f"layers: the projections of {layer!r} have shapes {given} "
                        f"({self._shown(pair, facts)})",
                        "Queries, keys and values are all (L, D) with one L and one D.",
                    )
                found.append(shape)
            if found[0][0] != found[1][0]:
                raise self.misfit(pair, (found[0], found[1]), "relations need the same tokens")
            if any(width % self.heads for _, width in found):
                raise self._fault(
                    f"heads: {self.heads} does not divide the widths {found[0][1]} (student) "
                    f"and {found[1][1]} (teacher)",
                    f"These do: {', '.join(map(str, _common(found[0][1], found[1][1])))}.",
                )

    def _shown(self, pair: tuple[str, str], facts: Facts) -> str:
        ours, theirs = (
            ", ".join(f"{name!r} {shapes[name]}" for name in own.captured(layer))
            for own, layer, shapes in zip(
                self.projections, pair, (facts.student, facts.teacher), strict=True
            )
        )
        return f"student {ours}; teacher {theirs}"

    def _fault(self, text: str, hint: str) -> RecipeError:
        return RecipeError(f"loss {self.title!r}", [text], hint=hint)

    def forward(self, student: Outputs, teacher: Outputs | None, target: Tensor) -> Tensor:
        """Return the loss; see `Loss.forward`."""
        known = require_teacher(teacher, self.title)
        terms = []
        for name, other in self.pairs:
            ours = self.projections[0].of(student.features, name)
            theirs = self.projections[1].of(known.features, other)
            mask = token_mask(student.mask, ours[0], self.title)
            terms += [
                relation_loss(
                    (ours[a], ours[b]), (theirs[a], theirs[b]), heads=self.heads, mask=mask
                )
                for a, b in self.relations
            ]
        return torch.stack(terms).sum()


def _common(a: int, b: int) -> list[int]:
    """Return the common divisors of two widths."""
    return [n for n in range(1, min(a, b) + 1) if a % n == b % n == 0]
