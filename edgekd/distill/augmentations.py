"""Random augmentations of training batches, by Kornia, on tensors (N, C, H, W).

They see values that are scaled but not yet normalised, so that what is filled in is black.
Randomness comes from PyTorch's generator, which the loop seeds for every step.
"""

from __future__ import annotations

from typing import cast

from kornia import augmentation as kornia
from torch import nn

from edgekd.distill.image_operations import height_width


def crop(*, sample_shape: tuple[int, ...], padding: int = 4) -> nn.Module:
    """Pad with zeros and crop at random, back to the image's size.

    Args:
        sample_shape: (C, H, W).
        padding: pixels on each side.
    """
    size = height_width(sample_shape, "crop")
    return cast(nn.Module, kornia.RandomCrop(size, padding=padding, cropping_mode="slice"))


def flip(*, sample_shape: tuple[int, ...], probability: float = 0.5) -> nn.Module:
    """Flip left and right.

    Args:
        sample_shape: (C, H, W).
        probability: of a flip, per sample.
    """
    height_width(sample_shape, "flip")
    return cast(nn.Module, kornia.RandomHorizontalFlip(p=probability))


def affine(
    *,
    sample_shape: tuple[int, ...],
    degrees: float = 10.0,
    translate: float = 0.1,
    scale: float = 0.1,
    shear: float = 0.0,
    probability: float = 1.0,
) -> nn.Module:
    """Rotate, shift, scale and shear.

    Args:
        sample_shape: (C, H, W).
        degrees: largest rotation to either side.
        translate: largest shift, as a fraction of the image.
        scale: largest change of size, as a fraction.
        shear: largest shear, in degrees.
        probability: per sample.
    """
    height_width(sample_shape, "affine")
    return cast(
        nn.Module,
        kornia.RandomAffine(
            degrees=degrees,
            translate=(translate, translate),
            scale=(1.0 - scale, 1.0 + scale),
            shear=shear or None,
            p=probability,
        ),
    )


def erase(
    *, sample_shape: tuple[int, ...], probability: float = 0.5, area: float = 0.2
) -> nn.Module:
    """Set a random rectangle to zero (Zhong et al., https://arxiv.org/abs/1708.04896).

    Args:
        sample_shape: (C, H, W).
        probability: per sample.
        area: largest fraction of the image to erase.
    """
    height_width(sample_shape, "erase")
    return cast(nn.Module, kornia.RandomErasing(p=probability, scale=(0.02, area)))


def colour_jitter(
    *,
    sample_shape: tuple[int, ...],
    brightness: float = 0.4,
    contrast: float = 0.4,
    saturation: float = 0.4,
    hue: float = 0.0,
    probability: float = 1.0,
) -> nn.Module:
    """Change light and colours; of images in colour or in grey, scaled to between 0 and 1.

    Args:
        sample_shape: (C, H, W); saturation and hue are those of 3 channels only.
        brightness: largest change of the factor on all values.
        contrast: largest change of the factor on the distance from the mean.
        saturation: largest change of the factor on the distance from grey.
        hue: largest turn of the colour circle, up to 0.5; costs several times the others.
        probability: per sample.
    """
    height_width(sample_shape, "colour-jitter")
    coloured = sample_shape[0] == 3
    return cast(
        nn.Module,
        kornia.ColorJitter(
            brightness=brightness,
            contrast=contrast,
            saturation=saturation if coloured else 0.0,
            hue=hue if coloured else 0.0,
            p=probability,
        ),
    )
