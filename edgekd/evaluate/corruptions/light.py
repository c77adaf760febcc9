"""Light on images: (C, H, W) with values from 0 to 1."""

from __future__ import annotations

import numpy as np

from edgekd.evaluate.corruptions.samples import Floats, Samples, side_of
from edgekd.evaluate.corruptions.severity import Strength

#: What is added to the value of a pixel.
BRIGHTER = Strength((0.05, 0.1, 0.15, 0.2, 0.3), (0.1, 0.2, 0.3, 0.4, 0.5))
#: The contrast that is left.
CONTRAST = Strength((0.75, 0.5, 0.4, 0.3, 0.15), (0.4, 0.3, 0.2, 0.1, 0.05))


def brightness(image: Floats, severity: int, random: np.random.Generator, about: Samples) -> Floats:
    """Raise the value of every pixel, as HSV has it, and leave hue and saturation."""
    value = image.max(axis=0, keepdims=True)
    raised = np.minimum(value + np.float32(BRIGHTER.at(severity, side_of(image))), 1)
    ratio = np.divide(raised, value, out=np.zeros_like(value), where=value > 0)
    brighter: Floats = np.where(value > 0, image * ratio, raised)
    return brighter


def contrast(image: Floats, severity: int, random: np.random.Generator, about: Samples) -> Floats:
    """Draw every channel towards its mean."""
    mean = image.mean(axis=(1, 2), keepdims=True)
    paler: Floats = (image - mean) * np.float32(CONTRAST.at(severity, side_of(image))) + mean
    return paler
