"""Calibration samples: which they are, and what is refused."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from edgekd.data.split import Dataset, Part
from edgekd.errors import DataError
from edgekd.quantize.calibration import (
    CalibrationPlan,
    calibration_part,
    check_finite,
    record_of,
)
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


def test_the_record_names_split_method_and_samples() -> None:
    plan = CalibrationPlan()
    chosen, ids = calibration_part(_dataset(np.zeros((2, 1, 2, 2), np.float32)), plan, 0)
    record = record_of(plan, ids, "calibration", 7)
    assert chosen.tolist() == [0, 1]
    assert (record.split, record.samples, record.seed) == ("calibration", 2, 7)
    assert (record.method, record.percentile) == ("min-max", None)
    assert record.ids_sha256 == hashlib.sha256(b"calibration/0\ncalibration/1").hexdigest()
    record = record_of(CalibrationPlan("percentile", percentile=99.0), ids, "calibration", 0)
    assert (record.method, record.percentile) == ("percentile", 99.0)


def test_a_large_split_is_drawn_from_with_the_seed() -> None:
    dataset = _dataset(np.arange(400, dtype=np.float32).reshape(100, 1, 2, 2))
    plan = CalibrationPlan(samples=10)
    first, ids = calibration_part(dataset, plan, 3)
    again, same = calibration_part(dataset, plan, 3)
    _, other = calibration_part(dataset, plan, 4)
    assert len(first) == len(ids) == 10
    assert np.array_equal(first, again)
    assert ids == same != other


def test_an_empty_split_is_refused() -> None:
    with pytest.raises(DataError, match="calibration split is empty"):
        calibration_part(_dataset(np.zeros((0, 1, 2, 2), np.float32)), CalibrationPlan(), 0)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_the_sample_that_is_no_number_is_named(bad: float) -> None:
    raw = np.zeros((4, 1, 2, 2), np.float32)
    raw[2, 0, 1, 1] = bad
    with pytest.raises(DataError, match="'calibration/2' holds NaN or infinity"):
        check_finite(raw, [f"calibration/{i}" for i in range(4)])
