"""Adapters: small modules that give the student's features the shape of the teacher's.

Which parts an adapter has follows from the two shapes, without the batch axis:

==========  ==========  ====================================================================
student     teacher     adapter
==========  ==========  ====================================================================
(C, H, W)   (C, H, W)   average pooling or bilinear interpolation, 1x1 convolution
(L, D)      (L, D)      average pooling or linear interpolation over time, linear layer
(D,)        (D,)        linear layer
(C, H, W)   (D,)        mean over positions, linear layer
(L, D)      (D,)        mean over tokens that are no padding, linear layer
(C, H, W)   (L, D)      resized to the grid of the L tokens, which must have H:W, linear layer
(L, D)      (C, H, W)   tokens laid out as a grid of the ratio H:W, resized, 1x1 convolution
==========  ==========  ====================================================================

A vector has no positions left and becomes nothing but a vector; other numbers of axes are taken
only where both shapes are equal.
"""

from __future__ import annotations

from math import isqrt

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgekd.errors import RecipeError

Shape = tuple[int, ...]


class Shrink(nn.Module):
    """Average pooling of (N, C, *positions) to a smaller grid."""

    def __init__(self, size: Shape) -> None:
        """Store the new positions: (L,) or (H, W)."""
        super().__init__()
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, C, *size)."""
        if len(self.size) == 1:
            return functional.adaptive_avg_pool1d(x, self.size[0])
        return functional.adaptive_avg_pool2d(x, (self.size[0], self.size[1]))


class Grow(nn.Module):
    """Linear or bilinear interpolation of (N, C, *positions) to a larger grid."""

    def __init__(self, size: Shape) -> None:
        """Store the new positions: (L,) or (H, W)."""
        super().__init__()
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, C, *size)."""
        mode = "linear" if len(self.size) == 1 else "bilinear"
        return functional.interpolate(x, self.size, mode=mode, align_corners=False)


class ChannelsLinear(nn.Linear):
    """A linear layer over the second axis of (N, C, L)."""

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, C', L)."""
        return super().forward(x.transpose(1, 2)).transpose(1, 2)


class Adapter(nn.Module):
    """Maps (N, *student) to (N, *teacher).

    Args:
        student: the shape of one sample's features.
        teacher: the shape to reach.
        always: learn a mapping of the channels also where their number is the same.
    """

    def __init__(self, student: Shape, teacher: Shape, *, always: bool = False) -> None:
        """Choose the parts."""
        super().__init__()
        self.student, self.teacher = student, teacher
        ours, theirs = _as_channels_first(student, teacher)
        steps: list[nn.Module] = []
        small = tuple(min(a, b) for a, b in zip(ours[1:], theirs[1:], strict=True))
        if small != ours[1:]:
            steps.append(Shrink(small))
        # Mixing channels commutes with resizing, so it is done where there are fewer positions.
        if (always and len(small) <= 2) or ours[0] != theirs[0]:
            steps.append(_mixer(ours[0], theirs[0], len(small)))
        if small != theirs[1:]:
            steps.append(Grow(theirs[1:]))
        self.grid = ours[1:]
        self.steps = nn.Sequential(*steps)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return the features in the teacher's shape.

        Args:
            x: (N, *student).
            mask: (N, L), False at padding, for a mean over the tokens of (N, L, D).
        """
        weight = next(self.parameters(), x)
        x = self._channels_first(x.to(weight.dtype), mask)
        x = self.steps(x)
        return x.flatten(2).transpose(1, 2) if len(self.teacher) == 2 else x

    def _channels_first(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Return (N, C, *positions), with the number of positions that the teacher has."""
        if len(self.student) == 1 or len(self.student) > 3:
            return x
        if len(self.teacher) == 1:
            return mean_of_positions(x, mask)
        if len(self.student) == 3:
            return x
        x = x.transpose(1, 2)
        return torch.unflatten(x, 2, self.grid) if len(self.teacher) == 3 else x


def make_adapter(student: Shape, teacher: Shape, *, where: str, always: bool = False) -> Adapter:
    """Return an adapter from one shape to another.

    Args:
        student: without the batch axis.
        teacher: without the batch axis.
        where: which loss and which layers, for the message.
        always: learn a mapping of the channels also where their number is the same.

    Raises:
        RecipeError: no adapter leads from one shape to the other; the message says why.
    """
    why = why_not(student, teacher)
    if why is not None:
        raise RecipeError(
            "loss",
            [f"{where}: the student's {student} cannot become the teacher's {teacher}: {why}"],
            hint="edgekd layers shows the shapes of both networks and suggests pairs.",
        )
    return Adapter(student, teacher, always=always)


def why_not(student: Shape, teacher: Shape) -> str | None:
    """Return why there is no adapter from one shape to another; None: there is one."""
    if not student or not teacher:
        return "a single number a sample is no feature"
    if max(len(student), len(teacher)) > 3:
        return None if student == teacher else "only equal shapes fit where there are over 3 axes"
    if len(student) == 1 and len(teacher) > 1:
        return "a vector has no positions left; take a student's layer before its pooling"
    tokens, image = (student, teacher) if len(student) == 2 else (teacher, student)
    if len(image) == 3 and len(tokens) == 2 and token_grid(tokens[0], image[1:]) is None:
        return (
            f"{tokens[0]} tokens are no grid of the ratio {image[1]}:{image[2]} "
            "(is there a class token?); take a layer of one vector a sample"
        )
    return None


def token_grid(tokens: int, size: Shape) -> Shape | None:
    """Return (h, w) with h * w tokens and the ratio of ``size``; None if there is no such grid.

    >>> token_grid(16, (8, 8)), token_grid(8, (4, 8)), token_grid(17, (8, 8))
    ((4, 4), (2, 4), None)
    """
    height = isqrt(tokens * size[0] // size[1])
    if height == 0 or tokens % height:
        return None
    width = tokens // height
    return (height, width) if height * size[1] == width * size[0] else None


def mean_of_positions(x: Tensor, mask: Tensor | None = None) -> Tensor:
    """Return one vector a sample: the mean over positions, or over tokens that are no padding.

    Args:
        x: (N, C, H, W), (N, L, D) or (N, D).
        mask: (N, L) for (N, L, D), False at padding; or None.
    """
    if x.ndim == 2:
        return x
    if x.ndim > 3:
        return x.flatten(2).mean(2)
    if mask is None:
        return x.mean(1)
    kept = x.masked_fill(~mask[..., None], 0.0)
    return kept.sum(1) / mask.sum(1, keepdim=True).clamp(min=1).to(x.dtype)


def _as_channels_first(student: Shape, teacher: Shape) -> tuple[Shape, Shape]:
    """Return both shapes as (C, *positions), with as many axes of positions as the teacher."""
    if max(len(student), len(teacher)) > 3:
        return student, teacher
    theirs = (teacher[1], teacher[0]) if len(teacher) == 2 else teacher
    channels = student[1] if len(student) == 2 else student[0]
    if len(teacher) == 1:
        return (channels,), theirs
    if len(student) == len(teacher):
        return (channels, student[0]) if len(student) == 2 else student, theirs
    if len(teacher) == 3:
        return (channels, *_grid(student[0], teacher[1:])), theirs
    return student, (teacher[1], *_grid(teacher[0], student[1:]))


def _grid(tokens: int, size: Shape) -> Shape:
    found = token_grid(tokens, size)
    if found is None:
        raise RecipeError("loss", [f"{tokens} tokens are no grid of the ratio of {size}"])
    return found


def _mixer(inputs: int, outputs: int, positions: int) -> nn.Module:
    if positions == 2:
        return nn.Conv2d(inputs, outputs, 1)
    return nn.Linear(inputs, outputs) if positions == 0 else ChannelsLinear(inputs, outputs)
