"""From the values that a tensor took to the range that its 8 bits cover: pure NumPy.

Values are counted, not kept. The bins are those of floating point itself: all numbers that share
sign, exponent and the five leading bits of the fraction fall into one, so that a bin is at most
1/32 of its values wide wherever they lie. No range has to be known beforehand, one pass is
enough, and one value a million times larger than all others costs no resolution. A tensor takes
128 KB, however many samples run through it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd.quantize.calibration import CalibrationPlan

#: Bits of a float32 that do not matter: 18 of the 23 of its fraction.
_DROPPED = 18
_BINS = 1 << (32 - _DROPPED)

#: As good as infinite.
_ENDLESS = 3e38

#: Steps between the smallest and the largest of 256 levels.
_STEPS = 255

#: How far the search by squared error shrinks a side: by 2 ** (-k / 16), down to 1/128.
_SHRINKS = 2.0 ** (-np.arange(113) / 16)


class Extent:
    """Between which values a tensor lies.

    Infinity, and what is as good as it, is left out: it fills the padding in front of a maximum,
    and the places that a mask takes out before a softmax.

    Attributes:
        low: the smallest value, exactly.
        high: the largest; below ``low`` where there was no value.
    """

    def __init__(self) -> None:
        """Start without any value."""
        self.low = np.inf
        self.high = -np.inf

    def add(self, values: NDArray[Any]) -> None:
        """Look at values of any shape.

        Raises:
            FloatingPointError: one is NaN.
        """
        flat = np.ascontiguousarray(values, np.float32).reshape(-1)
        if not flat.size:
            return
        low, high = float(flat.min()), float(flat.max())
        if np.isnan(low):
            raise FloatingPointError("a value is NaN")
        if not -_ENDLESS < low <= high < _ENDLESS:
            self._count(flat[np.abs(flat) < _ENDLESS])
        else:
            self._count(flat)

    def _count(self, flat: NDArray[np.float32]) -> None:
        if flat.size:
            self.low = min(self.low, float(flat.min()))
            self.high = max(self.high, float(flat.max()))


class Histogram(Extent):
    """How often a tensor took which values.

    Attributes:
        counts: ``(16384,)``, one a bin.
    """

    def __init__(self) -> None:
        """Start without any value."""
        super().__init__()
        self.counts = np.zeros(_BINS, np.int64)

    def _count(self, flat: NDArray[np.float32]) -> None:
        super()._count(flat)
        self.counts += np.bincount(flat.view(np.uint32) >> _DROPPED, minlength=_BINS)

    def bins(self) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
        """Return the counts, left and right edges of the bins that hold something, ascending."""
        used = np.flatnonzero(self.counts).astype(np.uint32)
        near = (used << _DROPPED).view(np.float32).astype(np.float64)
        far = ((used << _DROPPED) + np.uint32(1 << _DROPPED)).view(np.float32).astype(np.float64)
        left, right = np.minimum(near, far), np.maximum(near, far)
        order = np.argsort(left, kind="stable")
        edges = [np.clip(side[order], self.low, self.high) for side in (left, right)]
        return self.counts[used][order], edges[0], edges[1]


def extent_for(plan: CalibrationPlan) -> Extent:
    """Return what is to look at the values of a tensor, for a method."""
    return Extent() if plan.method == "min-max" else Histogram()


def chosen(extent: Extent, plan: CalibrationPlan) -> tuple[float, float]:
    """Return the range that a tensor is to cover, as a plan wants it.

    Zero always lies in it: padding and ReLU need it exactly.
    """
    low, high = extent.low, extent.high
    if low > high:
        return 0.0, 0.0
    trained = plan.learned.instead_of(low, high) if plan.learned is not None else None
    if trained is not None:
        low, high = trained
    elif isinstance(extent, Histogram) and plan.method == "percentile":
        low, high = percentile(extent, plan.percentile)
    elif isinstance(extent, Histogram) and plan.method == "mse":
        low, high = least_squares(extent)
    return min(low, 0.0), max(high, 0.0)


def percentile(histogram: Histogram, share: float) -> tuple[float, float]:
    """Return the range that holds a share of all values; half of the rest lies on either side.

    Within a bin values are taken for evenly spread.

    Args:
        histogram: of the values.
        share: in percent, above 50.
    """
    counts, left, right = histogram.bins()
    ends = np.cumsum(counts)
    cut = (1.0 - share / 100.0) / 2.0 * ends[-1]

    def value(rank: float) -> float:
        index = min(int(np.searchsorted(ends, rank)), len(ends) - 1)
        inside = (rank - (ends[index] - counts[index])) / counts[index]
        return float(left[index] + inside * (right[index] - left[index]))

    return value(cut), value(ends[-1] - cut)


def least_squares(histogram: Histogram) -> tuple[float, float]:
    """Return the range whose rounding and clipping together give the least squared error.

    Both sides are shrunk together first, then each for itself, twice, in steps of 4%.
    """
    counts, left, right = histogram.bins()
    values, widths = (left + right) / 2, right - left
    low, high = min(histogram.low, 0.0), max(histogram.high, 0.0)

    def error(low: float, high: float) -> float:
        step = (high - low) / _STEPS
        if step <= 0.0:
            return float((counts * values**2).sum())
        # Bins wider than a step hold all remainders; those of a narrower one share theirs.
        rounded = (values - step * np.rint(values / step)) ** 2
        inside = np.where(widths >= step, step**2 / 12, rounded)
        beyond = np.maximum(low - values, 0.0) + np.maximum(values - high, 0.0)
        return float((counts * np.where(beyond > 0.0, beyond**2, inside)).sum())

    def best(candidates: list[tuple[float, float]]) -> tuple[float, float]:
        return min(candidates, key=lambda sides: error(*sides))

    low, high = best([(low * shrink, high * shrink) for shrink in _SHRINKS])
    start = low, high
    for _ in range(2):
        high = best([(low, high), *((low, start[1] * shrink) for shrink in _SHRINKS)])[1]
        low = best([(low, high), *((start[0] * shrink, high) for shrink in _SHRINKS)])[0]
    return float(low), float(high)
