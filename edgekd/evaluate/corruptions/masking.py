"""Parts of spectrograms (..., F, T) blanked: set to the mean of the sample.

The masks of SpecAugment (D. Park et al., Interspeech 2019, https://arxiv.org/abs/1904.08779), one
a sample, of a fixed width; own numbers.
"""

from __future__ import annotations

import numpy as np

from edgekd.evaluate.corruptions.samples import Floats, Samples
from edgekd.evaluate.corruptions.severity import Strength

#: Width over the length of the axis.
WIDTH = Strength((0.05, 0.10, 0.15, 0.20, 0.30))


def time_mask(sample: Floats, severity: int, random: np.random.Generator, about: Samples) -> Floats:
    """Blank a stretch of time in all bands."""
    return _masked(sample, severity, random, about.time_axis)


def frequency_mask(
    sample: Floats, severity: int, random: np.random.Generator, about: Samples
) -> Floats:
    """Blank a band of frequencies all the time."""
    return _masked(sample, severity, random, -3 - about.time_axis)


def _masked(sample: Floats, severity: int, random: np.random.Generator, axis: int) -> Floats:
    length = sample.shape[axis]
    width = max(1, round(WIDTH.at(severity) * length))
    start = int(random.random() * (length - width + 1))
    masked = np.moveaxis(sample.copy(), axis, -1)
    masked[..., start : start + width] = sample.mean(dtype=np.float64)
    return np.moveaxis(masked, -1, axis)
