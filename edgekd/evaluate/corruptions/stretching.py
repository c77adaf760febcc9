"""Time and pitch of waveforms (..., T), each without the other, by Signalsmith Stretch.

python-stretch binds it; it repeats to the bit. Own numbers.
"""

from __future__ import annotations

import numpy as np
from python_stretch import Signalsmith

from edgekd.evaluate.corruptions.samples import Floats, Samples
from edgekd.evaluate.corruptions.severity import Strength
from edgekd.evaluate.corruptions.signal import RATE, fit

#: Semitones up or down.
SEMITONES = Strength((0.5, 1, 2, 3, 4))

#: The longest window: 120 ms at 16 kHz, as the library's own preset has it.
_WINDOW = 1920


def time_stretch(
    sample: Floats, severity: int, random: np.random.Generator, about: Samples
) -> Floats:
    """Speak faster or slower at the same pitch, and keep the middle."""
    rate = RATE.at(severity)
    stretch = _stretch(sample)
    stretch.setTimeFactor(rate if random.random() < 0.5 else 1 / rate)
    return _played(stretch, sample)


def pitch(sample: Floats, severity: int, random: np.random.Generator, about: Samples) -> Floats:
    """Speak higher or lower at the same length."""
    stretch = _stretch(sample)
    stretch.setTransposeSemitones(SEMITONES.at(severity) * float(random.choice((-1, 1))))
    return _played(stretch, sample)


def _stretch(sample: Floats) -> Signalsmith.Stretch:
    """Set up for a sample whose rate nobody knows: windows of an eighth of it, if that is short."""
    channels = 1 if sample.ndim == 1 else len(sample)
    window = max(16, min(_WINDOW, sample.shape[-1] // 8))
    stretch = Signalsmith.Stretch()
    stretch.configure(channels, window, window // 4)
    return stretch


def _played(stretch: Signalsmith.Stretch, sample: Floats) -> Floats:
    length = sample.shape[-1]
    played = stretch.process(np.ascontiguousarray(sample.reshape(-1, length)))
    return fit(np.array(played, dtype=np.float32), length).reshape(sample.shape)
