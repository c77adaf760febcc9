"""Held against statsmodels, SciPy's bootstrap, and the probabilities added up one by one."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import bootstrap
from statsmodels.stats.contingency_tables import mcnemar as reference

from edgekd.errors import DataError
from edgekd.statistics.paired import bootstrap_interval, compare, mcnemar


@pytest.mark.parametrize(
    ("a", "b"), [(0, 1), (1, 7), (5, 5), (12, 30), (0, 9), (40, 41), (200, 260)]
)
def test_exact_p_is_that_of_statsmodels(a: int, b: int) -> None:
    expected = reference([[50, a], [b, 10]], exact=True).pvalue
    assert mcnemar(a, b)[0] == pytest.approx(expected, rel=1e-9)
    assert mcnemar(b, a) == mcnemar(a, b)


@given(st.integers(0, 40), st.integers(0, 40))
def test_p_values_are_sums_of_probabilities(a: int, b: int) -> None:
    """More uneven counts in full; equally uneven ones in full (exact) or by half (mid-p)."""
    n = a + b
    more = sum(comb(n, k) for k in range(n + 1) if abs(2 * k - n) > abs(a - b)) / 2**n
    equal = sum(comb(n, k) for k in range(n + 1) if abs(2 * k - n) == abs(a - b)) / 2**n
    exact, midp = mcnemar(a, b)
    assert exact == pytest.approx(more + equal, abs=1e-12)
    if n:
        assert midp == pytest.approx(more + equal / 2, abs=1e-12)


def test_the_example_of_the_paper() -> None:
    exact, midp = mcnemar(7, 1)
    assert exact == pytest.approx(18 / 256)  # 2 (1 + 8) / 2^8
    assert midp == pytest.approx(10 / 256)  # 2 (1 + 8 / 2) / 2^8


@pytest.mark.parametrize(("only_a", "only_b", "n"), [(30, 12, 200), (3, 1, 60), (0, 4, 40)])
def test_the_interval_is_that_of_resampled_pairs(only_a: int, only_b: int, n: int) -> None:
    differences = np.zeros(n)
    differences[:only_a] = 1.0
    differences[only_a : only_a + only_b] = -1.0
    expected = bootstrap(
        (differences,), np.mean, n_resamples=20_000, method="percentile", rng=7
    ).confidence_interval
    found = bootstrap_interval(only_a, only_b, n, seed=1, resamples=20_000)
    # Ends are multiples of 1 / n; two resamplings may be one step apart.
    assert found == pytest.approx(tuple(expected), abs=1.01 / n)


def test_counts_by_hand() -> None:
    a = [True, True, True, False, False, True]
    b = [True, False, False, True, False, True]
    found = compare(a, b)
    assert (found.n, found.both, found.only_a, found.only_b, found.neither) == (6, 2, 2, 1, 1)
    assert found.difference == pytest.approx(1 / 6)
    assert found.low <= found.difference <= found.high
    assert found.exact_p == 1.0
    assert found == compare(np.array(a), np.array(b)), "the same seed gives the same interval"


def test_models_that_never_differ() -> None:
    found = compare([True, False], [True, False])
    assert (found.difference, found.low, found.high) == (0.0, 0.0, 0.0)
    assert (found.exact_p, found.midp_p) == (1.0, 1.0)


def test_the_midp_test_comes_closer_to_its_level() -> None:
    """Over all outcomes of 60 fair coins: how often does each say p < 0.05?"""
    n = 60
    outcomes = [(comb(n, k) / 2**n, mcnemar(k, n - k)) for k in range(n + 1)]
    exact = sum(share for share, found in outcomes if found[0] < 0.05)
    midp = sum(share for share, found in outcomes if found[1] < 0.05)
    assert exact < 0.03 < midp < 0.053


@pytest.mark.parametrize(
    ("a", "b"), [([], []), ([True], [True, False]), ([[True]], [[True]])], ids=str
)
def test_refused(a: list[bool], b: list[bool]) -> None:
    with pytest.raises(DataError, match="paired test"):
        compare(a, b)
