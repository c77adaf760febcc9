from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekd.errors import DataError
from edgekd.metrics import METRICS
from edgekd.metrics.classification import accuracy, agreement


def test_accuracy_counted_by_hand() -> None:
    logits = np.array([[3.0, 1.0], [0.0, 2.0], [5.0, 4.0], [-2.0, -1.0]])
    assert accuracy(logits, np.array([0, 1, 1, 1])) == 0.75


def test_quantized_scores_and_infinities_will_do() -> None:
    assert accuracy(np.array([[-128, 127]], np.int8), np.array([1])) == 1.0
    assert accuracy(np.array([[-np.inf, 0.0]]), np.array([1])) == 1.0


def test_agreement_counted_by_hand() -> None:
    a = np.array([[3.0, 1.0, 0.0], [0.0, 2.0, 1.0], [5.0, 4.0, 9.0]])
    b = np.array([[9.0, 1.0, 0.0], [0.0, 1.0, 2.0], [0.0, 0.0, 1.0]])
    assert agreement(a, b) == pytest.approx(2 / 3)


@given(st.integers(1, 30), st.integers(1, 5), st.integers(0, 2**32))
def test_agreement_is_symmetric_and_whole_with_itself(n: int, c: int, seed: int) -> None:
    a, b = np.random.default_rng(seed).normal(size=(2, n, c))
    assert agreement(a, a) == agreement(a * 2 + 1, a) == 1.0
    assert agreement(a, b) == agreement(b, a)
    assert accuracy(a, b.argmax(1)) == agreement(a, b)


@pytest.mark.parametrize(
    ("logits", "targets", "message"),
    [
        (np.zeros((0, 3)), np.zeros(0, int), "shape"),
        (np.zeros((2, 0)), np.zeros(2, int), "shape"),
        (np.zeros(3), np.zeros(3, int), "shape"),
        (np.zeros((3, 2)), np.zeros(2, int), "do not fit"),
        (np.zeros((3, 2)), np.zeros((3, 2), int), "do not fit"),
        (np.zeros((3, 2)), np.zeros(3), "targets are float64"),
        (np.zeros((3, 2)), np.array([0, 1, 2]), "from 0 to 2 for 2 classes"),
        (np.zeros((3, 2)), np.array([0, -1, 1]), "from -1 to 1"),
        (np.array([[0.0, 1.0], [0.0, np.nan]]), np.zeros(2, int), "logits of sample 1 is NaN"),
    ],
)
def test_accuracy_refuses(logits: np.ndarray, targets: np.ndarray, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        accuracy(logits, targets)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        (np.zeros((3, 2)), np.zeros((2, 2)), "do not fit"),
        (np.zeros((3, 2)), np.zeros((3, 4)), "do not fit"),
        (np.zeros((0, 2)), np.zeros((0, 2)), "shape"),
        (np.zeros((1, 2)), np.full((1, 2), np.nan), "b of sample 0 is NaN"),
    ],
)
def test_agreement_refuses(a: np.ndarray, b: np.ndarray, message: str) -> None:
    with pytest.raises(DataError, match=message):
        agreement(a, b)


def test_every_row_of_the_table_loads() -> None:
    assert {"accuracy", "agreement", "cka", "ece", "kl"} <= set(METRICS.names)
    assert all(callable(row.load()) for row in METRICS)
