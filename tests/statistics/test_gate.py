"""The interval of the median of paired ratios, and what is decided with it."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from edgekd.statistics import gate
from edgekd.statistics.gate import Interval, decide, interval, limit


def ar1(generator: np.random.Generator, rho: float, n: int) -> np.ndarray:
    """A stationary series around 1 whose neighbours correlate by rho."""
    series = np.empty(n)
    series[0] = generator.standard_normal()
    noise = generator.standard_normal(n) * np.sqrt(1 - rho * rho)
    for i in range(1, n):
        series[i] = rho * series[i - 1] + noise[i]
    return 1 + 0.02 * series


def test_blocks_of_one_are_the_ordinary_bootstrap() -> None:
    series = 1 + 0.02 * np.random.default_rng(3).standard_normal(301)
    found = interval(series, block=1, resamples=8000)
    other = stats.bootstrap(
        (series,), np.median, n_resamples=8000, method="percentile", rng=np.random.default_rng(9)
    ).confidence_interval
    assert found.median == np.median(series)
    # Two sets of 8000 draws: their ends differ by a few percent of the width.
    assert found.low == pytest.approx(other.low, abs=0.1 * found.width)
    assert found.high == pytest.approx(other.high, abs=0.1 * found.width)


def test_blocks_drawn_one_by_one() -> None:
    """The same by a plain loop: blocks begin anywhere and go on at the start of the series."""
    series = ar1(np.random.default_rng(5), 0.8, 47)
    generator = np.random.default_rng(1)
    medians = []
    for _ in range(4000):
        drawn: list[float] = []
        while len(drawn) < len(series):
            start = int(generator.integers(len(series)))
            drawn += [series[(start + i) % len(series)] for i in range(10)]
        medians.append(np.median(drawn[: len(series)]))
    low, high = np.quantile(medians, [0.025, 0.975])
    found = interval(series, block=10, resamples=4000)
    assert found.low == pytest.approx(low, abs=0.1 * (high - low))
    assert found.high == pytest.approx(high, abs=0.1 * (high - low))


def covered(rho: float, block: int, times: int = 200) -> int:
    generator = np.random.default_rng(11)
    found = [interval(ar1(generator, rho, 300), block=block, resamples=300) for _ in range(times)]
    return sum(one.low <= 1 <= one.high for one in found)


def test_it_covers_the_truth_as_often_as_it_says() -> None:
    """Neighbours as alike as those of paired ratios are, and more."""
    least, most = stats.binom.ppf([0.001, 0.999], 200, 0.95)
    assert least - 4 <= covered(0.3, gate.BLOCK) <= most  # 2% less: blocks are short


def test_single_draws_would_be_too_sure() -> None:
    assert covered(0.7, 1) < covered(0.7, gate.BLOCK) - 13


def test_it_is_repeatable_and_its_seed_counts() -> None:
    series = ar1(np.random.default_rng(2), 0.2, 120)
    assert interval(series) == interval(list(series))
    assert interval(series, seed=1) != interval(series)


def test_a_series_shorter_than_a_block() -> None:
    found = interval([1.0, 1.1, 1.2], block=10)
    assert found.block == 3 and found.median == 1.1


@pytest.mark.parametrize("series", [[], [1.0, float("nan")], [[1.0, 1.1]]])
def test_no_series(series: list[float]) -> None:
    with pytest.raises(ValueError, match="finite numbers"):
        interval(series)


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (1.031, 1.2, "fail"),  # however wide
        (1.03, 1.05, "pass"),  # the limit itself is allowed; narrow enough
        (1.0, 1.031, "inconclusive"),  # reaches across, and wider than 3%
        (1.005, 1.034, "pass"),
        (0.5, 1.03, "pass"),  # however wide: it is not slower
        (0.9, 1.5, "inconclusive"),
    ],
)
def test_what_an_interval_says(low: float, high: float, said: str) -> None:
    assert decide(Interval((low + high) / 2, low, high, 0.95, 10), limit(0.03, 0.0, 1.0)) == said


def test_a_difference_below_the_floor_never_fails() -> None:
    """4 us more than 50 us are 8%, and nobody's trouble."""
    found = Interval(1.08, 1.07, 1.09, 0.95, 10)
    assert decide(found, limit(0.03, 0.005, 0.05)) == "pass"
    assert decide(found, limit(0.03, 0.005, 0.5)) == "fail"


def test_it_runs_on_a_device() -> None:
    source = Path(gate.__file__).read_text()
    tree = ast.parse(source, feature_version=(3, 9))
    froms = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    names = {a.name for node in ast.walk(tree) if isinstance(node, ast.Import) for a in node.names}
    assert froms | names <= {"__future__", "collections.abc", "dataclasses", "typing", "numpy"}
