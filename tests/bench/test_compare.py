"""Answers of two devices, made by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgekd.bench.compare import compare
from edgekd.bench.scores import Kept
from edgekd.bench.shared import Found
from edgekd.bench.subjects import Subject
from edgekd.records import TensorSpec
from tests.synthetic_runs import measurement

SHA = "a" * 64
INT8 = TensorSpec(name="y", shape=(None, 3), dtype="int8", scale=0.5, zero_point=-3)
FLOAT = TensorSpec(name="y", shape=(None, 3), dtype="float32")


def found(
    folder: Path,
    device: str,
    rows: np.ndarray,
    samples: list[int],
    spec: TensorSpec,
    **changes: object,
) -> Found:
    path = folder / device
    path.write_bytes(rows.tobytes())
    record = measurement(
        "m", device, 1, 1.0, 1, 0.9, 0.9, **{"sha256": SHA, "suffix": ".tflite", **changes}
    )
    kept = Kept(path, np.array(samples), spec, rows.dtype, 3)
    return Found(Subject("m", path, "tflite"), record, kept=kept)


def test_the_samples_that_both_have(tmp_path: Path) -> None:
    """In common are 2, 5 and 6: one equal, one of another class by 2 steps, one 1 step off."""
    here = np.array([[9, 0, 0], [1, 2, 3], [5, 1, 1], [7, 8, 8]], np.int8)
    there = np.array([[1, 2, 3], [3, 5, 1], [7, 9, 8]], np.int8)
    one = found(tmp_path, "cpu", here, [0, 2, 5, 6], INT8)
    two = found(tmp_path, "pi", there, [2, 5, 6], INT8)
    first, second = compare([one, two])
    assert first is one
    (held,) = second.measurement.compared
    assert (held.device, held.samples, held.identical, held.same_class) == ("cpu", 3, 1, 2)
    assert held.max_difference == pytest.approx(4 * 0.5)  # class 1: 5 here, 1 there
    assert held.same_runtime and held.runtime == "litert 2.3.0"


def test_floats_are_equal_bit_for_bit_or_not(tmp_path: Path) -> None:
    here = np.array([[0.0, 1, 2], [np.float32(0.1), 0, 0]], np.float32)
    there = np.array([[-0.0, 1, 2], [np.float32(0.1), 0, 0]], np.float32)
    one = found(tmp_path, "cpu", here, [0, 1], FLOAT)
    two = found(tmp_path, "pi", there, [0, 1], FLOAT, runtime_version="2.2.0")
    (held,) = compare([one, two])[1].measurement.compared
    assert (held.identical, held.same_class, held.max_difference) == (1, 2, 0.0)
    assert not held.same_runtime


@pytest.mark.parametrize(
    "changes", [{"sha256": "b" * 64}, {"status": "failed", "error": "gone"}, {"sha256": None}]
)
def test_other_files_and_failures_are_not_compared(
    tmp_path: Path, changes: dict[str, object]
) -> None:
    rows = np.eye(3, dtype=np.float32)
    one = found(tmp_path, "cpu", rows, [0, 1, 2], FLOAT)
    two = found(tmp_path, "pi", rows, [0, 1, 2], FLOAT, **changes)
    assert compare([one, two]) == [one, two]


def test_nothing_in_common(tmp_path: Path) -> None:
    rows = np.eye(3, dtype=np.float32)
    one = found(tmp_path, "cpu", rows, [0, 1, 2], FLOAT)
    two = found(tmp_path, "pi", rows, [3, 4, 5], FLOAT)
    assert compare([one, two])[1].measurement.compared == ()
