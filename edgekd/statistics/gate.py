"""Is one model slower than another? The interval of a median of paired ratios, and the decision.

Two models take turns, a pair of turns at a time, and every pair gives a ratio of two latencies of
one moment: what disturbs the machine for longer than a pair disturbs both. Neighbouring pairs are
still alike, so that the bootstrap draws blocks of them and not single ones.

This file also runs on the device, beside the agent: it needs Python 3.9, NumPy and nothing of
edgekd.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

#: Neighbouring pairs that are drawn together.
BLOCK = 10
#: What the interval covers.
LEVEL = 0.95
RESAMPLES = 2000

Outcome = Literal["pass", "fail", "inconclusive"]


@dataclass(frozen=True)
class Interval:
    """A median of ratios and how sure it is.

    Attributes:
        median: of the ratios.
        low: lower end of the interval.
        high: its upper end.
        level: what it covers, 0 to 1.
        block: neighbouring ratios that were drawn together.
    """

    median: float
    low: float
    high: float
    level: float
    block: int

    @property
    def width(self) -> float:
        """Upper less lower end."""
        return self.high - self.low


def interval(
    ratios: Sequence[float] | Any,
    *,
    block: int = BLOCK,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Return the median of a series and its percentile interval by the circular block bootstrap.

    Blocks of neighbours are drawn with replacement until the series has its length again; the
    last one begins anew at its start, so that every value is drawn equally often (Politis and
    Romano, A circular block-resampling procedure for stationary data, 1992). With ``block=1`` it
    is the ordinary bootstrap.

    Args:
        ratios: the series (N,), in the order in which it was measured.
        block: length of a block; no more than N are used.
        level: what the interval covers, 0 to 1.
        resamples: how often the series is drawn.
        seed: of the draws.

    Raises:
        ValueError: the series is empty, or holds what is no number.

    >>> found = interval([1.01, 1.02, 1.03] * 100)
    >>> found.median, found.low, found.high
    (1.02, 1.02, 1.02)
    """
    series = np.asarray(ratios, dtype=np.float64)
    if series.ndim != 1 or not len(series) or not np.isfinite(series).all():
        raise ValueError("an interval needs a series of finite numbers, at least one")
    length, size = len(series), min(block, len(series))
    pieces = -(-length // size)
    generator = np.random.default_rng(seed)
    starts = generator.integers(0, length, (resamples, pieces, 1))
    wanted = ((starts + np.arange(size)) % length).reshape(resamples, -1)[:, :length]
    medians = np.median(series[wanted], axis=1)
    tail = (1 - level) / 2
    low, high = np.quantile(medians, [tail, 1 - tail])
    return Interval(float(np.median(series)), float(low), float(high), level, size)


def limit(tolerance: float, floor_ms: float, theirs_ms: float) -> float:
    """Return the ratio that must not be exceeded.

    Args:
        tolerance: how much slower a model may be, as a fraction: 0.03 is 3%.
        floor_ms: a difference of so many milliseconds matters to nobody, whatever fraction of a
            tiny latency it is.
        theirs_ms: latency of the model that it is held against, in milliseconds.

    >>> limit(0.03, 0.005, 2.0), limit(0.03, 0.005, 0.05)
    (1.03, 1.1)
    """
    return 1 + max(tolerance, floor_ms / theirs_ms)


def decide(found: Interval, most: float) -> Outcome:
    """Say whether the ratio is above a limit.

    It is, where the whole interval is. It is not, where the whole interval is not above it, or
    where it reaches across but is no wider than the tolerance, ``most - 1``. A wider one says
    neither.

    Args:
        found: of the ratio.
        most: the limit, as `limit` gives it.

    >>> decide(Interval(1.05, 1.04, 1.06, 0.95, 10), 1.03)
    'fail'
    >>> decide(Interval(1.02, 0.99, 1.05, 0.95, 10), 1.03)
    'inconclusive'
    """
    if found.low > most:
        return "fail"
    if found.high <= most or found.width <= most - 1:
        return "pass"
    return "inconclusive"
