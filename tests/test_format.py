"""Numbers for people: what is printed reads back close, in one form, and never lies at the ends."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekd import format as fmt

POWERS = {"B": 0, "KB": 1, "MB": 2, "GB": 3, "TB": 4, "PB": 5, "EB": 6}
LETTERS = {"": 0, "k": 1, "M": 2, "G": 3, "T": 4, "P": 5, "E": 6}


def number(text: str) -> float:
    return float(text.replace(",", ""))


@given(st.integers(0, 10**18))
def test_sizes_read_back(value: int) -> None:
    digits, unit = fmt.size(value).split()
    assert number(digits) * 1000 ** POWERS[unit] == pytest.approx(value, rel=0.005)
    assert number(digits) < 1000 or unit == "EB"


@given(st.integers(0, 10**18), st.integers(0, 10**18))
def test_sizes_keep_their_order(a: int, b: int) -> None:
    def back(text: str) -> float:
        digits, unit = text.split()
        return number(digits) * 1000 ** POWERS[unit]

    low, high = sorted((a, b))
    assert back(fmt.size(low)) <= back(fmt.size(high))


@given(st.integers(0, 10**18))
def test_counts_read_back(value: int) -> None:
    match = re.fullmatch(r"([\d.]+)([kMGTPE]?)", fmt.count(value))
    assert match is not None
    assert number(match[1]) * 1000 ** LETTERS[match[2]] == pytest.approx(value, rel=0.005)


@given(st.floats(1e-6, 1e7))
def test_milliseconds_have_three_digits(value: float) -> None:
    text = fmt.milliseconds(value)
    assert text.endswith(" ms")
    assert number(text[:-3]) == pytest.approx(value, rel=0.005)
    assert "e" not in text
    if value < 100:
        assert len(text[:-3].replace(".", "").lstrip("0")) == 3


@given(st.floats(0, 1), st.integers(0, 3))
def test_percent_is_whole_only_when_it_is(fraction: float, digits: int) -> None:
    text = fmt.percent(fraction, digits)
    assert (float(text[:-1]) == 100) == (fraction == 1)
    assert (float(text[:-1]) == 0) == (fraction == 0)
    assert float(text[:-1]) == pytest.approx(fraction * 100, abs=10.0**-digits)


@given(st.floats(-1, 1))
def test_points_have_a_sign_or_are_zero(difference: float) -> None:
    text = fmt.points(difference)
    value = float(text.removesuffix(" pp"))
    assert value == pytest.approx(difference * 100, abs=0.00501)
    assert text[0] in "+-" if value else text == "0.00 pp"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (999.4, "999 B"),
        (999.6, "1.00 KB"),
        (1000, "1.00 KB"),
        (9_996, "10.0 KB"),
        (999_499, "999 KB"),
        (999_500, "1.00 MB"),
        (123_456_789, "123 MB"),
    ],
)
def test_size_at_the_edges(value: float, text: str) -> None:
    assert fmt.size(value) == text


def test_missing_numbers() -> None:
    functions = (fmt.size, fmt.count, fmt.milliseconds, fmt.percent, fmt.points, fmt.factor)
    assert {function(None) for function in functions} == {fmt.MISSING}
