from __future__ import annotations

import pytest

from edgekd.errors import EdgekdError
from edgekd.losses.mapping import uniform_mapping, uniform_pairs


def test_tinybert_4_and_6_of_12_layers() -> None:
    # The paper's g(m) = 3 m and 2 m, layers counted from 1.
    assert [i + 1 for i in uniform_mapping(4, 12)] == [3, 6, 9, 12]
    assert [i + 1 for i in uniform_mapping(6, 12)] == [2, 4, 6, 8, 10, 12]


@pytest.mark.parametrize("students", range(1, 9))
@pytest.mark.parametrize("teachers", range(1, 9))
def test_in_order_and_the_last_learns_from_the_last(students: int, teachers: int) -> None:
    found = uniform_mapping(students, teachers)
    assert found == sorted(found)
    assert found[-1] == teachers - 1
    assert 0 <= found[0] and len(found) == students
    if students <= teachers:
        assert len(set(found)) == students


def test_names_and_errors() -> None:
    assert uniform_pairs(["a"], ["x", "y"]) == [("a", "y")]
    with pytest.raises(EdgekdError, match="cannot be paired"):
        uniform_mapping(0, 3)
