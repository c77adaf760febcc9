"""Noise on images: (C, H, W) with values from 0 to 1.

The random numbers are drawn alike at every severity, so that a stronger corruption of a sample is
more of the same.
"""

from __future__ import annotations

import numpy as np

from edgekd.evaluate.corruptions.samples import Floats, Samples, side_of
from edgekd.evaluate.corruptions.severity import Strength

#: Standard deviation; the whole range of an image is 1.
GAUSSIAN = Strength((0.04, 0.06, 0.08, 0.09, 0.10), (0.08, 0.12, 0.18, 0.26, 0.38))
#: Photons of a white pixel.
PHOTONS = Strength((500, 250, 100, 75, 50), (60, 25, 12, 5, 3))
#: Fraction of the values.
IMPULSES = Strength((0.01, 0.02, 0.03, 0.05, 0.07), (0.03, 0.06, 0.09, 0.17, 0.27))


def gaussian(image: Floats, severity: int, random: np.random.Generator, about: Samples) -> Floats:
    """Add normal noise to every value."""
    scale = np.float32(GAUSSIAN.at(severity, side_of(image)))
    return image + scale * random.standard_normal(image.shape, dtype=np.float32)


def shot(image: Floats, severity: int, random: np.random.Generator, about: Samples) -> Floats:
    """Count photons: every value becomes a Poisson number over its expectation."""
    photons = PHOTONS.at(severity, side_of(image))
    return (random.poisson(image * photons) / photons).astype(np.float32)


def impulse(image: Floats, severity: int, random: np.random.Generator, about: Samples) -> Floats:
    """Set a fraction of the values to 0 or 1, one as likely as the other."""
    amount = IMPULSES.at(severity, side_of(image))
    struck = random.random(image.shape) < amount
    extreme = (random.random(image.shape) < 0.5).astype(np.float32)
    return np.where(struck, extreme, image)
