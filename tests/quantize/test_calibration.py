"""Calibration samples: which they are, and what is refused."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from edgekd.data.split import Dataset, Part
from edgekd.errors import DataError
from edgekd.quantize.calibration import calibration_samples
from edgekd.records import Preprocess


def _dataset(raw: np.ndarray) -> Dataset:
    def part(name: str, values: np.ndarray) -> Part:
        ids = tuple(f"{name}/{i}" for i in range(len(values)))
        return Part(ids, np.zeros(len(values), np.int64), lambda i: values[i])

    other = np.full((3, 1, 2, 2), 99, np.float32)
    splits = {name: part(name, other) for name in ("train", "validation", "test")}
    splits["calibration"] = part("calibration", raw)
    preprocess = Preprocess(scale=0.5, mean=(1.0,), std=(2.0,))
    return Dataset(splits, ("a", "b"), (1, 2, 2), preprocess, "0" * 64)


def test_the_whole_split_normalised() -> None:
    raw = np.arange(8, dtype=np.float32).reshape(2, 1, 2, 2)
    samples, record = calibration_samples(_dataset(raw))
    assert np.allclose(samples, (raw * 0.5 - 1.0) / 2.0)
    assert (record.split, record.samples, record.method) == ("calibration", 2, "min-max")
    assert record.ids_sha256 == hashlib.sha256(b"calibration/0\ncalibration/1").hexdigest()


def test_a_large_split_is_drawn_from_with_the_seed() -> None:
    dataset = _dataset(np.arange(400, dtype=np.float32).reshape(100, 1, 2, 2))
    first, record = calibration_samples(dataset, limit=10, seed=3)
    again, same = calibration_samples(dataset, limit=10, seed=3)
    _, other = calibration_samples(dataset, limit=10, seed=4)
    assert len(first) == record.samples == 10
    assert np.array_equal(first, again)
    assert record.ids_sha256 == same.ids_sha256 != other.ids_sha256


def test_an_empty_split_is_refused() -> None:
    with pytest.raises(DataError, match="calibration split is empty"):
        calibration_samples(_dataset(np.zeros((0, 1, 2, 2), np.float32)))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_the_sample_that_is_no_number_is_named(bad: float) -> None:
    raw = np.zeros((4, 1, 2, 2), np.float32)
    raw[2, 0, 1, 1] = bad
    with pytest.raises(DataError, match="'calibration/2' holds NaN or infinity"):
        calibration_samples(_dataset(raw))
