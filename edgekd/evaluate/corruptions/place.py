"""Where things stand in images: (C, H, W). Beyond the border its pixels go on; own numbers."""

from __future__ import annotations

import math

import numpy as np
from scipy import ndimage

from edgekd.evaluate.corruptions.samples import Floats, Samples, side_of
from edgekd.evaluate.corruptions.severity import Strength

#: Distance over the shorter side.
DISTANCE = Strength((0.04, 0.08, 0.12, 0.16, 0.20))
#: Angle in degrees.
ANGLE = Strength((5, 10, 15, 22, 30))


def shift(image: Floats, severity: int, random: np.random.Generator, about: Samples) -> Floats:
    """Move the image by a distance in a random direction; parts of pixels are interpolated."""
    distance = DISTANCE.at(severity) * side_of(image)
    angle = random.uniform(0.0, 2 * math.pi)
    move = (0.0, distance * math.sin(angle), distance * math.cos(angle))
    moved: Floats = ndimage.shift(image, move, order=1, mode="nearest")
    return moved


def rotate(image: Floats, severity: int, random: np.random.Generator, about: Samples) -> Floats:
    """Turn the image about its centre, to the left or to the right."""
    angle = ANGLE.at(severity) * random.choice((-1.0, 1.0))
    turned: Floats = ndimage.rotate(
        image, angle, axes=(2, 1), reshape=False, order=1, mode="nearest"
    )
    return turned
