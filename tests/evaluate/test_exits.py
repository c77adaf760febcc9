"""The curve of early exits: accuracy, shares and cost over thresholds."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from edgekd.bench.settings import Settings
from edgekd.bench.stage import benchmark
from edgekd.cli.app import app
from edgekd.data.load import load_for_student
from edgekd.errors import DataError, RunError
from edgekd.evaluate.exits import exits, families, point
from edgekd.evaluate.subjects import of_run
from edgekd.records_exits import ExitCurve, ExitFile
from edgekd.rundir import Run
from edgekd.runtimes.early_exit import EarlyExit


@pytest.fixture
def run(run_of_exits: Run, tmp_path: Path) -> Run:
    """A copy that a test may write into."""
    path = tmp_path / "copy"
    shutil.copytree(run_of_exits.path, path)
    return Run.open(path)


def test_a_point_worked_out_by_hand() -> None:
    def logits(*sure: float) -> np.ndarray:
        """Two classes; the first is right. A sample has this probability for it."""
        p = np.array(sure)
        return np.log(np.stack([p, 1 - p], axis=1)).astype(np.float32)

    answers = [
        logits(0.95, 0.6, 0.05, 0.5),
        logits(0.5, 0.92, 0.99, 0.6),
        logits(0.4, 0.9, 0.9, 0.7),
    ]
    files = [
        ExitFile(artifact=str(n), exit=n, accuracy=0.5, macs=100 * n, latency_ms={"a": n, "b": 1})
        for n in (1, 2, 3)
    ]
    files[1] = files[1].model_copy(update={"latency_ms": {"a": 2}})
    found = point(files, answers, np.zeros(4, np.int64), 0.9)
    # 1 and 3 leave first, 3 with the wrong class; 2 leaves second; 4 goes to the end.
    assert found.shares == (0.5, 0.25, 0.25)
    assert found.accuracy == 0.75
    assert found.macs == 100 + 0.5 * 200 + 0.25 * 300
    assert found.latency_ms == {"a": 1 + 0.5 * 2 + 0.25 * 3}


def test_files_that_go_together(run: Run) -> None:
    found = {name: [a.manifest.exit for a in group] for name, group in families(run).items()}
    assert found == {"onnx-fp32-exits": [1, 2, None], "onnx-fp32-segments": [1, 2, None]}
    shutil.rmtree(run.artifacts_dir / "onnx-fp32-segment-2")
    shutil.rmtree(run.artifacts_dir / "onnx-fp32-exit-1")
    found = {name: [a.manifest.exit for a in group] for name, group in families(run).items()}
    assert found == {"onnx-fp32-exits": [2, None]}


def test_the_curve_is_what_the_runner_does(run: Run) -> None:
    curves = exits(run, thresholds=[0.8])
    data = load_for_student(run.recipe)
    targets = data.splits["test"].targets
    for curve in curves:
        paths = [run.artifacts_dir / file.artifact / "model.onnx" for file in curve.files]
        left = EarlyExit(paths, 0.8).run(data.normalised("test"))
        (found,) = curve.points
        assert found.accuracy == pytest.approx((left.logits.argmax(1) == targets).mean())
        expected = [(left.exits == number).mean() for number in (1, 2, 3)]
        assert found.shares == pytest.approx(expected)
        macs = [file.macs or 0 for file in curve.files]
        assert found.macs == pytest.approx(np.cumsum(macs)[left.exits - 1].mean())
    whole, segments = curves
    assert not whole.segments and segments.segments
    assert (segments.points[0].macs or 0) < (whole.points[0].macs or 0)
    assert whole.whole == segments.whole
    assert {c.name for c in run.exit_curves()} == {"onnx-fp32-exits", "onnx-fp32-segments"}


def test_latencies_are_those_of_the_benchmark(run: Run) -> None:
    quick = Settings(
        warmup_runs=2, warmup_seconds=0.0, min_runs=5, min_seconds=0.0, max_seconds=5.0
    )
    measured = {m.artifact: m for m in benchmark(run, settings=quick)}
    assert "earlier segment" in measured["onnx-fp32-segment-2"].unknown["accuracy"]
    assert measured["onnx-fp32-segment-1"].accuracy == measured["onnx-fp32-exit-1"].accuracy
    for curve in exits(run, thresholds=[0.0, 2.0]):
        times = []
        for file in curve.files:
            latency = measured[file.artifact].latency
            assert latency is not None
            times.append(latency.p50_ms)
        assert [file.latency_ms["cpu"] for file in curve.files] == times
        assert curve.points[0].latency_ms["cpu"] == pytest.approx(times[0])
        assert curve.points[1].latency_ms["cpu"] == pytest.approx(sum(times))


def test_segments_are_no_subjects_of_their_own(run: Run) -> None:
    names = [subject.name for subject in of_run(run)]
    assert "onnx-fp32-exit-1" in names
    assert not [name for name in names if "segment" in name]


def test_says_what_is_missing(run: Run) -> None:
    with pytest.raises(DataError, match="'train'"):
        exits(run, split="train")
    shutil.rmtree(run.artifacts_dir)
    with pytest.raises(RunError, match="no exported exits"):
        exits(run)


def test_the_command(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        app(["exits", str(run.path), "--threshold", "0.9", "--split", "validation", "--json"])
    found = json.loads(capsys.readouterr().out)
    curves = [ExitCurve.model_validate(curve) for curve in found["curves"]]
    assert [curve.split for curve in curves] == ["validation", "validation"]
    with pytest.raises(SystemExit):
        app(["exits", str(run.path), "--threshold", "2"])
    out = capsys.readouterr().out
    assert "never" in out and "no exits" in out and "onnx-fp32-segments" in out
