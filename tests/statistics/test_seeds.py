from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.special import stdtr
from statsmodels.stats.weightstats import DescrStatsW

from edgekd.errors import DataError
from edgekd.statistics.seeds import compare_seeds

RNG = np.random.default_rng(3)
STUDENT = tuple(0.95 + 0.01 * RNG.normal(size=8))
ALONE = tuple(0.94 + 0.01 * RNG.normal(size=8))


@pytest.mark.parametrize("n", [2, 3, 8])
def test_the_t_test_is_that_of_statsmodels_and_of_the_formula(n: int) -> None:
    a, b = STUDENT[:n], ALONE[:n]
    found = compare_seeds(a, b)
    differences = np.array(a) - np.array(b)
    t = differences.mean() / (differences.std(ddof=1) / n**0.5)
    assert found.n == n
    assert found.difference == pytest.approx(differences.mean())
    assert found.t_p == pytest.approx(2 * stdtr(n - 1, -abs(t)))
    assert found.t_p == pytest.approx(DescrStatsW(differences).ttest_mean(0.0)[1])


def test_wilcoxon_is_the_share_of_signs_at_least_as_extreme() -> None:
    found = compare_seeds(STUDENT, ALONE)
    differences = np.array(STUDENT) - np.array(ALONE)
    ranks = abs(differences).argsort().argsort() + 1
    sums = [
        ranks[np.array(signs)].sum()
        for signs in itertools.product([True, False], repeat=len(differences))
    ]
    centre = ranks.sum() / 2
    far = abs(ranks[differences > 0].sum() - centre)
    expected = np.mean([abs(s - centre) >= far for s in sums])
    assert found.wilcoxon_p == pytest.approx(expected)


def test_wilcoxon_needs_six_seeds() -> None:
    assert compare_seeds(STUDENT[:5], ALONE[:5]).wilcoxon_p is None
    six = compare_seeds([0.9 + 0.01 * i for i in range(6)], [0.8] * 6)
    assert six.wilcoxon_p == pytest.approx(2 / 2**6)


def test_no_spread_no_p() -> None:
    assert compare_seeds([0.9], [0.8]).t_p is None
    same = compare_seeds([0.9, 0.8, 0.7], [0.8, 0.7, 0.6])
    assert (same.t_p, same.difference) == (None, pytest.approx(0.1))
    equal = compare_seeds([0.9] * 7, [0.9] * 7)
    assert (equal.difference, equal.t_p, equal.wilcoxon_p) == (0.0, None, None)


def test_ties_and_equal_seeds_are_no_fault() -> None:
    found = compare_seeds([0.9, 0.9, 0.8, 0.7, 0.6, 0.5, 0.9], [0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.9])
    assert found.wilcoxon_p is not None
    assert 0 < found.wilcoxon_p <= 1


def test_refused() -> None:
    for a, b in (([], []), ([0.1], [0.1, 0.2])):
        with pytest.raises(DataError, match="over seeds"):
            compare_seeds(a, b)
