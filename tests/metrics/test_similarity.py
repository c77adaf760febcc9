from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekd.errors import DataError
from edgekd.metrics.similarity import centred_gram, linear_cka


def by_features(x: np.ndarray, y: np.ndarray) -> float:
    """The equation of the paper, in features rather than in samples."""
    x, y = x - x.mean(0), y - y.mean(0)
    cross = np.linalg.norm(y.T @ x, "fro") ** 2
    return float(cross / (np.linalg.norm(x.T @ x, "fro") * np.linalg.norm(y.T @ y, "fro")))


@given(st.integers(3, 30), st.integers(1, 12), st.integers(1, 12), st.integers(0, 2**32))
def test_it_is_the_equation_of_the_paper(n: int, p: int, q: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(n, p)) + 5.0, rng.normal(size=(n, q))
    found = linear_cka(x, y)
    assert found == pytest.approx(by_features(x, y), abs=1e-9)
    assert found == pytest.approx(linear_cka(y, x))
    assert linear_cka(x, x) == pytest.approx(1.0)


def test_rotations_and_scales_change_nothing_and_warping_does() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(50, 6))
    rotation, _ = np.linalg.qr(rng.normal(size=(6, 6)))
    assert linear_cka(x, 3 * x @ rotation - 7) == pytest.approx(1.0)
    assert linear_cka(x, x * np.array([20, 1, 1, 1, 1, 1])) < 0.9


def test_unrelated_layers_of_many_samples_are_near_zero() -> None:
    rng = np.random.default_rng(0)
    assert linear_cka(rng.normal(size=(2000, 4)), rng.normal(size=(2000, 4))) < 0.01


def test_images_are_flattened_and_constants_align_with_nothing() -> None:
    x = np.random.default_rng(0).normal(size=(10, 2, 3, 3)).astype(np.float32)
    assert linear_cka(x, x.reshape(10, -1)) == pytest.approx(1.0)
    assert linear_cka(x, np.full((10, 4), 0.1)) == 0.0


@pytest.mark.parametrize(
    ("x", "message"),
    [(np.zeros((1, 2)), "shape"), (np.zeros(4), "shape"), (np.full((3, 2), np.nan), "NaN")],
)
def test_refused(x: np.ndarray, message: str) -> None:
    with pytest.raises(DataError, match=message):
        centred_gram(x)
    with pytest.raises(DataError, match="samples"):
        linear_cka(np.zeros((3, 2)), np.zeros((4, 2)))
