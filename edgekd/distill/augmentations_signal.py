"""Random augmentations of waveforms and other signals, on tensors (N, ..., L).

Each draws its parameters apart from applying them, a value for every sample, as Kornia's do; see
`edgekd.distill.views`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from edgekd.errors import RecipeError


class TimeShift(nn.Module):
    """Shifts every sample by up to so many values to either side; zeros move in.

    Args:
        most: values.
    """

    def __init__(self, most: int) -> None:
        """Store the limit."""
        super().__init__()
        self.most = most

    def forward_parameters(self, shape: torch.Size) -> dict[str, Tensor]:
        """Return how far each of (N, ..., L) samples moves to the right: (N,) int64."""
        return {"shift": torch.randint(-self.most, self.most + 1, (shape[0],))}

    def forward(self, samples: Tensor, params: Mapping[str, Any]) -> Tensor:
        """Return the shifted samples."""
        length = samples.shape[-1]
        shift = params["shift"].to(samples.device)
        source = torch.arange(length, device=samples.device) - shift[:, None]
        inside = ((source >= 0) & (source < length)).to(samples.dtype)
        between = (len(samples), *([1] * (samples.ndim - 2)), length)
        index = source.clamp(0, length - 1).reshape(between).expand_as(samples)
        shifted: Tensor = samples.gather(-1, index) * inside.reshape(between)
        return shifted


class Gain(nn.Module):
    """Multiplies every sample with a factor of its own.

    Args:
        decibels: the largest change to either side.
    """

    def __init__(self, decibels: float) -> None:
        """Store the limit."""
        super().__init__()
        self.decibels = decibels

    def forward_parameters(self, shape: torch.Size) -> dict[str, Tensor]:
        """Return the factor of each of (N, ...) samples: (N,)."""
        decibels = (2.0 * torch.rand(shape[0]) - 1.0) * self.decibels
        return {"factor": 10.0 ** (decibels / 20.0)}

    def forward(self, samples: Tensor, params: Mapping[str, Any]) -> Tensor:
        """Return the samples, louder or softer."""
        return samples * _each(params["factor"], samples)


class Noise(nn.Module):
    """Adds white Gaussian noise to every sample, at a signal-to-noise ratio of its own.

    The signal's power is the mean of its squares over the whole sample. The noise follows from a
    seed for each sample, so that a view of a large data set need not be kept.

    Args:
        low: the lowest ratio, in dB.
        high: the highest, in dB.
    """

    def __init__(self, low: float, high: float) -> None:
        """Store the limits."""
        super().__init__()
        self.low, self.high = low, high

    def forward_parameters(self, shape: torch.Size) -> dict[str, Tensor]:
        """Return the ratio and the seed of each of (N, ...) samples: (N,) each."""
        ratio = self.low + (self.high - self.low) * torch.rand(shape[0])
        return {"ratio": ratio, "seed": torch.randint(2**62, (shape[0],))}

    def forward(self, samples: Tensor, params: Mapping[str, Any]) -> Tensor:
        """Return the noisy samples."""
        generator = torch.Generator()
        drawn = torch.stack(
            [
                torch.randn(samples.shape[1:], generator=generator.manual_seed(seed))
                for seed in params["seed"].tolist()
            ]
        ).to(samples)
        power = samples.flatten(1).square().mean(dim=1)
        size = (power * 10.0 ** (-params["ratio"].to(samples) / 10.0)).sqrt()
        return samples + drawn * _each(size, samples)


def _each(values: Tensor, samples: Tensor) -> Tensor:
    """Return a value for each sample, shaped so that it broadcasts."""
    return values.to(samples).reshape(-1, *([1] * (samples.ndim - 1)))


def time_shift(*, sample_shape: tuple[int, ...], most: float = 0.1) -> nn.Module:
    """Shift along the last axis; what leaves is lost, zeros move in.

    Args:
        sample_shape: (..., L).
        most: largest shift to either side, as a fraction of the length.

    Raises:
        RecipeError: the fraction is not between 0 and 1.
    """
    if not 0.0 <= most <= 1.0:
        raise RecipeError("train.augment", [f"time-shift: most is {most}, not between 0 and 1"])
    return TimeShift(round(most * sample_shape[-1]))


def gain(*, sample_shape: tuple[int, ...], decibels: float = 6.0) -> nn.Module:
    """Make samples louder or softer.

    Args:
        sample_shape: any.
        decibels: largest change to either side.
    """
    return Gain(decibels)


def noise(*, sample_shape: tuple[int, ...], low: float = 10.0, high: float = 40.0) -> nn.Module:
    """Add white Gaussian noise at a random signal-to-noise ratio.

    Args:
        sample_shape: any.
        low: lowest ratio, in dB.
        high: highest ratio, in dB.

    Raises:
        RecipeError: ``low`` is above ``high``.
    """
    if low > high:
        raise RecipeError("train.augment", [f"noise: low is {low}, above high, {high}"])
    return Noise(low, high)
