"""What policies of augmentation do to images: (N, C, H, W) between 0 and 1, each by its own amount.

They compute what Pillow's `ImageEnhance` and `ImageOps` do, which the papers used, but for the
rounding to whole numbers. Amounts are (N,) tensors.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from edgekd.errors import RecipeError

#: ITU-R BT.601, as Pillow's mode L.
_LUMA = (0.299, 0.587, 0.114)


def height_width(sample_shape: tuple[int, ...], name: str) -> tuple[int, int]:
    """Return the size of images.

    Args:
        sample_shape: of the samples that an augmentation is given.
        name: of the augmentation.

    Raises:
        RecipeError: they are no images (C, H, W).
    """
    if len(sample_shape) != 3:
        raise RecipeError(
            "train.augment", [f"{name!r} needs images (C, H, W), not samples of {sample_shape}"]
        )
    return sample_shape[1], sample_shape[2]


def brightness(images: Tensor, factor: Tensor) -> Tensor:
    """Return images between black (0), themselves (1) and beyond."""
    return _blend(torch.zeros_like(images), images, factor)


def contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Return images between the mean of their own luma (0), themselves (1) and beyond."""
    return _blend(_grey(images).mean(dim=(2, 3), keepdim=True), images, factor)


def colour(images: Tensor, factor: Tensor) -> Tensor:
    """Return images between grey (0), themselves (1) and beyond; grey ones as they are."""
    return _blend(_grey(images), images, factor)


def sharpness(images: Tensor, factor: Tensor) -> Tensor:
    """Return images between smoothed (0), themselves (1) and beyond; the border stays."""
    channels = images.shape[1]
    kernel = torch.ones(channels, 1, 3, 3, dtype=images.dtype, device=images.device)
    kernel[:, :, 1, 1] = 5.0
    smooth = images.clone()
    smooth[:, :, 1:-1, 1:-1] = F.conv2d(images, kernel / 13.0, groups=channels)
    return _blend(smooth, images, factor)


def posterize(images: Tensor, bits: Tensor) -> Tensor:
    """Return images of which only so many of 8 bits are left."""
    step = 2.0 ** (8.0 - _each(bits, images))
    return ((images * 255.0).round() / step).floor() * step / 255.0


def solarize(images: Tensor, threshold: Tensor) -> Tensor:
    """Return images with all values from the threshold on inverted."""
    return torch.where(images >= _each(threshold, images), 1.0 - images, images)


def auto_contrast(images: Tensor) -> Tensor:
    """Return images of which each channel reaches from 0 to 1; a channel of one value stays."""
    low = images.amin(dim=(2, 3), keepdim=True)
    span = images.amax(dim=(2, 3), keepdim=True) - low
    return torch.where(span > 0, (images - low) / span.clamp(min=1e-6), images)


def equalize(images: Tensor) -> Tensor:
    """Return images with the histogram of each channel flattened, in 256 levels."""
    levels = (images * 255.0).round().long().clamp(0, 255).flatten(2)
    histogram = torch.zeros(*levels.shape[:2], 256, dtype=torch.long, device=images.device)
    histogram.scatter_add_(2, levels, torch.ones_like(levels))
    last = histogram.gather(2, levels.amax(dim=2, keepdim=True))
    step = (levels.shape[2] - last) // 255
    before = histogram.cumsum(dim=2) - histogram
    table = ((before + step // 2) // step.clamp(min=1)).clamp(max=255)
    flat = (table.gather(2, levels).to(images.dtype) / 255.0).reshape(images.shape)
    return torch.where((step > 0)[..., None], flat, images)


def warp(images: Tensor, matrices: Tensor) -> Tensor:
    """Return images of which every point is fetched from elsewhere, bilinearly; outside is black.

    Args:
        images: (N, C, H, W).
        matrices: (N, 2, 3), from the place of a pixel to where it is fetched from, x before y, both
            from -1 at one edge of the image to 1 at the other.
    """
    grid = F.affine_grid(matrices.to(images.dtype), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", align_corners=False)


def _grey(images: Tensor) -> Tensor:
    """Return (N, 1, H, W)."""
    if images.shape[1] != len(_LUMA):
        return images.mean(dim=1, keepdim=True)
    weights = torch.tensor(_LUMA, dtype=images.dtype, device=images.device)
    return (images * weights[:, None, None]).sum(dim=1, keepdim=True)


def _blend(start: Tensor, images: Tensor, factor: Tensor) -> Tensor:
    return (start + _each(factor, images) * (images - start)).clamp(0.0, 1.0)


def _each(amounts: Tensor, images: Tensor) -> Tensor:
    return amounts.to(images)[:, None, None, None]
