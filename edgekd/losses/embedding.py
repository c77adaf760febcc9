"""Embeddings: one vector a sample, which losses on relations between samples compare.

They are taken from pairs of layers, or from the logits where a recipe names no layers.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgekd.errors import EdgekdError, RecipeError
from edgekd.losses.base import Facts, Outputs

#: Shorter vectors have no direction; the same value keeps means of distances away from 0.
TINY = 1e-8

Pairs = tuple[tuple[str, str], ...]


def read_pairs(layers: Sequence[tuple[str, str]] | None) -> Pairs:
    """Check the option ``layers``; () stands for the logits.

    Raises:
        EdgekdError: it is empty, or an entry is no pair of names.
    """
    if layers is None:
        return ()
    if not layers or any(isinstance(pair, str) or len(pair) != 2 for pair in layers):
        raise EdgekdError(
            f"layers must be pairs of a student's and a teacher's layer, not {list(layers)!r}",
            hint='Write it as layers = [["pool", "pool"]], or leave it out to use the logits.',
        )
    return tuple((ours, theirs) for ours, theirs in layers)


def names_of(pairs: Pairs) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the student's and the teacher's names, as `Loss.layers` does."""
    return tuple(ours for ours, _ in pairs), tuple(theirs for _, theirs in pairs)


def widths(facts: Facts, pairs: Pairs) -> list[tuple[int, int]]:
    """Return the lengths of the student's and the teacher's embedding, a pair of layers each.

    Raises:
        RecipeError: a layer, or the network, gives a single number a sample.
    """
    if not pairs:
        return [(_width(facts.student_logits, "logits"), _width(facts.teacher_logits, "logits"))]
    return [
        (_width(facts.student[ours], ours), _width(facts.teacher[theirs], theirs))
        for ours, theirs in pairs
    ]


def _width(shape: tuple[int, ...], name: str) -> int:
    if not shape:
        raise RecipeError(
            "loss",
            [f"{name!r} gives one number a sample (shape ()), not a vector"],
            hint="Name layers of vectors, tokens or feature maps: layers = [[student, teacher]].",
        )
    return shape[-1] if len(shape) <= 2 else shape[0]


def embeddings(
    student: Outputs, teacher: Outputs, pairs: Pairs, *, flatten: bool = False
) -> list[tuple[Tensor, Tensor]]:
    """Return (N, D) of the student and of the teacher for every pair, the teacher's detached.

    Args:
        student: with gradients.
        teacher: its padding is the student's.
        pairs: of layers; () for the logits.
        flatten: keep every position of feature maps instead of their mean; see `embedding`.
    """
    found = (
        [(student.features[ours], teacher.features[theirs]) for ours, theirs in pairs]
        if pairs
        else [(student.logits, teacher.logits)]
    )
    mask = student.mask
    return [
        (embedding(ours, mask, flatten=flatten), embedding(theirs.detach(), mask, flatten=flatten))
        for ours, theirs in found
    ]


def embedding(values: Tensor, mask: Tensor | None = None, *, flatten: bool = False) -> Tensor:
    """Return one vector a sample, in float32 at least.

    Args:
        values: (N, D), taken as it is; (N, L, D), the mean over the tokens that are no padding;
            (N, C, H, W) or more axes, the mean over all positions.
        mask: (N, L), False at padding.
        flatten: (N, C, H, W) becomes (N, C * H * W) instead.

    Raises:
        EdgekdError: the tokens are not those of the mask.

    Example (mean of 1 and 3; 9 is padding):
        >>> import torch
        >>> tokens = torch.tensor([[[1.0], [3.0], [9.0]]])
        >>> embedding(tokens, torch.tensor([[True, True, False]])).item()
        2.0
    """
    precise = values.float() if values.dtype.itemsize < torch.float32.itemsize else values
    if precise.ndim > 3:
        return precise.flatten(1) if flatten else precise.flatten(2).mean(-1)
    if precise.ndim < 3:
        return precise
    if mask is None:
        return precise.mean(1)
    if mask.shape != precise.shape[:2]:
        raise EdgekdError(
            f"a feature of shape {tuple(precise.shape)} is not one vector for each token of the "
            f"mask {tuple(mask.shape)}",
            hint="Choose a layer that keeps the tokens: (N, L, D).",
        )
    counts = mask.to(precise.dtype).unsqueeze(-1)
    # where, not a product: padding may hold anything, also NaN
    return torch.where(mask.bool().unsqueeze(-1), precise, 0.0).sum(1) / counts.sum(1).clamp_min(1)


def unit(rows: Tensor) -> Tensor:
    """Return the rows with length 1; rows of no length stay 0 and pass no gradient.

    `torch.nn.functional.normalize` passes a gradient of 1e12 there instead, which one dead sample
    or two equal ones are enough to bring about.

    Example:
        >>> import torch
        >>> unit(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
        tensor([[0.6000, 0.8000],
                [0.0000, 0.0000]])
    """
    # The largest entry first: the squares of large entries would overflow.
    largest = rows.detach().abs().amax(-1, keepdim=True)
    some = ~(largest <= TINY)  # NaN stays NaN
    scaled = torch.where(some, rows / torch.where(some, largest, 1.0), 0.0)
    squares = scaled.square().sum(-1, keepdim=True)
    return scaled * torch.where(some, squares, 1.0).rsqrt()


def full_precision(values: Tensor) -> torch.autocast:
    """Return a context in which matrix products are not cast to half precision."""
    return torch.autocast(values.device.type, enabled=False)


class Projection(nn.Linear):
    """A linear layer that computes in the precision of what it is given, float32 at least.

    Args:
        inputs: length of what comes in.
        outputs: length of what goes out.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        """Make the weights, as `nn.Linear` does."""
        super().__init__(inputs, outputs)

    def forward(self, rows: Tensor) -> Tensor:
        """Return (N, outputs) of (N, inputs)."""
        return functional.linear(rows, self.weight.to(rows.dtype), self.bias.to(rows.dtype))
