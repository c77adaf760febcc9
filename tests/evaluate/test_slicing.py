from __future__ import annotations

import numpy as np
import pytest

from edgekd.evaluate.slicing import WITHOUT, groups


def test_text_is_sorted_and_gaps_come_last() -> None:
    found = groups(["b", WITHOUT, "a", "b"])
    assert [(name, here.tolist()) for name, here in found] == [
        ("a", [False, False, True, False]),
        ("b", [True, False, False, True]),
        (WITHOUT, [False, True, False, False]),
    ]


def test_few_numbers_are_sorted_as_numbers() -> None:
    assert [name for name, _ in groups(["10", "9", "2"])] == ["2", "9", "10"]


def test_many_numbers_become_quarters() -> None:
    values = np.random.default_rng(0).permutation(200) / 10
    found = groups([*map(str, values), WITHOUT])
    assert [name for name, _ in found] == [
        "0 to 4.9",
        "5 to 9.9",
        "10 to 14.9",
        "15 to 19.9",
        WITHOUT,
    ]
    assert sum(here for _, here in found).tolist() == [1] * 201
    assert [int(here.sum()) for _, here in found] == [50, 50, 50, 50, 1]


@pytest.mark.parametrize("value", ["nan", "inf", "x"])
def test_what_is_no_number_is_text(value: str) -> None:
    assert len(groups([value, *map(str, range(20))])) == 21


def test_one_number_over_and_over() -> None:
    values = ["1"] * 100 + [str(n) for n in range(2, 20)]
    found = groups(values)
    assert sum(int(here.sum()) for _, here in found) == len(values)
