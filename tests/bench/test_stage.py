"""The verb: runs and bare files, good ones and such as fail in every way."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from edgekd.bench import stage, visit
from edgekd.bench.settings import Settings
from edgekd.bench.stage import benchmark
from edgekd.bench.testset import load_test_set
from edgekd.errors import (
    MissingExtraError,
    MissingRuntimeError,
    ModelFileError,
    RunError,
    TamperedError,
    TransportError,
    UnknownNameError,
)
from edgekd.records import Measurement
from edgekd.rundir import Run, read_record
from edgekd.transports.base import Completed
from edgekd.transports.fake import FakeTransport
from edgekd.transports.reach import Reach
from tests.bench import files, replies
from tests.bench.conftest import student_layers


def by_name(measurements: Sequence[Measurement]) -> dict[str, Measurement]:
    return {found.artifact: found for found in measurements}


def test_a_run(run: Run, fast: Settings) -> None:
    """Teacher, student and file: their figures, held against NumPy and the run's own scores."""
    said: list[str] = []
    found = by_name(benchmark(run, settings=fast, say=said.append))
    assert list(found) == ["teacher", "student", "onnx-fp32"]
    assert [line.split("(")[0] for line in said] == [
        "cpu: teacher ",
        "cpu: student ",
        "cpu: onnx-fp32 ",
    ]
    manifest = run.manifest
    teacher, student, exported = found.values()
    assert teacher.accuracy == pytest.approx(manifest.teacher_scores[0].test_accuracy)
    assert teacher.agreement == 1.0
    assert student.accuracy == pytest.approx(manifest.student_scores[0].test_accuracy)
    assert student.agreement == pytest.approx(manifest.student_scores[0].test_agreement)
    assert (teacher.runtime, exported.runtime) == ("torch", "onnxruntime")
    assert manifest.student is not None
    for measured in (student, exported):
        assert measured.parameters == manifest.student.parameters
        assert measured.macs == manifest.student.macs
    with np.load(run.predictions_path) as stored:
        targets, logits = stored["targets"], stored["teacher_logits"]
    inputs = load_test_set(run).read(np.arange(len(targets)))
    x = inputs.reshape(len(targets), -1).astype(np.float64)
    (w0, b0), (w1, b1) = student_layers(run)
    top = (np.maximum(x @ w0.T + b0, 0) @ w1.T + b1).argmax(1)
    assert exported.accuracy == pytest.approx((top == targets).mean(), abs=1 / len(targets))
    assert exported.agreement == pytest.approx(
        (top == logits.argmax(1)).mean(), abs=1 / len(targets)
    )
    assert exported.samples == len(targets)
    assert set(exported.unknown) <= {"energy"}  # few machines have a sensor
    for measured in found.values():
        assert measured.status == "ok"
        assert measured.latency is not None and measured.latency.n >= fast.min_runs
        assert measured.memory is not None and (measured.memory.raw_peak_rss_bytes or 0) > 0
        assert measured.memory.process_peak_rss_bytes > measured.memory.peak_rss_bytes
        assert measured.parents["run"] == run.manifest_sha256
        assert measured.threads == 1
        stored_record = run.measurements_dir / f"cpu--{measured.artifact}.json"
        assert read_record(stored_record, Measurement) == measured


def test_the_runs_own_file_by_its_path(run: Run, fast: Settings) -> None:
    """It keeps its name, and its run gives labels and teacher."""
    (found,) = benchmark(run.artifacts()[0].path, settings=fast)
    assert found.artifact == "onnx-fp32"
    assert found.accuracy is not None and found.agreement is not None
    assert [m.artifact for m in run.measurements()] == ["onnx-fp32"]


def test_a_second_measurement_replaces_the_first(run: Run, fast: Settings) -> None:
    path = run.artifacts()[0].path
    benchmark(path, settings=fast)
    (again,) = benchmark(path, settings=fast, threads=2)
    assert [m.threads for m in run.measurements()] == [2]
    assert again.environment["pinned_cores"] is None


def test_bare_files(tmp_path: Path, fast: Settings) -> None:
    made = files.add(tmp_path / "add.tflite"), files.linear_onnx(tmp_path / "lin.onnx")
    found = benchmark(*made, settings=fast)
    assert [m.artifact for m in found] == ["add.tflite", "lin.onnx"]
    assert [m.parameters for m in found] == [4, 15]
    for measured in found:
        assert measured.status == "ok" and measured.latency is not None
        assert measured.accuracy is None and measured.samples is None
        reason = "no labels: a bare file without a run"
        assert measured.unknown["accuracy"] == measured.unknown["agreement"] == reason
        assert "macs" not in measured.unknown
    assert [m.macs for m in found] == [0, 4 * 3]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["add.tflite", "lin.onnx"]


def test_measurements_of_bare_files_go_where_the_user_says(tmp_path: Path, fast: Settings) -> None:
    (tmp_path / "b").mkdir()
    first = files.linear_onnx(tmp_path / "m.onnx")
    second = files.linear_onnx(tmp_path / "b" / "m.onnx", batch=1)
    found = benchmark(first, second, settings=fast, out=tmp_path / "out")
    written = sorted((tmp_path / "out").iterdir())
    assert [p.name for p in written] == [
        f"cpu--m.onnx-{str(found[1].model_sha256)[:8]}.json",
        "cpu--m.onnx.json",
    ]
    assert json.loads(written[1].read_text())["schema"] == 1
    assert read_record(written[0], Measurement) == found[1]


def test_a_file_that_kills_its_process_does_not_stop_the_others(
    tmp_path: Path, fast: Settings
) -> None:
    killer, good = files.killer(tmp_path / "killer.tflite"), files.add(tmp_path / "add.tflite")
    says_so = files.out_of_bounds(tmp_path / "oob.tflite")
    found = benchmark(killer, says_so, good, settings=fast)
    assert [m.status for m in found] == ["failed", "failed", "ok"]
    assert "killed by SIGSEGV while running it" in str(found[0].error)
    assert "out of bounds" in str(found[1].error)
    assert found[0].latency is None and found[0].size_bytes == killer.stat().st_size
    (alone,) = benchmark(killer, settings=fast)
    assert alone.status == "failed"


def test_one_unusable_file_is_an_error(tmp_path: Path, fast: Settings) -> None:
    (tmp_path / "empty.tflite").touch()
    (tmp_path / "pointer.tflite").write_text("version https://git-lfs.github.com/spec/v1\noid x\n")
    shutil.copy(files.linear_onnx(tmp_path / "m.onnx"), tmp_path / "wrong.tflite")
    files.linear_onnx(tmp_path / "opset.onnx", opset=999)
    files.unknown_operator_onnx(tmp_path / "odd.onnx")
    files.add(tmp_path / "version.tflite", version=99)
    cut = files.add(tmp_path / "cut.tflite")
    cut.write_bytes(cut.read_bytes()[:150])
    for name, message in (
        ("empty.tflite", "is empty"),
        ("pointer.tflite", "Git LFS pointer"),
        ("wrong.tflite", "holds ONNX"),
        ("gone.tflite", "no such file"),
        ("opset.onnx", "opset"),
        ("odd.onnx", "Teleport"),
        ("version.tflite", "ADD"),
        ("cut.tflite", "failed: "),
    ):
        with pytest.raises(ModelFileError, match=message) as caught:
            benchmark(tmp_path / name, settings=fast)
        assert name in caught.value.message
        assert caught.value.hint or name == "gone.tflite"


def test_unusable_files_among_good_ones_are_rows(tmp_path: Path, fast: Settings) -> None:
    (tmp_path / "empty.onnx").touch()
    good = files.add(tmp_path / "add.tflite")
    found = benchmark(tmp_path / "empty.onnx", good, tmp_path / "gone.onnx", settings=fast)
    assert [m.status for m in found] == ["failed", "ok", "failed"]
    assert "is empty" in str(found[0].error)
    with pytest.raises(ModelFileError, match="none of the 2 files") as caught:
        benchmark(tmp_path / "empty.onnx", tmp_path / "gone.onnx", settings=fast)
    assert "is empty" in caught.value.message and "no such file" in caught.value.message


def test_no_runtime_is_exit_code_3(tmp_path: Path, fast: Settings) -> None:
    device = tmp_path / "onnx-only.toml"
    device.write_text('runtimes = ["onnxruntime"]\n')
    good = files.add(tmp_path / "add.tflite")
    with pytest.raises(MissingRuntimeError, match="no runtime for tflite") as caught:
        benchmark(good, devices=[device], settings=fast)
    assert caught.value.exit_code == 3


def test_bad_names(tmp_path: Path, fast: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEKD_RUNS", str(tmp_path / "runs"))
    good = files.add(tmp_path / "add.tflite")
    with pytest.raises(UnknownNameError, match="cpu"):
        benchmark(good, devices=["cqu"], settings=fast)
    with pytest.raises(RunError, match="no run"):
        benchmark("nowhere", settings=fast)
    with pytest.raises(RunError, match="edgekd distill"):
        benchmark(settings=fast)


def test_data_that_is_gone_costs_the_scores_alone(run: Run, fast: Settings) -> None:
    text = (run.path / "recipe.toml").read_text()
    moved = text.replace('source = "digits"', 'source = "npz"\npath = "/nowhere/data.npz"')
    assert moved != text
    (run.path / "recipe.toml").write_text(moved)
    opened = Run(run.path, run.manifest)  # the hash of the recipe is not what is tested here
    found = by_name(_files_only(opened, fast))["onnx-fp32"]
    assert found.status == "ok" and found.latency is not None
    assert found.accuracy is None and found.agreement is None
    assert "the run's data cannot be loaded: " in found.unknown["accuracy"]
    assert "/nowhere/data.npz" in found.unknown["accuracy"]


def _files_only(run: Run, fast: Settings) -> list[Measurement]:
    run.student_path.unlink()
    run.teacher_path.unlink()
    return benchmark(run, settings=fast)


def test_without_pytorch_files_are_measured_all_the_same(
    run: Run, fast: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (stage, visit):
        monkeypatch.setattr(module, "find_spec", lambda name: None)
    said: list[str] = []
    found = benchmark(run, settings=fast, say=said.append)
    assert [m.artifact for m in found] == ["onnx-fp32"]
    assert found[0].accuracy is not None
    assert "cpu: teacher, student: not measured, PyTorch is not installed" in said
    shutil.rmtree(run.artifacts_dir)
    with pytest.raises(MissingExtraError, match="torch"):
        benchmark(run, settings=fast)


def test_a_tampered_file_is_not_measured(run: Run, fast: Settings) -> None:
    path = run.artifacts()[0].path
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(TamperedError):
        benchmark(run, settings=fast)


def unplugged(reach: Reach) -> FakeTransport:
    def handler(argv: Sequence[str], held: dict[str, bytes]) -> Completed:
        raise TransportError("the board was unplugged")

    return FakeTransport(handler)


def other_file(reach: Reach) -> FakeTransport:
    return FakeTransport(lambda argv, held: Completed(0, json.dumps(replies.good())))


@pytest.mark.parametrize(
    ("transport", "message"),
    [("unplugged", "the board was unplugged"), ("other_file", "measured another file")],
)
def test_a_device_that_vanishes_or_errs(
    tmp_path: Path, fast: Settings, transport: str, message: str
) -> None:
    device = tmp_path / "board.toml"
    device.write_text(f'transport = "{__name__}:{transport}"\nruntimes = ["litert"]\n')
    good = files.add(tmp_path / "add.tflite")
    (found,) = benchmark(good, devices=[device], settings=fast)
    assert found.status == "failed" and found.device == "board"
    assert message in str(found.error)


def test_a_profile_is_held_to_what_the_device_is(tmp_path: Path, fast: Settings) -> None:
    device = tmp_path / "odd.toml"
    device.write_text(
        'runtimes = ["litert"]\narch = "z80"\ngovernor = "performance-or-so"\nemulated = true\n'
        "affinity = [0]\ncooldown = 0.2\n"
    )
    good = files.add(tmp_path / "add.tflite")
    (found,) = benchmark(good, devices=[device, "cpu"], settings=fast)[:1]
    said = "\n".join(found.warnings)
    for part in ("z80", "performance-or-so"):
        assert part in said
    assert found.latency is None and "milliseconds would say nothing" in found.unknown["latency"]
    assert "no counter" in found.unknown["instructions"]
    assert found.emulated and found.environment["pinned_cores"] == [0]
    assert found.provenance.wall_seconds is not None and found.provenance.wall_seconds > 0.2


def test_a_file_that_hangs_is_given_up(tmp_path: Path) -> None:
    good = files.add(tmp_path / "add.tflite")
    hurried = Settings(min_seconds=60.0, max_seconds=60.0, timeout=1.5)
    (found,) = benchmark(good, settings=hurried)
    assert found.status == "failed" and "took too long" in str(found.error)
