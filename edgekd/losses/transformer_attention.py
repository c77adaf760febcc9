"""Attention scores of transformers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from edgekd.errors import RecipeError
from edgekd.losses.base import Facts, Outputs, require_teacher
from edgekd.losses.paired import PairedLoss, precise, weighted_mean
from edgekd.losses.projections import Projections, scaled_products

#: Scores below this are a mask that the network itself put there: for padding, or for the future.
_MASKED = -1e3


def transformer_attention_loss(
    student: Tensor, teacher: Tensor, *, mask: Tensor | None = None
) -> Tensor:
    r"""Return the mean squared difference of attention scores.

    .. math:: \frac{1}{h} \sum_{i=1}^{h} \mathrm{MSE}(A^s_i, A^t_i),
        \quad A_i = Q_i K_i^\top / \sqrt{d}

    Jiao et al., "TinyBERT: Distilling BERT for Natural Language Understanding", 2020,
    https://arxiv.org/abs/1909.10351, equation 7, on the scores before the softmax, as there.
    Each query's error is the mean over the keys that count, and the loss the mean over the
    queries that count; keys that the teacher itself masks out do not count.

    Args:
        student: (N, h, L, L), with gradients.
        teacher: (N, h', L, L); no gradient flows into it. Where h' is not h, the paper has no
            answer: both are then averaged over their heads first.
        mask: (N, L), False at padding, of queries and keys alike.

    Returns:
        A scalar, computed in float32 at least, also under mixed precision.

    Example (differences 1, 0, 2, 1 have the mean square 6 / 4):
        >>> import torch
        >>> student = torch.tensor([[[[1.0, 0.0], [2.0, 0.0]]]])
        >>> teacher = torch.tensor([[[[0.0, 0.0], [0.0, 1.0]]]])
        >>> round(transformer_attention_loss(student, teacher).item(), 6)
        1.5
    """
    ours, theirs = precise(student), precise(teacher.detach())
    counts = theirs > _MASKED
    if mask is not None:
        counts = counts & mask[:, None, None, :] & mask[:, None, :, None]
    if ours.shape[1] != theirs.shape[1]:
        counts = counts.all(1, keepdim=True)
        ours, theirs = ours.mean(1, keepdim=True), theirs.mean(1, keepdim=True)
    # Before the square: infinities of a mask must not reach its gradient.
    errors = (ours - theirs).masked_fill(~counts, 0.0).square().sum(-1)
    keys = counts.sum(-1).to(errors.dtype)
    return weighted_mean(errors / keys.clamp(min=1.0), (keys > 0).to(errors.dtype))


class TransformerAttention(PairedLoss):
    """Mean squared error between attention scores before the softmax, summed over the pairs.

    See `transformer_attention_loss`. The scores are computed from the captured queries and keys,
    or captured themselves.

    Args:
        layers: pairs of attention modules, ``[[student, teacher], ...]``.
        heads: of both networks, or ``[student, teacher]``. Not needed where scores are captured.
            Different numbers are averaged over heads.
        projections: the modules below each layer that give queries and keys; one name for a fused
            projection of queries, keys and values; none, ``[]``: the layers give scores (h, L, L)
            themselves.
        teacher_projections: those of the teacher, if they are called otherwise.

    Shapes: queries and keys (N, L, D) and (N, L, D'), or scores (N, h, L, L); gives a scalar.
    """

    title: ClassVar[str] = "transformer-attention"

    def __init__(
        self,
        *,
        layers: Sequence[tuple[str, str]],
        heads: int | tuple[int, int] | None = None,
        projections: Sequence[str] = ("query", "key"),
        teacher_projections: Sequence[str] | None = None,
    ) -> None:
        """Check and store the options."""
        super().__init__(layers)
        theirs = projections if teacher_projections is None else teacher_projections
        self.heads = (heads, heads) if isinstance(heads, int) else heads and tuple(heads)
        self.projections = tuple(
            Projections(names, 2, self.title) if names else None for names in (projections, theirs)
        )
        if any(self.projections) and (
            self.heads is None or len(self.heads) != 2 or min(self.heads) < 1
        ):
            raise RecipeError(
                f"loss {self.title!r}",
                [f"heads: {heads!r} is no number of heads"],
                hint="heads = 4 for both networks, or heads = [2, 4] for student and teacher.",
            )

    def layers(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the names to capture; see `Loss.layers`."""
        ours, theirs = (
            tuple(n for layer in side for n in (own.captured(layer) if own else (layer,)))
            for side, own in zip(super().layers(), self.projections, strict=True)
        )
        return ours, theirs

    def build(self, facts: Facts) -> None:
        """Check lengths and heads; see `Loss.build`."""
        for pair in self.pairs:
            whys, lengths = [], []
            for side, shapes in enumerate((facts.student, facts.teacher)):
                own, layer = self.projections[side], pair[side]
                shape = shapes[layer] if own is None else own.shape(shapes, layer)
                why = self._why_not(side, shape)
                if why is not None:
                    whys.append(f"{('student', 'teacher')[side]} {layer!r}: {why}")
                elif shape is not None:
                    lengths.append(shape[-1] if own is None else shape[0])
            if not whys and lengths[0] != lengths[1]:
                whys.append(f"{pair[0]!r} has {lengths[0]} tokens, {pair[1]!r} has {lengths[1]}")
            if whys:
                raise self._misfit(pair, facts, whys)

    def _why_not(self, side: int, shape: tuple[int, ...] | None) -> str | None:
        """Return why there are no scores; None: there are."""
        if self.projections[side] is None:
            square = shape is not None and len(shape) in (2, 3) and shape[-1] == shape[-2]
            return None if square else f"{shape} are no scores (heads, L, L)"
        if shape is None:
            return "its projections are not all of one shape (L, D)"
        if self.heads and shape[1] % self.heads[side]:
            return f"{self.heads[side]} heads do not divide {shape[1]}"
        return None

    def _misfit(self, pair: tuple[str, str], facts: Facts, whys: Sequence[str]) -> RecipeError:
        shown = [
            f"{who} {name!r} {shapes[name]}"
            for who, own, layer, shapes in zip(
                ("student", "teacher"),
                self.projections,
                pair,
                (facts.student, facts.teacher),
                strict=True,
            )
            for name in (own.captured(layer) if own else (layer,))
        ]
        return RecipeError(
            f"loss {self.title!r}",
            [f"layers: {'; '.join(whys)} ({', '.join(shown)})"],
            hint=(
                "Scores are compared token by token: both networks need the same tokens. "
                "edgekd layers shows the shapes of both."
            ),
        )

    def forward(self, student: Outputs, teacher: Outputs | None, target: Tensor) -> Tensor:
        """Return the loss; see `Loss.forward`."""
        known = require_teacher(teacher, self.title)
        terms = []
        for ours, theirs in self.pairs:
            scores = self._scores(0, student, ours), self._scores(1, known, theirs)
            terms.append(transformer_attention_loss(*scores, mask=student.mask))
        return torch.stack(terms).sum()

    def _scores(self, side: int, outputs: Outputs, layer: str) -> Tensor:
        own = self.projections[side]
        if own is None or self.heads is None:
            scores = outputs.features[layer]
            return scores if scores.ndim == 4 else scores[:, None]
        queries, keys = own.of(outputs.features, layer)
        return scaled_products(queries, keys, self.heads[side])
