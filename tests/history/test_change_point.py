"""Change points: found where there is one, and not where there is only noise."""

from __future__ import annotations

import random

import numpy as np
import pytest
from scipy.stats import mannwhitneyu, rankdata

from edgekd.history.change_point import LEAST_POINTS, find, ranks, strongest


def noise(n: int, seed: int, *, tails: bool = False) -> list[float]:
    rng = np.random.default_rng(seed)
    return list(rng.standard_t(2, n) if tails else rng.normal(size=n))


@pytest.mark.parametrize("values", [[3.0, 1.0, 2.0], [2.0, 2.0, 1.0, 5.0, 5.0, 5.0], [1.0]])
def test_ranks_are_those_of_scipy(values: list[float]) -> None:
    expected = rankdata(values) - (len(values) + 1) / 2
    assert ranks(values) == pytest.approx(list(expected))


def test_the_split_is_the_one_where_mann_whitney_is_largest() -> None:
    """Independent reference: SciPy's z of the rank sum, over every split."""
    for seed in range(5):
        values = noise(30, seed)
        values[20:] = [value + 1.5 for value in values[20:]]
        scores = {}
        for k in range(3, 28):
            u = mannwhitneyu(values[:k], values[k:], method="asymptotic").statistic
            scores[k] = abs(u - k * (30 - k) / 2) / np.sqrt(k * (30 - k) * 31 / 12)
        split, _ = strongest(values, random.Random(0))
        assert split == max(scores, key=scores.__getitem__)


@pytest.mark.parametrize("tails", [False, True], ids=["normal", "outliers"])
def test_noise_is_no_change(tails: bool) -> None:
    """At a level of 1%, 200 series give 2; 7 or more have a probability of 0.5%."""
    alarms = sum(bool(find(noise(40, seed, tails=tails))) for seed in range(200))
    assert alarms < 7


def test_p_is_uniform_under_noise() -> None:
    """A p below 0.2 comes in a fifth of series: 60 of 300, standard deviation 7."""
    found = [strongest(noise(15, seed), random.Random(seed))[1] for seed in range(300)]
    assert 36 < sum(p <= 0.2 for p in found) < 84


def test_neighbours_that_resemble_each_other_are_no_change_as_a_rule() -> None:
    """AR(1) with 0.3: single values in random order would call 7% of them a change."""
    alarms = 0
    for seed in range(100):
        values = noise(40, seed)
        for i in range(1, 40):
            values[i] = 0.3 * values[i - 1] + 0.954 * values[i]
        alarms += bool(find(values))
    assert alarms <= 8  # 2.8% expected


def test_a_step_of_two_standard_deviations_is_found_and_placed() -> None:
    found = {}
    for seed in range(40):
        values = [v + 2 * (i >= 20) for i, v in enumerate(noise(40, seed))]
        if changes := find(values):
            found[seed] = changes
    assert len(found) >= 37  # 98% expected
    first = [changes[0] for changes in found.values()]
    assert np.median([abs(change.index - 20) for change in first]) <= 1
    assert np.mean([change.kind == "step" for change in first]) > 0.8
    assert np.median([change.after - change.before for change in first]) == pytest.approx(
        2, abs=0.5
    )


def test_a_drift_is_found_and_called_one() -> None:
    """Four standard deviations over the last 30 of 40 points."""
    found = []
    for seed in range(40):
        values = [v + 4 * max(0, i - 10) / 30 for i, v in enumerate(noise(40, seed))]
        found += find(values)[:1]
    assert len(found) >= 37
    drifts = [change for change in found if change.kind == "drift"]
    assert len(drifts) >= 0.8 * len(found)
    assert abs(np.median([change.index for change in drifts]) - 10) <= 4
    assert all(change.after > change.before for change in drifts)


def test_two_steps() -> None:
    values = [v * 0.1 + (1 if 15 <= i < 30 else 0) for i, v in enumerate(noise(45, 3))]
    assert [(change.index, change.kind) for change in find(values)] == [(15, "step"), (30, "step")]


def test_one_outlier_is_no_change() -> None:
    values = [v * 0.01 + 5 for v in noise(30, 1)]
    values[17] = 50.0
    assert find(values) == []


def test_little_or_constant_data_says_nothing() -> None:
    assert find([]) == []
    assert find([1.0] * 50) == []
    assert find([1.0] * 5 + [9.0] * (LEAST_POINTS - 6)) == []


def test_the_same_series_gives_the_same_p() -> None:
    values = [v + (i > 25) for i, v in enumerate(noise(40, 5))]
    assert find(values) == find(values)
