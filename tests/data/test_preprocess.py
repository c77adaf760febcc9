from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekd.data.preprocess import Statistics, apply
from edgekd.records import Preprocess


def statistics(raw: np.ndarray, scale: float, batch: int) -> Preprocess:
    found = Statistics(raw.shape[1])
    for start in range(0, len(raw), batch):
        found.add(raw[start : start + batch])
    return found.preprocess(scale)


@given(st.integers(1, 40), st.integers(1, 4), st.integers(1, 50), st.integers(0, 2**32))
def test_statistics_are_those_of_numpy_whatever_the_batches(
    count: int, channels: int, batch: int, seed: int
) -> None:
    raw = np.random.default_rng(seed).integers(0, 256, (count, channels, 3, 2), dtype=np.uint8)
    found = statistics(raw, 1 / 255, batch)
    real = raw.astype(np.float64) / 255
    assert found.mean == pytest.approx(real.mean(axis=(0, 2, 3)), rel=1e-12)
    expected = real.std(axis=(0, 2, 3))
    assert found.std == pytest.approx(np.where(expected > 0, expected, 1.0), rel=1e-9)


def test_a_small_spread_on_a_large_mean_is_not_lost() -> None:
    raw = (1e6 + np.array([[-1.0], [1.0]] * 500)).astype(np.float32)
    assert statistics(raw, 1.0, 7).std == pytest.approx([1.0])


@pytest.mark.parametrize("value", [0.0, 0.1, 1e-20, -1e6])
def test_a_constant_channel_keeps_deviation_one(value: float) -> None:
    raw = np.full((100, 2, 4), value, np.float32)
    raw[:, 1] = np.arange(100)[:, None]
    found = statistics(raw, 1.0, 7)
    assert found.std[0] == 1.0
    assert found.std[1] == pytest.approx(np.arange(100).std())
    assert np.isfinite(apply(raw, found)).all()


def test_apply_worked_out_by_hand() -> None:
    raw = np.array([[[[10, 20]], [[30, 40]]]], dtype=np.uint8)
    found = apply(raw, Preprocess(scale=0.1, mean=(1.0, 2.0), std=(0.5, 4.0)))
    np.testing.assert_allclose(found, [[[[0.0, 2.0]], [[0.25, 0.5]]]], rtol=1e-6)
    assert found.dtype == np.float32


def test_one_value_holds_for_all_channels_and_vectors_work() -> None:
    raw = np.array([[1.0, 3.0]], dtype=np.float32)
    np.testing.assert_allclose(apply(raw, Preprocess(mean=(1.0,), std=(2.0,))), [[0.0, 1.0]])
    np.testing.assert_allclose(
        apply(raw, Preprocess(mean=(1.0, 2.0), std=(1.0, 0.5))), [[0.0, 2.0]]
    )
