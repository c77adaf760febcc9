"""Blur of images: (C, H, W) with values from 0 to 1. Beyond the border its pixels go on."""

from __future__ import annotations

import math

import numpy as np
from scipy import ndimage

from edgekd.evaluate.corruptions.samples import Floats, Samples, side_of
from edgekd.evaluate.corruptions.severity import Strength

#: Standard deviation in pixels.
SIGMA = Strength((0.4, 0.6, 0.7, 0.8, 1.0), (1, 2, 3, 4, 6))
#: Length of the movement in pixels; own numbers.
LENGTH = Strength((1.5, 2.5, 3.5, 4.5, 5.5), (6, 10, 16, 24, 30))


def gaussian(image: Floats, severity: int, random: np.random.Generator, about: Samples) -> Floats:
    """Blur evenly to all sides."""
    sigma = SIGMA.at(severity, side_of(image))
    blurred: Floats = ndimage.gaussian_filter(image, (0, sigma, sigma), mode="nearest")
    return blurred


def motion(image: Floats, severity: int, random: np.random.Generator, about: Samples) -> Floats:
    """Average the image over a straight movement in a random direction."""
    length = LENGTH.at(severity, side_of(image))
    angle = random.uniform(0.0, math.pi)
    steps = np.linspace(-0.5, 0.5, 2 * math.ceil(length) + 1) * length
    total = np.zeros(image.shape, dtype=np.float64)
    for step in steps:
        move = (0.0, step * math.sin(angle), step * math.cos(angle))
        total += ndimage.shift(image, move, order=1, mode="nearest")
    blurred: Floats = (total / len(steps)).astype(np.float32)
    return blurred
