"""Figures of samples, against the standard library's."""

from __future__ import annotations

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekd.bench.stats import outliers, percentile, summarise
from edgekd.errors import MeasurementError

_SAMPLES = st.lists(st.floats(0.001, 1e4), min_size=2, max_size=200)


@given(_SAMPLES)
def test_percentiles_interpolate_linearly(samples: list[float]) -> None:
    hundredths = statistics.quantiles(samples, n=100, method="inclusive")
    found = summarise(samples, load_ms=1.0, first_ms=2.0, warmup_runs=3)
    assert found.p50_ms == pytest.approx(statistics.median(samples))
    assert found.p90_ms == pytest.approx(hundredths[89])
    assert found.p99_ms == pytest.approx(hundredths[98])
    assert percentile(samples, 25) == pytest.approx(hundredths[24])
    assert found.mean_ms == pytest.approx(statistics.fmean(samples))
    assert found.min_ms == min(samples)
    assert found.raw_ms == tuple(samples)
    assert (found.n, found.load_ms, found.first_ms, found.warmup_runs) == (len(samples), 1, 2, 3)


@given(_SAMPLES)
def test_outliers_lie_above_tukeys_fence(samples: list[float]) -> None:
    first, _, third = statistics.quantiles(samples, n=4, method="inclusive")
    fence = third + 1.5 * (third - first)
    # The two implementations may round differently at the fence itself.
    low = sum(value > fence * (1 + 1e-9) for value in samples)
    high = sum(value > fence * (1 - 1e-9) for value in samples)
    assert low <= outliers(samples) <= high


def test_outliers_are_counted_and_kept() -> None:
    samples = [1.0] * 50 + [1.1] * 49 + [50.0]
    found = summarise(samples, load_ms=0, first_ms=0, warmup_runs=0)
    assert found.outliers == 1
    assert found.raw_ms[-1] == 50.0
    assert found.mean_ms > 1.5


@pytest.mark.parametrize("samples", [[], [1.0, float("nan")], [1.0, -0.5], [float("inf")]])
def test_refuses_what_no_clock_gives(samples: list[float]) -> None:
    with pytest.raises(MeasurementError):
        summarise(samples, load_ms=0, first_ms=0, warmup_runs=0)
