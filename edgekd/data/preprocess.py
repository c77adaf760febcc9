"""From raw samples to network input: ``(raw * scale - mean[c]) / std[c]``.

``c`` runs over the first axis of a sample: the channels of an image, the features of a vector.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edgekd.records import Preprocess


def apply(raw: npt.NDArray[np.generic], preprocess: Preprocess) -> npt.NDArray[np.float32]:
    """Return network input, float32, of raw samples (n, *sample_shape)."""
    axes = (1, -1) + (1,) * (raw.ndim - 2)
    mean = np.asarray(preprocess.mean, dtype=np.float32).reshape(axes)
    std = np.asarray(preprocess.std, dtype=np.float32).reshape(axes)
    scaled = raw.astype(np.float32) * np.float32(preprocess.scale)
    result: npt.NDArray[np.float32] = (scaled - mean) / std
    return result


class Statistics:
    """Mean and standard deviation of each channel, one batch at a time.

    Batches are merged as in Chan, Golub and LeVeque (1979), in float64, so that a large mean does
    not drown a small spread as it would with plain sums of squares.

    Args:
        channels: the length of the first axis of a sample.
    """

    def __init__(self, channels: int) -> None:
        """Start from no samples."""
        self._count = 0
        self._mean = np.zeros(channels)
        self._squares = np.zeros(channels)

    def add(self, raw: npt.NDArray[np.generic]) -> None:
        """Take in raw samples (n, channels, ...)."""
        values = np.moveaxis(raw, 1, 0).reshape(len(self._mean), -1).astype(np.float64)
        count = values.shape[1]
        mean = values.mean(axis=1)
        squares = ((values - mean[:, None]) ** 2).sum(axis=1)
        total = self._count + count
        shift = mean - self._mean
        self._squares += squares + shift**2 * (self._count * count / total)
        self._mean += shift * (count / total)
        self._count = total

    def preprocess(self, scale: float) -> Preprocess:
        """Return the preprocessing that gives every channel mean 0 and deviation 1.

        A constant channel keeps deviation 1: there is nothing to divide by.
        """
        std = np.sqrt(self._squares / max(self._count, 1))
        # float32 cannot hold a spread below 6e-8 of the mean: what is left is rounding.
        std = np.where(std <= 1e-7 * np.abs(self._mean), 0.0, std) * scale
        return Preprocess(
            scale=scale,
            mean=tuple(float(value) for value in self._mean * scale),
            std=tuple(float(value) if value > 0.0 else 1.0 for value in std),
        )
