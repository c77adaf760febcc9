"""Pairs of layers: what the losses on captured features share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

import torch
from torch import Tensor

from edgekd.errors import RecipeError
from edgekd.losses.base import Loss, Outputs, require_teacher

Shape = tuple[int, ...]

_HINT = 'Write pairs of names, as layers = [["layer2", "stages.1"]]; edgekd layers suggests some.'


class PairedLoss(Loss):
    """A loss on pairs of layers, the student's first.

    Args:
        layers: pairs of module names, ``[[student, teacher], ...]``. A layer may stand in several
            pairs; ``name[1]`` picks the second of several outputs.

    Attributes:
        title: its name in recipes, for messages.
        pairs: the pairs.
    """

    title: ClassVar[str]

    def __init__(self, layers: Sequence[tuple[str, str]]) -> None:
        """Check and store the pairs."""
        super().__init__()
        self.pairs: tuple[tuple[str, str], ...] = read_pairs(layers, self.title)

    def layers(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the names to capture; see `Loss.layers`."""
        ours, theirs = zip(*self.pairs, strict=True)
        return tuple(dict.fromkeys(ours)), tuple(dict.fromkeys(theirs))

    def both(self, student: Outputs, teacher: Outputs | None) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the features of every pair; no gradient flows into the teacher's."""
        known = require_teacher(teacher, self.title)
        for ours, theirs in self.pairs:
            yield student.features[ours], known.features[theirs].detach()

    def misfit(self, pair: tuple[str, str], shapes: tuple[Shape, Shape], why: str) -> RecipeError:
        """Return the error for two layers that this loss cannot compare."""
        return RecipeError(
            f"loss {self.title!r}",
            [f"layers: student {pair[0]!r} {shapes[0]}, teacher {pair[1]!r} {shapes[1]}: {why}"],
            hint="edgekd layers shows the shapes of both networks and suggests pairs.",
        )


def read_pairs(layers: Sequence[tuple[str, str]], title: str) -> tuple[tuple[str, str], ...]:
    """Return the pairs of a recipe.

    Raises:
        RecipeError: there are none, or one is no pair of names.
    """
    found: list[tuple[str, str]] = []
    for pair in layers:
        if isinstance(pair, str) or len(pair) != 2 or not all(isinstance(n, str) for n in pair):
            raise RecipeError(f"loss {title!r}", [f"layers: {pair!r} is no pair"], hint=_HINT)
        found.append((pair[0], pair[1]))
    if not found:
        raise RecipeError(f"loss {title!r}", ["layers: there is no pair"], hint=_HINT)
    return tuple(found)


def precise(features: Tensor) -> Tensor:
    """Return features in float32 at least."""
    return features.float() if features.dtype.itemsize < torch.float32.itemsize else features


def token_mask(mask: Tensor | None, features: Tensor, title: str) -> Tensor | None:
    """Return the mask as far as it is about these features.

    Args:
        mask: (N, L) bool, False at padding, or None.
        features: (N, L, D); for any other number of axes there is no mask.
        title: of the loss, for the message.

    Raises:
        RecipeError: the features have another length than the mask, so that what is padding
            in them is not known.
    """
    if mask is None or features.ndim != 3:
        return None
    if mask.shape[1] != features.shape[1]:
        raise RecipeError(
            f"loss {title!r}",
            [f"layers: features of {features.shape[1]} tokens, but a mask of {mask.shape[1]}"],
            hint="Choose layers that keep the length of the input; padding is then left out.",
        )
    return mask.bool()


def squared_errors(student: Tensor, teacher: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return the mean squared difference of every sample, and how much each sample counts.

    Args:
        student: (N, ...).
        teacher: of the same shape.
        mask: (N, L) for features (N, L, D), False at padding; or None.

    Returns:
        (N,) errors, each a mean over the elements that count, in float32 at least; and (N,)
        counts: the number of tokens, or 1 where there is no mask.
    """
    difference = precise(student) - precise(teacher)
    if mask is None:
        errors = difference.square().flatten(1).mean(1)
        return errors, torch.ones_like(errors)
    # Whatever stands at padding, NaN included, must not reach the square or its gradient.
    difference = difference.masked_fill(~mask.bool()[..., None], 0.0)
    counts = mask.sum(1).to(difference.dtype)
    return difference.square().mean(-1).sum(1) / counts.clamp(min=1.0), counts


def weighted_mean(values: Tensor, counts: Tensor) -> Tensor:
    """Return the mean of values, each as often as its count; 0 where nothing counts."""
    return (values * counts).sum() / counts.sum().clamp(min=1.0)
