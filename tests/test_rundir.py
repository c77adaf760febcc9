"""The run directory: found, verified, and never half trusted."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekd.errors import IncompleteRunError, RunError, TamperedError
from edgekd.recordbase import Record
from edgekd.records import Latency, Preprocess, Provenance, RunManifest, Score, Verdict
from edgekd.rundir import Run, file_record, list_runs, set_latest, teacher_name, write_record
from edgekd.storage import atomic_write, sha256_bytes


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A whole run of three small files."""
    monkeypatch.setenv("EDGEKD_RUNS", str(tmp_path / "runs"))
    path = tmp_path / "runs" / "one"
    for name in ("recipe.toml", "student.safetensors", "metrics.jsonl"):
        atomic_write(path / name, f"{name}\n" if name != "metrics.jsonl" else '{"epoch": 1}\n{"ep')
    manifest = RunManifest(
        status="complete",
        id="one",
        name="one",
        recipe_sha256=sha256_bytes(b"recipe.toml\n"),
        files={p.name: file_record(p) for p in path.iterdir()},
        provenance=Provenance(
            created="2026-01-01T00:00:00+00:00", edgekd="0", python="3", platform="x"
        ),
    )
    write_record(path / "manifest.json", manifest)
    return Run(path, manifest)


def test_found_by_path_by_id_and_as_the_newest(run: Run) -> None:
    set_latest(run.path)
    for ref in (run.path, str(run.path), "one", None):
        assert Run.open(ref).manifest == run.manifest


def test_latest_without_symbolic_links(run: Run) -> None:
    set_latest(run.path)
    pointer = run.path.parent / "latest"
    pointer.unlink()
    pointer.write_text("one\n")
    assert Run.open().path == run.path.parent / "one"


def test_a_missing_run_names_what_there_is(run: Run) -> None:
    with pytest.raises(RunError, match="Known runs: one") as caught:
        Run.open("two")
    assert caught.value.exit_code == 2


def test_no_run_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEKD_RUNS", str(tmp_path / "empty"))
    with pytest.raises(RunError, match="edgekd distill"):
        Run.open()
    assert list_runs() == []


def test_a_changed_file_is_noticed(run: Run) -> None:
    (run.path / "student.safetensors").write_text("another student")
    with pytest.raises(TamperedError, match=r"student\.safetensors is not the file"):
        Run.open(run.path)


def test_a_missing_file_is_noticed(run: Run) -> None:
    (run.path / "recipe.toml").unlink()
    with pytest.raises(TamperedError, match=r"recipe\.toml is missing"):
        Run.open(run.path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d | {"surprise": 1}, "surprise"),
        (lambda d: d | {"schema": 2}, "schema"),
        (lambda d: {k: v for k, v in d.items() if k != "files"} | {"files": 3}, "files"),
        (lambda d: d | {"recipe_sha256": "abc"}, "recipe_sha256"),
    ],
)
def test_a_tampered_manifest_is_refused(run: Run, change: object, message: str) -> None:
    path = run.path / "manifest.json"
    data = json.loads(path.read_text())
    path.write_text(json.dumps(change(data)))  # type: ignore[operator]
    with pytest.raises(RunError, match=message):
        Run.open(run.path)


def test_a_manifest_that_is_cut_off(run: Run) -> None:
    path = run.path / "manifest.json"
    path.write_text(path.read_text()[:100])
    with pytest.raises(RunError, match="not a valid RunManifest"):
        Run.open(run.path)
    assert list_runs() == []


def test_incomplete(run: Run) -> None:
    path = run.path / "manifest.json"
    path.write_text(path.read_text().replace('"complete"', '"incomplete"', 1))
    with pytest.raises(IncompleteRunError, match="--resume"):
        Run.open(run.path)
    assert Run.open(run.path, allow_incomplete=True).manifest.status == "incomplete"


def test_a_line_cut_off_in_the_log_is_left_out(run: Run) -> None:
    assert run.metrics() == [{"epoch": 1}]


def test_what_is_being_written_is_no_run(run: Run) -> None:
    shutil.copytree(run.path, run.path.parent / ".edgekd-tmp-x")
    assert [path.name for path, _ in list_runs()] == ["one"]


FRACTIONS = st.floats(0, 1)
TEXT = st.text(max_size=20)
RECORDS: dict[type[Record], st.SearchStrategy[Record]] = {
    Score: st.builds(
        Score,
        seed=st.integers(0, 2**31),
        epochs=st.integers(0, 1000),
        validation_accuracy=FRACTIONS,
        test_accuracy=FRACTIONS,
        test_agreement=st.none() | FRACTIONS,
        train_seconds=st.none() | st.floats(0, 1e9),
    ),
    Preprocess: st.builds(
        Preprocess,
        scale=st.floats(-1e9, 1e9),
        mean=st.tuples(st.floats(-1e9, 1e9)),
        std=st.tuples(st.floats(-1e9, 1e9)),
    ),
    Verdict: st.builds(
        Verdict,
        artifact=TEXT,
        device=st.none() | TEXT,
        metric=TEXT,
        status=st.sampled_from(["pass", "fail", "warn"]),
        value=st.none() | st.floats(-1e9, 1e9),
        limit=st.none() | st.floats(-1e9, 1e9),
        baseline=st.none() | st.floats(-1e9, 1e9),
        message=TEXT,
    ),
    Latency: st.builds(
        Latency,
        **dict.fromkeys(("n", "outliers", "warmup_runs"), st.integers(0, 10**6)),
        **dict.fromkeys(
            ("load_ms", "first_ms", "min_ms", "p50_ms", "p90_ms", "p99_ms", "mean_ms"),
            st.floats(0, 1e6),
        ),
        raw_ms=st.lists(st.floats(0, 1e6), max_size=5).map(tuple),
    ),
}


@given(st.one_of(*RECORDS.values()))
@settings(max_examples=150, deadline=None)
def test_records_round_trip_through_json(record: Record) -> None:
    assert type(record).model_validate_json(record.to_json()) == record


@given(st.sampled_from(sorted(RECORDS, key=lambda kind: kind.__name__)), st.text(max_size=60))
@settings(max_examples=100, deadline=None)
def test_noise_is_never_a_record(kind: type[Record], text: str) -> None:
    if text.strip() == "{}" and kind is Preprocess:
        return
    with pytest.raises(ValueError, match=r"validation error"):
        kind.model_validate_json(text)


def test_nan_is_no_fraction() -> None:
    with pytest.raises(ValueError, match="finite"):
        Score(seed=0, epochs=1, validation_accuracy=float("nan"), test_accuracy=0.5)


def test_the_first_teacher_has_no_number() -> None:
    assert [teacher_name(number) for number in range(3)] == ["teacher", "teacher-2", "teacher-3"]
