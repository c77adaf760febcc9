"""Random augmentations of speech, on waveforms (N, ..., L): voices, rooms and gaps.

They act on the waveform, so that networks see the same view whatever each makes of it: what
SpecAugment masks in a spectrogram is silenced here, a span of time or a band of frequencies.
Parameters are drawn apart, a value for every sample; see `edgekd.distill.views`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from edgekd.errors import RecipeError


class Speed(nn.Module):
    """Plays every sample faster or slower, which moves pitch and formants too.

    Values in between are interpolated by cubic convolution (R. Keys, IEEE Transactions on
    Acoustics, Speech, and Signal Processing 29, 1981). Sample 0 stays where it is; zeros move in
    behind a faster sample, the end of a slower one is lost.

    Args:
        low: the lowest factor.
        high: the highest.
    """

    def __init__(self, low: float, high: float) -> None:
        """Store the limits."""
        super().__init__()
        self.low, self.high = low, high

    def forward_parameters(self, shape: torch.Size) -> dict[str, Tensor]:
        """Return the factor of each of (N, ..., L) samples: (N,)."""
        return {"factor": self.low + (self.high - self.low) * torch.rand(shape[0])}

    def forward(self, samples: Tensor, params: Mapping[str, Any]) -> Tensor:
        """Return the samples at their new speed."""
        length = samples.shape[-1]
        rows = samples.flatten(1, -2) if samples.ndim > 2 else samples[:, None]
        factor = params["factor"].to(samples)
        moments = torch.arange(length, device=samples.device).to(samples) * factor[:, None]
        before = moments.floor()
        part = (moments - before)[:, None]
        found = torch.zeros_like(rows)
        for offset, weight in zip((-1, 0, 1, 2), _cubic(part), strict=True):
            index = before.long() + offset
            inside = ((index >= 0) & (index < length)).to(samples)[:, None]
            places = index.clamp(0, length - 1)[:, None].expand_as(rows)
            found = found + rows.gather(-1, places) * inside * weight
        return found.reshape(samples.shape)


def _cubic(part: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return what each of four neighbours weighs at a fraction of the way between the middle two.

    Keys's kernel with a = -1/2, which is exact for parabolas.
    """
    squared, cubed = part.square(), part**3
    return (
        (-cubed + 2.0 * squared - part) / 2.0,
        (3.0 * cubed - 5.0 * squared + 2.0) / 2.0,
        (-3.0 * cubed + 4.0 * squared + part) / 2.0,
        (cubed - squared) / 2.0,
    )


class _Spans(nn.Module):
    """Draws spans of every sample.

    Args:
        count: spans a sample.
        most: the longest, as a fraction of the whole.
    """

    def __init__(self, count: int, most: float) -> None:
        """Store the limits."""
        super().__init__()
        self.count, self.most = count, most

    def forward_parameters(self, shape: torch.Size) -> dict[str, Tensor]:
        """Return where each span starts and ends, as fractions: (N, count) each.

        Their lengths are drawn, up to the longest, and then where they start.
        """
        size = self.most * torch.rand(shape[0], self.count)
        start = (1.0 - size) * torch.rand(shape[0], self.count)
        return {"start": start, "end": start + size}


class TimeMask(_Spans):
    """Silences spans of every sample, fractions of its length; see `time_mask`."""

    def forward(self, samples: Tensor, params: Mapping[str, Any]) -> Tensor:
        """Return the samples with silence in them."""
        kept = _outside(params, samples.shape[-1], samples)
        return samples * kept.reshape(_broadcast(samples, kept.shape[-1]))


class FrequencyMask(_Spans):
    """Silences bands of every sample, fractions of half its rate; see `frequency_mask`."""

    def forward(self, samples: Tensor, params: Mapping[str, Any]) -> Tensor:
        """Return the samples without those frequencies."""
        kept = _outside(params, samples.shape[-1] // 2 + 1, samples)
        return _filtered(samples, kept)


class Filter(nn.Module):
    """Gives every sample a frequency response of its own; see `random_filter`.

    Args:
        decibels: the largest gain to either side.
        points: frequencies at which it is drawn.
    """

    def __init__(self, decibels: float, points: int) -> None:
        """Store the limits."""
        super().__init__()
        self.decibels, self.points = decibels, points

    def forward_parameters(self, shape: torch.Size) -> dict[str, Tensor]:
        """Return the gains of each of (N, ...) samples, in dB: (N, points)."""
        return {"gains": (2.0 * torch.rand(shape[0], self.points) - 1.0) * self.decibels}

    def forward(self, samples: Tensor, params: Mapping[str, Any]) -> Tensor:
        """Return the filtered samples."""
        gains = params["gains"].to(samples)[:, None]
        size = samples.shape[-1] // 2 + 1
        curve = nn.functional.interpolate(gains, size, mode="linear", align_corners=True)[:, 0]
        return _filtered(samples, 10.0 ** (curve / 20.0))


def _outside(params: Mapping[str, Any], length: int, like: Tensor) -> Tensor:
    """Return (N, length): 0 in the spans and 1 outside."""
    places = (torch.arange(length, device=like.device) + 0.5) / length
    start, end = (params[name].to(like.device)[..., None] for name in ("start", "end"))
    inside = ((places >= start) & (places < end)).any(dim=1)
    outside: Tensor = (~inside).to(like)
    return outside


def _filtered(samples: Tensor, response: Tensor) -> Tensor:
    """Multiply the spectrum of whole samples (N, ..., L) with responses (N, L // 2 + 1)."""
    spectrum = torch.fft.rfft(samples.float()) * response.reshape(
        _broadcast(samples, response.shape[-1])
    )
    filtered: Tensor = torch.fft.irfft(spectrum, n=samples.shape[-1])
    return filtered.to(samples)


def _broadcast(samples: Tensor, last: int) -> tuple[int, ...]:
    """Return the shape in which rows (N, last) go with samples (N, ..., L)."""
    return (len(samples), *([1] * (samples.ndim - 2)), last)


def speed(*, sample_shape: tuple[int, ...], low: float = 0.9, high: float = 1.1) -> nn.Module:
    """Play faster or slower, as if another throat had spoken.

    T. Ko, V. Peddinti, D. Povey, S. Khudanpur, "Audio augmentation for speech recognition",
    Interspeech 2015; factors are drawn evenly here, not out of three.

    Args:
        sample_shape: (..., L).
        low: the lowest factor.
        high: the highest; above 1 is faster.

    Raises:
        RecipeError: not ``0 < low <= high``.
    """
    if not 0.0 < low <= high:
        raise RecipeError("train.augment", [f"speed: low is {low}, high {high}: 0 < low <= high"])
    return Speed(low, high)


def time_mask(*, sample_shape: tuple[int, ...], count: int = 1, most: float = 0.1) -> nn.Module:
    """Silence spans of time.

    D. S. Park et al., "SpecAugment", Interspeech 2019, https://arxiv.org/abs/1904.08779.

    Args:
        sample_shape: (..., L).
        count: spans a sample.
        most: the longest, as a fraction of the length.

    Raises:
        RecipeError: there are no spans, or the fraction is not between 0 and 1.
    """
    _check_spans("time-mask", count, most)
    return TimeMask(count, most)


def frequency_mask(
    *, sample_shape: tuple[int, ...], count: int = 1, most: float = 0.1
) -> nn.Module:
    """Silence bands of frequencies: SpecAugment's other mask; see `time_mask`.

    Args:
        sample_shape: (..., L).
        count: bands a sample.
        most: the widest, as a fraction of half the rate.

    Raises:
        RecipeError: there are no bands, or the fraction is not between 0 and 1.
    """
    _check_spans("frequency-mask", count, most)
    return FrequencyMask(count, most)


def random_filter(
    *, sample_shape: tuple[int, ...], decibels: float = 6.0, points: int = 5
) -> nn.Module:
    """Colour the sound as another room, microphone or voice would.

    Gains are drawn at frequencies equally far apart and interpolated in between, as in the linear
    form of FilterAugment (H. Nam, S.-H. Kim, Y.-H. Park, ICASSP 2022,
    https://arxiv.org/abs/2110.03282). The filter has no phase.

    Args:
        sample_shape: (..., L).
        decibels: largest gain to either side.
        points: frequencies at which gains are drawn, from 0 to half the rate.

    Raises:
        RecipeError: there are fewer than two points.
    """
    if points < 2:
        raise RecipeError("train.augment", [f"filter: points is {points}, not 2 or more"])
    return Filter(decibels, points)


def _check_spans(name: str, count: int, most: float) -> None:
    if count < 1 or not 0.0 <= most <= 1.0:
        raise RecipeError(
            "train.augment",
            [f"{name}: count is {count}, most {most}: at least 1, and between 0 and 1"],
        )
