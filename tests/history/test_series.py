"""Trends: which points belong together, where they change, and what else did there."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from edgekd import history
from tests.history.made import keep, measured, verdict
from tests.synthetic_runs import make_run

NAME, METRIC = "tflite-int8", "latency_ms_p50"


def wobble(day: int) -> float:
    return random.Random(day).uniform(-0.02, 0.02)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "history.sqlite"


def test_a_step_names_its_commit_and_what_else_changed(file: Path) -> None:
    old, new = (1.0, "2.2.0"), (1.3, "2.3.0")
    told = {day: old if day < 15 else new for day in range(1, 29)}
    keep(
        file,
        [measured(d, ms + wobble(d), runtime_version=of) for d, (ms, of) in told.items()],
    )
    trend = history.trend(NAME, "cpu", METRIC, file)
    assert [point.commit for point in trend.points] == [f"{day:02}" * 20 for day in range(1, 29)]
    (change,) = trend.changes
    assert (change.kind, change.index, change.worse) == ("step", 14, True)
    assert (change.commit, change.commit_before) == ("15" * 20, "14" * 20)
    assert change.time == "2025-10-15T10:00:00+00:00"
    assert change.after / change.before == pytest.approx(1.3, rel=0.03)
    assert change.p is not None
    assert change.p <= 0.01
    assert change.also == ("litert 2.2.0 became litert 2.3.0", "the model file is the same")
    assert [one.metric for one in history.changes(file)] == [METRIC]


def test_a_run_checked_again_is_no_new_point(file: Path, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", artifacts=(NAME,))
    for status in ("pass", "pass", "fail"):
        size = verdict(status, metric="size_bytes", device=None, value=30_000.0)
        assert history.append([size], run.measurements(), run, file) is None
    for metric, device in (("size_bytes", None), (METRIC, "cpu")):
        (point,) = history.trend(NAME, device, metric, file).points
        assert point.run == "run"
        assert point.time == "2025-11-20T10:00:00+00:00"
    assert history.trend(NAME, None, "size_bytes", file).points[0].status == "fail"


def test_latencies_of_other_processors_are_left_out_and_counted(file: Path) -> None:
    cpus = enumerate(("A", "B", "B", "A", "B"), 1)
    keep(file, [measured(d, 1.0 + d, environment={"before": {"cpu": cpu}}) for d, cpu in cpus])
    trend = history.trend(NAME, "cpu", METRIC, file)
    assert [point.value for point in trend.points] == [3.0, 4.0, 6.0]
    assert trend.left_out == 2
    assert len(history.trend(NAME, "cpu", "accuracy", file).points) == 5


def test_a_size_has_no_noise(file: Path) -> None:
    sizes = enumerate((30_000, 30_000, 30_010, 33_000, 33_000), 1)
    keep(file, [measured(day, 1.0, size_bytes=size) for day, size in sizes])
    (change,) = history.trend(NAME, None, "size_bytes", file).changes
    assert (change.index, change.before, change.after, change.p) == (3, 30_010, 33_000, None)
    assert change.commit == "04" * 20


def test_a_size_that_creeps_is_a_drift(file: Path) -> None:
    sizes = {day: 100_000 + 50 * max(0, day - 10) for day in range(1, 31)}
    keep(file, [measured(day, 1.0, size_bytes=size) for day, size in sizes.items()])
    (change,) = history.trend(NAME, None, "size_bytes", file).changes
    assert (change.kind, change.after) == ("drift", pytest.approx(101_000, rel=1e-3))
    assert 8 <= change.index <= 11


def test_higher_accuracy_is_better(file: Path) -> None:
    values = {day: (0.90 if day < 15 else 0.95) + wobble(day) / 10 for day in range(1, 29)}
    keep(file, [measured(day, 1.0, accuracy=value) for day, value in values.items()])
    (change,) = history.trend(NAME, "cpu", "accuracy", file).changes
    assert not change.worse


def test_only_the_newest_and_only_a_branch(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for day in range(1, 9):
        monkeypatch.setenv("GITHUB_HEAD_REF", "topic" if day % 2 else "main")
        assert history.append([], [measured(day, float(day))], url=file) is None
    values = [p.value for p in history.trend(NAME, "cpu", METRIC, file, last=3).points]
    assert values == [6.0, 7.0, 8.0]
    values = [p.value for p in history.trend(NAME, "cpu", METRIC, file, branch="main").points]
    assert values == [2.0, 4.0, 6.0, 8.0]


def test_runs_are_imported_once(file: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        make_run(tmp_path / "runs" / name, artifacts=(NAME,), devices=("cpu", "pi4"))
    (tmp_path / "runs" / "latest").symlink_to("two", target_is_directory=True)
    added = history.import_runs(tmp_path / "runs", file)
    found = history.trends(url=file)
    assert added == sum(len(trend.points) for trend in found)
    assert {(trend.device, trend.metric) for trend in found} >= {
        ("pi4", METRIC),
        (None, "size_bytes"),
    }
    assert {point.run for trend in found for point in trend.points} == {"one", "two"}
    assert history.import_runs(tmp_path / "runs" / "one", file) == 0
    assert history.import_runs(tmp_path / "runs", file) == 0
