"""Nearest neighbours and collapse, on points whose answer is plain."""

from __future__ import annotations

import numpy as np
import pytest

from edgekd.metrics.neighbours import collapsed, knn_accuracy


def test_the_order_of_the_outputs_does_not_matter() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(90) % 3
    outputs = 5.0 * np.eye(3)[(labels + 1) % 3] + rng.normal(size=(90, 3))
    found = knn_accuracy(outputs[:60], labels[:60], outputs[60:], labels[60:])
    assert found > 0.95
    assert (outputs.argmax(1) == labels).mean() < 0.1


def test_a_vote_by_hand() -> None:
    """By direction from the mean (0, 0), the third point is nearest to two votes of class 1."""
    outputs = np.array([[1.0, 0.0], [0.9, 0.1], [-1.0, 0.0], [-0.9, -0.1]])
    labels = np.array([1, 1, 0, 0])
    held_out = np.array([[7.0, 0.3], [-0.1, 0.0]])
    assert knn_accuracy(outputs, labels, held_out, np.array([1, 0]), neighbours=2) == 1.0
    assert knn_accuracy(outputs, labels, held_out, np.array([1, 1]), neighbours=2) == 0.5


def test_samples_without_labels_have_no_vote() -> None:
    outputs = np.array([[1.0, 0.0], [-1.0, 0.0], [0.9, 0.0]])
    held_out = np.array([[2.0, 0.0]])
    labels = np.array([1, 0, -1])
    assert knn_accuracy(outputs, labels, held_out, np.array([1]), neighbours=1) == 1.0
    assert knn_accuracy(outputs, np.full(3, -1), held_out, np.array([1])) == 0.0


@pytest.mark.parametrize(
    ("logits", "expected"),
    [
        (np.tile([[3.0, 0.0, 1.0]], (8, 1)), True),
        (np.full((8, 3), 0.2), True),
        (np.random.default_rng(0).normal(size=(50, 3)) + np.array([50.0, 0.0, 0.0]), True),
        (1e-4 * np.random.default_rng(0).normal(size=(50, 3)), True),
        (np.random.default_rng(0).normal(size=(50, 3)), False),
        (np.arange(8.0)[:, None] + np.eye(8), False),
    ],
    ids=["one answer", "uniform", "one class", "next to nothing", "varied", "shifted"],
)
def test_collapse(logits: np.ndarray, expected: bool) -> None:
    assert collapsed(logits) is expected
