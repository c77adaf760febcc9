"""Standard corruptions of samples: what a network meets outside the data it was trained with.

A corruption is a function ``f(sample, severity, random, about)``: one float32 sample as the data
gives it, of the same shape when it comes back.

- An image is (C, H, W) with values from 0 to 1, whatever the data's own range is.
- A waveform is (C, T) or (T,), a spectrogram (..., F, T), a vector (F,), all in the data's values.
- ``severity`` runs from 1 to 5, ``random`` is a `numpy.random.Generator` that depends on the
  sample's id and not on the severity, ``about`` is `edgekd.evaluate.corruptions.samples.Samples`.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgekd.registry import Row, Table

#: What samples can be.
KINDS = ("image", "waveform", "spectrogram", "vector")

_HERE = "edgekd.evaluate.corruptions"


@dataclass(frozen=True)
class CorruptionRow(Row):
    """One corruption.

    Attributes:
        takes: the kinds of samples that it is meant for.
    """

    takes: tuple[str, ...] = KINDS


def _row(name: str, target: str, summary: str, *takes: str, extra: str = "train") -> CorruptionRow:
    """Make a row whose summary says first what it takes."""
    who = ", ".join(f"{kind}s" for kind in takes)
    return CorruptionRow(name, f"{_HERE}.{target}", f"{who}: {summary}", extra=extra, takes=takes)


CORRUPTIONS = Table(
    "corruption",
    [
        _row("gaussian-noise", "noise:gaussian", "normal noise, as of a dim sensor", "image"),
        _row("shot-noise", "noise:shot", "Poisson noise of few photons", "image"),
        _row("impulse-noise", "noise:impulse", "single values black or white", "image"),
        _row("gaussian-blur", "blur:gaussian", "out of focus", "image"),
        _row("motion-blur", "blur:motion", "moved along a line while it was taken", "image"),
        _row("brightness", "light:brightness", "brighter", "image"),
        _row("contrast", "light:contrast", "paler", "image"),
        _row("jpeg", "coding:jpeg", "stored as JPEG of low quality", "image"),
        _row("pixelate", "coding:pixelate", "taken at a lower resolution", "image"),
        _row("shift", "place:shift", "moved aside", "image"),
        _row("rotate", "place:rotate", "turned", "image"),
        _row(
            "white-noise", "signal:white_noise", "noise at an SNR in dB", "waveform", "spectrogram"
        ),
        _row("time-shift", "signal:time_shift", "earlier or later", "waveform", "spectrogram"),
        _row("gain", "signal:gain", "quieter, or louder and cut off", "waveform"),
        _row("clipping", "signal:clipping", "the loudest values cut off", "waveform"),
        _row("speed", "signal:speed", "played faster or slower, the pitch with it", "waveform"),
        _row(
            "time-stretch",
            "stretching:time_stretch",
            "faster or slower at the same pitch",
            "waveform",
            extra="audio",
        ),
        _row(
            "pitch",
            "stretching:pitch",
            "higher or lower at the same length",
            "waveform",
            extra="audio",
        ),
        _row("time-mask", "masking:time_mask", "a stretch of time blanked", "spectrogram"),
        _row("frequency-mask", "masking:frequency_mask", "a band blanked", "spectrogram"),
        _row("feature-noise", "features:noise", "normal noise on every feature", "vector"),
        _row("feature-missing", "features:missing", "features at their mean", "vector"),
    ],
)
