"""Cut a piece out of images, or put them on a larger ground."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from edgekd.errors import DataError


class CenterCrop(nn.Module):
    """(N, C, H, W) in, their centres (N, C, *size) out.

    Args:
        sample_shape: of what comes in.
        size: height and width, at most those of the images.

    Raises:
        DataError: samples are no images, or too small.
    """

    def __init__(self, sample_shape: tuple[int, ...], size: tuple[int, int]) -> None:
        """Find the upper left corner."""
        super().__init__()
        room = _room("center-crop", sample_shape, size, sign=-1)
        self.top, self.left = room[0] // 2, room[1] // 2
        self.height, self.width = size

    def forward(self, samples: Tensor) -> Tensor:
        """Return the centres."""
        rows = slice(self.top, self.top + self.height)
        return samples[..., rows, self.left : self.left + self.width]


class Pad(nn.Module):
    """(N, C, H, W) in, (N, C, *size) out: zeros around the images.

    Args:
        sample_shape: of what comes in.
        size: height and width, at least those of the images.

    Raises:
        DataError: samples are no images, or too large.
    """

    def __init__(self, sample_shape: tuple[int, ...], size: tuple[int, int]) -> None:
        """Find the widths of the edges."""
        super().__init__()
        high, wide = _room("pad", sample_shape, size, sign=1)
        # An odd row or column goes below and to the right.
        self.edges = (wide // 2, wide - wide // 2, high // 2, high - high // 2)

    def forward(self, samples: Tensor) -> Tensor:
        """Return the images on their ground."""
        return functional.pad(samples, self.edges)


def _room(
    name: str, shape: tuple[int, ...], size: tuple[int, int], *, sign: int
) -> tuple[int, int]:
    """Return how many rows and columns go or come."""
    fits = len(shape) == 3 and all(
        sign * (new - old) >= 0 and new > 0 for new, old in zip(size, shape[1:], strict=True)
    )
    if not fits:
        raise DataError(
            f"the transform {name!r} cannot make images of size {tuple(size)} out of samples of "
            f"shape {tuple(shape)}",
            hint="It takes images (C, H, W); center-crop makes them smaller, pad larger.",
        )
    return abs(size[0] - shape[1]), abs(size[1] - shape[2])
