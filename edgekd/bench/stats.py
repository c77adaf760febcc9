"""From raw samples to the figures of a `Latency`.

Percentiles interpolate linearly between order statistics. Outliers are counted, never dropped: a
slow inference was slow for whoever waited for it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from edgekd.errors import MeasurementError
from edgekd.records import Latency


def percentile(samples: ArrayLike, q: float) -> float:
    """Return the q-th percentile, 0 to 100.

    >>> percentile([1.0, 2.0, 3.0, 4.0], 50)
    2.5
    """
    return float(np.percentile(np.asarray(samples, dtype=np.float64), q))


def outliers(samples: ArrayLike) -> int:
    """Return how many samples lie above Q3 + 1.5 (Q3 - Q1), as Tukey drew his upper fence.

    >>> outliers([1.0, 1.0, 1.1, 1.1, 1.2, 9.0])
    1
    """
    values = np.asarray(samples, dtype=np.float64)
    first, third = np.percentile(values, (25, 75))
    return int((values > third + 1.5 * (third - first)).sum())


def summarise(
    raw_ms: Sequence[float], *, load_ms: float, first_ms: float, warmup_runs: int
) -> Latency:
    """Return the figures of timed inferences, in milliseconds.

    Args:
        raw_ms: one time an inference, in order.
        load_ms: how long loading and allocating took.
        first_ms: how long the first inference took; it is not among the samples.
        warmup_runs: untimed inferences after it.

    Raises:
        MeasurementError: there are no samples, or one is negative or not a number.
    """
    values = np.asarray(raw_ms, dtype=np.float64)
    if values.ndim != 1 or not values.size:
        raise MeasurementError("no inference was timed")
    if not np.isfinite(values).all() or values.min() < 0:
        raise MeasurementError("a time is negative or not a number: the device's clock is broken")
    p50, p90, p99 = (float(p) for p in np.percentile(values, (50, 90, 99)))
    return Latency(
        n=values.size,
        load_ms=load_ms,
        first_ms=first_ms,
        min_ms=float(values.min()),
        p50_ms=p50,
        p90_ms=p90,
        p99_ms=p99,
        mean_ms=float(values.mean()),
        outliers=outliers(values),
        warmup_runs=warmup_runs,
        raw_ms=tuple(values.tolist()),
    )
