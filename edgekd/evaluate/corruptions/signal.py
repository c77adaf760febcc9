"""Corruptions of signals over time: waveforms (..., T), some also spectrograms. Own numbers."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from scipy.signal import resample_poly

from edgekd.evaluate.corruptions.samples import Floats, Samples
from edgekd.evaluate.corruptions.severity import Strength

#: Signal-to-noise ratio in decibel.
SNR = Strength((20, 15, 10, 5, 0))
#: Distance over the length of the sample.
DISTANCE = Strength((0.02, 0.05, 0.10, 0.15, 0.20))
#: Decibels.
GAIN = Strength((3, 6, 10, 15, 20))
#: Fraction of the values that is cut off.
CLIPPED = Strength((0.01, 0.03, 0.06, 0.12, 0.25))
#: How many times as fast; slower is its inverse.
RATE = Strength((1.05, 1.1, 1.2, 1.3, 1.5))


def white_noise(
    sample: Floats, severity: int, random: np.random.Generator, about: Samples
) -> Floats:
    """Add normal noise at a ratio to the sample's own variance; silence stays silent."""
    scale = float(sample.std(dtype=np.float64)) * 10 ** (-SNR.at(severity) / 20)
    return sample + np.float32(scale) * random.standard_normal(sample.shape, dtype=np.float32)


def time_shift(
    sample: Floats, severity: int, random: np.random.Generator, about: Samples
) -> Floats:
    """Begin earlier or later: waveforms begin or end in silence, spectrograms stand still."""
    axis = about.time_axis
    length = sample.shape[axis]
    distance = max(1, round(DISTANCE.at(severity) * length)) * int(random.choice((-1, 1)))
    source = np.arange(length) - distance
    moved: Floats = np.take(sample, source.clip(0, length - 1), axis=axis)
    if about.kind == "waveform":
        moved[..., (source < 0) | (source >= length)] = 0
    return moved


def gain(sample: Floats, severity: int, random: np.random.Generator, about: Samples) -> Floats:
    """Turn the volume down, or up as far as the values that the training data takes."""
    decibels = GAIN.at(severity) * random.choice((-1.0, 1.0))
    louder: Floats = (sample * np.float32(10 ** (decibels / 20))).clip(about.low, about.high)
    return louder


def clipping(sample: Floats, severity: int, random: np.random.Generator, about: Samples) -> Floats:
    """Cut the loudest values off."""
    limit = np.quantile(np.abs(sample), 1 - CLIPPED.at(severity))
    return sample.clip(-limit, limit).astype(np.float32)


def speed(sample: Floats, severity: int, random: np.random.Generator, about: Samples) -> Floats:
    """Play faster or slower, as a tape would, and keep the middle."""
    rate = Fraction(RATE.at(severity)).limit_denominator(100)
    rate = rate if random.random() < 0.5 else 1 / rate
    # The filter takes the ends to go on as straight lines: a step to zero would ring.
    played = resample_poly(sample, rate.denominator, rate.numerator, axis=-1, padtype="line")
    return fit(played.astype(np.float32), sample.shape[-1])


def fit(sample: Floats, length: int) -> Floats:
    """Return the middle of a waveform, or the waveform in the middle of silence.

    >>> fit(np.array([1.0, 2.0, 3.0, 4.0]), 2).tolist(), fit(np.array([1.0, 2.0]), 4).tolist()
    ([2.0, 3.0], [0.0, 1.0, 2.0, 0.0])
    """
    excess = sample.shape[-1] - length
    if excess >= 0:
        return sample[..., excess // 2 : excess // 2 + length]
    before = -excess // 2
    pad = [(0, 0)] * (sample.ndim - 1) + [(before, -excess - before)]
    return np.pad(sample, pad)
