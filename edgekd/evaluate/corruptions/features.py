"""Corruptions of vectors (F,), in terms of what the training split holds. Own numbers."""

from __future__ import annotations

import numpy as np

from edgekd.evaluate.corruptions.samples import Floats, Samples
from edgekd.evaluate.corruptions.severity import Strength

#: Noise over the deviation of the feature.
NOISE = Strength((0.1, 0.2, 0.4, 0.7, 1.0))
#: Fraction of the features.
MISSING = Strength((0.05, 0.1, 0.2, 0.3, 0.5))


def noise(sample: Floats, severity: int, random: np.random.Generator, about: Samples) -> Floats:
    """Add normal noise to every feature, in proportion to its deviation."""
    drawn = random.standard_normal(sample.shape, dtype=np.float32)
    return sample + np.float32(NOISE.at(severity)) * about.deviation * drawn


def missing(sample: Floats, severity: int, random: np.random.Generator, about: Samples) -> Floats:
    """Replace features, each with the same chance, by their means: what imputing would do."""
    return np.where(random.random(sample.shape) < MISSING.at(severity), about.mean, sample)
