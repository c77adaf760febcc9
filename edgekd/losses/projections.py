"""Queries, keys and values: finding them among captured features, and comparing them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from edgekd.errors import RecipeError
from edgekd.losses.paired import precise

Shape = tuple[int, ...]


class Projections:
    """The names of an attention layer's projections.

    Args:
        names: of the modules below the layer, e.g. ``("query", "key", "value")`` or
            ``("self.query", "self.key", "self.value")``; one name alone, e.g. ``("qkv",)``, is a
            fused projection, whose output is cut into queries, keys and values of equal width.
        count: how many are needed: 2 for queries and keys, 3 with values.
        title: of the loss, for messages.

    Raises:
        RecipeError: there are neither 1 nor ``count`` names.
    """

    def __init__(self, names: Sequence[str], count: int, title: str) -> None:
        """Check and store the names."""
        if isinstance(names, str) or len(names) not in (1, count):
            wanted = ("query", "key", "value")[:count]
            raise RecipeError(
                f"loss {title!r}",
                [f"projections: {list(names)} are neither {count} names nor one of a fused layer"],
                hint=f"As {list(wanted)}, the modules below every layer, or ['qkv'].",
            )
        self.names = tuple(names)
        self.count = count

    @property
    def fused(self) -> bool:
        """Whether one module gives queries, keys and values side by side."""
        return len(self.names) == 1

    def captured(self, layer: str) -> tuple[str, ...]:
        """Return the names to capture for a layer.

        >>> Projections(["query", "key"], 2, "x").captured("blocks.0.attention")
        ('blocks.0.attention.query', 'blocks.0.attention.key')
        """
        return tuple(f"{layer}.{name}" for name in self.names)

    def shape(self, shapes: Mapping[str, Shape], layer: str) -> Shape | None:
        """Return (L, D) of each projection; None where they are no such projections."""
        found = {shapes[name] for name in self.captured(layer)}
        shape = found.pop()
        if found or len(shape) != 2 or (self.fused and shape[1] % 3):
            return None
        return (shape[0], shape[1] // 3) if self.fused else shape

    def of(self, features: Mapping[str, Tensor], layer: str) -> tuple[Tensor, ...]:
        """Return queries, keys and, where asked for, values, each (N, L, D)."""
        found = tuple(features[name] for name in self.captured(layer))
        return found[0].chunk(3, dim=-1)[: self.count] if self.fused else found


def scaled_products(left: Tensor, right: Tensor, heads: int) -> Tensor:
    r"""Return :math:`A B^\top / \sqrt{d}` of every head.

    Args:
        left: (N, L, D), with ``heads`` dividing D; d is D / heads.
        right: (N, L, D).
        heads: how many parts the last axis is cut into.

    Returns:
        (N, heads, L, L), computed in float32 at least, also under mixed precision.
    """
    a, b = (torch.unflatten(precise(x), -1, (heads, -1)).transpose(1, 2) for x in (left, right))
    # Autocast would take the product back to half precision.
    with torch.autocast(a.device.type, enabled=False):
        return a @ b.transpose(-1, -2) / math.sqrt(a.shape[-1])
