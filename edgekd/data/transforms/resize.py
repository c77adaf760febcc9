"""Images at another size."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional

from edgekd.errors import DataError


class Resize(nn.Module):
    """(N, C, H, W) in, (N, C, *size) out, with antialiasing.

    Args:
        sample_shape: of what comes in.
        size: height and width.
        mode: ``bilinear`` or ``bicubic``.

    Raises:
        DataError: samples are no images.
    """

    def __init__(
        self,
        sample_shape: tuple[int, ...],
        size: tuple[int, int],
        mode: Literal["bilinear", "bicubic"] = "bilinear",
    ) -> None:
        """Check the shape."""
        super().__init__()
        if len(sample_shape) != 3 or min(size) < 1:
            raise DataError(
                f"the transform 'resize' makes images (C, H, W) of size {tuple(size)} out of "
                f"samples of shape {sample_shape}",
                hint="It takes images, and size = [HEIGHT, WIDTH].",
            )
        self.size = tuple(size)
        self.mode = mode

    def forward(self, samples: Tensor) -> Tensor:
        """Return the images at the new size."""
        return functional.interpolate(
            samples, size=self.size, mode=self.mode, antialias=True, align_corners=False
        )
