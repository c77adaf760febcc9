"""The table and the headline of a run."""

from __future__ import annotations

import json
import math
import statistics
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from edgekd.rundir import Run, write_record
from edgekd.summary import BASELINE, Spread, headline, rows
from tests.synthetic_runs import ARTIFACTS, add_artifact, make_run, measurement, model_bytes


@given(st.lists(st.floats(0, 1), min_size=2, max_size=31))
def test_spread_agrees_with_scipy(values: list[float]) -> None:
    spread = Spread.of(values)
    assert spread is not None
    assert spread.low is not None
    assert spread.high is not None
    deviation = statistics.stdev(values)
    half = stats.t.ppf(0.975, len(values) - 1) * deviation / math.sqrt(len(values))
    assert spread.sd == pytest.approx(deviation)
    assert spread.high - spread.mean == pytest.approx(half, rel=1e-3, abs=1e-12)
    assert spread.mean - spread.low == pytest.approx(half, rel=1e-3, abs=1e-12)


def test_spread_of_few() -> None:
    assert Spread.of([]) is None
    assert Spread.of([0.5]) == Spread(0.5, None, 1, None, None)


def test_intervals_of_many_are_wide_enough() -> None:
    values = [0.1 * (index % 7) for index in range(200)]
    spread = Spread.of(values)
    assert spread is not None
    assert spread.high is not None
    exact = stats.t.ppf(0.975, 199) * statistics.stdev(values) / math.sqrt(200)
    assert exact <= spread.high - spread.mean <= exact * 1.045


def test_headline_pairs_seeds(tmp_path: Path) -> None:
    found = headline(make_run(tmp_path / "run"))
    assert found.gain is not None
    # 0.970 - 0.960, 0.972 - 0.964, 0.974 - 0.968
    assert found.gain.mean == pytest.approx((0.010 + 0.008 + 0.006) / 3)
    assert found.gain.sd == pytest.approx(0.002)
    assert found.teacher is not None
    assert (found.teacher.mean, found.teacher.n) == (0.983, 1)


def test_no_baseline_no_gain(tmp_path: Path) -> None:
    found = headline(make_run(tmp_path / "run", baseline=False))
    assert found.gain is None
    assert found.baseline is None


class TestRows:
    def test_everything_is_there_in_order(self, tmp_path: Path) -> None:
        table = rows(make_run(tmp_path / "run"))
        names = [row.name for row in table]
        assert names == ["teacher", "student", BASELINE, *sorted(ARTIFACTS)]
        for row in table[3:]:
            _, size, p50, peak, accuracy, agreement = ARTIFACTS[row.name]
            assert (row.size_bytes, row.latency_p50_ms, row.peak_rss_bytes) == (size, p50, peak)
            assert (row.accuracy, row.agreement, row.status) == (accuracy, agreement, "ok")
            assert row.parameters == 20_000

    def test_a_row_for_each_device(self, tmp_path: Path) -> None:
        table = rows(make_run(tmp_path / "run", devices=("cpu", "pi4"), artifacts=("onnx-fp32",)))
        assert [(row.name, row.device) for row in table] == [
            ("teacher", "cpu"),
            ("teacher", "pi4"),
            ("student", "cpu"),
            ("student", "pi4"),
            (BASELINE, None),
            ("onnx-fp32", "cpu"),
            ("onnx-fp32", "pi4"),
        ]

    def test_not_measured(self, tmp_path: Path) -> None:
        table = rows(make_run(tmp_path / "run", devices=(), artifacts=("onnx-fp32",)))
        assert {row.status for row in table} == {"unmeasured"}
        student, file = table[1], table[3]
        assert (student.accuracy, student.agreement) == (0.970, 0.975)  # from training
        assert (file.accuracy, file.size_bytes) == (None, 90_000)

    def test_failed(self, tmp_path: Path) -> None:
        run = make_run(tmp_path / "run", artifacts=("onnx-fp32",))
        record = measurement(
            "onnx-fp32", "cpu", 1, 1.0, 1, 0.9, 0.9, status="failed", error="killed"
        )
        write_record(run.measurements_dir / "cpu--onnx-fp32.json", record)
        row = rows(run)[-1]
        assert (row.status, row.error, row.latency_p50_ms) == ("failed", "killed", None)

    def test_exported_again(self, tmp_path: Path) -> None:
        run = make_run(tmp_path / "run", artifacts=("onnx-fp32",))
        add_artifact(run, "onnx-fp32", devices=(), scale={"size_bytes": 1.1})
        row = rows(run)[-1]
        assert (row.status, row.size_bytes, row.accuracy) == ("stale", 99_000, None)

    def test_a_changed_file_is_left_out(self, tmp_path: Path) -> None:
        run = make_run(tmp_path / "run", artifacts=("onnx-fp32", "onnx-int8"))
        (run.artifacts_dir / "onnx-fp32" / "model.onnx").write_bytes(model_bytes(".onnx", 50))
        assert [row.name for row in rows(run) if row.kind == "artifact"] == ["onnx-int8"]

    def test_two_teachers(self, tmp_path: Path) -> None:
        run = make_run(tmp_path / "run", artifacts=(), devices=())
        path = run.path / "manifest.json"
        manifest = json.loads(path.read_text())
        manifest["teachers"] *= 2
        path.write_text(json.dumps(manifest))
        names = [row.name for row in rows(Run.open(run.path))]
        assert names[:2] == ["teacher", "teacher-2"]
