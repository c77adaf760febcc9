"""Our numbers against other tools, and a Raspberry Pi in a box against this machine.

The short forms run beside other tests, which disturb them: they stop at the first turns that
agree, so that they find what is always wrong, and nothing by chance. ``benchmarks/honesty.py``,
which waits for a quiet machine, is the full form.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pytest

from benchmarks import honesty
from edgekd.records import TensorSpec
from edgekd.rundir import Run, file_record, write_record
from edgekd.transports.reach import Reach
from tests.bench import files
from tests.fixtures_boxes import brought_up
from tests.integration.board import benchmark

#: Pairs of turns that a busy machine gets.
PAIRS = 12


def agrees(path: Path, pairs: int = PAIRS) -> list[float]:
    """Take turns until the median of the quotients is as promised, three pairs at least."""
    theirs = honesty.litert_benchmark if path.suffix == ".tflite" else honesty.bare_loop
    quotients: list[float] = []
    while len(quotients) < pairs:
        quotients.append(honesty.ours(path) / theirs(path))
        if len(quotients) >= 3 and abs(median(quotients) - 1) <= honesty.TOLERANCE:
            return quotients
    raise AssertionError(f"{path.name}: never within {honesty.TOLERANCE:.0%}: {quotients}")


@pytest.mark.device
def test_our_median_is_that_of_litert_benchmark(data_root: Path) -> None:
    agrees(data_root / "mlperf_tiny" / "ic_pretrainedResnet_int8.tflite")


@pytest.mark.device
def test_our_median_is_that_of_a_bare_loop(tmp_path: Path) -> None:
    weight = np.random.default_rng(0).standard_normal((1000, 1000)) / 30
    layers = [(weight, np.zeros(1000))] * 3
    agrees(files.mlp_onnx(tmp_path / "mlp.onnx", layers, (1000,)))


@pytest.mark.device
def test_the_pi_answers_as_this_machine_does(pi_box: Reach, data_root: Path) -> None:
    names = ("mlperf_tiny/kws_ref_model_int8.tflite", "mlperf_tiny/kws_ref_model_fp32.tflite")
    integers, floats = honesty.on_the_pi([data_root / name for name in names])
    assert integers["same_runtime"] and floats["same_runtime"]
    assert integers["identical"] == integers["samples"] == 4
    assert floats["difference"] <= 1e-6
    assert integers["met"] and floats["met"]


@pytest.fixture
def old_box() -> Iterator[Reach]:
    yield from brought_up("pi4-legacy-emulated")


def replace_by_tflite(run: Run) -> None:
    """Put a TFLite file of one layer in the place of the run's ONNX file."""
    (artifact,) = run.artifacts()
    shape = (1, *run.manifest.sample_shape)
    size = int(np.prod(shape))
    weight = np.random.default_rng(0).standard_normal((10, size))
    tensors: dict[str, files.Tensor] = {
        "x": (shape, np.float32, None),
        "w": ((10, size), np.float32, weight),
        "y": ((1, 10), np.float32, None),
    }
    folder = artifact.directory.rename(run.artifacts_dir / "tflite-fp32")
    (folder / "model.onnx").unlink()
    path = files.tflite(folder / "model.tflite", "FullyConnected", tensors, ["x", "w"])
    changed = {
        "name": folder.name,
        "target": "tflite",
        "file": path.name,
        "inputs": (TensorSpec(name="x", shape=shape, dtype="float32", layout="nchw"),),
        "outputs": (TensorSpec(name="y", shape=(1, 10), dtype="float32"),),
        "files": {path.name: file_record(path)},
    }
    write_record(folder / "manifest.json", artifact.manifest.model_copy(update=changed))


@pytest.mark.device
def test_other_versions_are_never_compared_silently(
    run: Run,
    pi_box: Reach,
    old_box: Reach,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("edgekd.bench.measure.null_memory", lambda *_: None)
    monkeypatch.setenv("COLUMNS", "200")
    replace_by_tflite(run)
    names = ("cpu", "pi5-emulated", "pi4-legacy-emulated")
    devices = [word for name in names for word in ("--device", name)]
    words = ("--mode", "accuracy", "--samples", "100")
    told = benchmark(str(run.path), *devices, *words, out=tmp_path, code=0)
    records = {
        record.device: record
        for record in Run.open(run.path).measurements()
        if record.artifact == "tflite-fp32"
    }
    here, new, old = (records[name] for name in names)
    assert new.compared[0].same_runtime and new.compared[0].device == "cpu"
    assert (new.compared[0].max_difference or 0.0) <= 1e-5
    assert (new.runtime, new.runtime_version) == (here.runtime, here.runtime_version)
    assert (old.runtime, old.runtime_version) == ("tflite-runtime", "2.14.0")
    assert not old.compared[0].same_runtime
    (line,) = [line for line in told.stdout.splitlines() if "tflite-runtime 2.14.0 here" in line]
    assert line.startswith("tflite-fp32 on pi4-legacy-emulated: ") and "different" in line


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.skipif("PYTEST_XDIST_WORKER" in os.environ, reason="measures times: run it alone")
def test_the_full_form(data_root: Path, pi_box: Reach, tmp_path: Path) -> None:
    out = tmp_path / "honesty.json"
    honesty.main(["--patience", "1200", "--out", str(out)])
    check(json.loads(out.read_text()))


@pytest.mark.skipif(not honesty.RESULT.exists(), reason="it was not measured yet")
def test_the_committed_result() -> None:
    result = json.loads(honesty.RESULT.read_text())
    assert all(len(row["pairs"]) >= 11 for row in result["tools"])
    assert all(len(row["p50_ms"]) >= 20 for row in result["repeat"])
    assert len(result["outputs"]) >= len(honesty.OUTPUTS)
    check(result)


def check(result: dict[str, Any]) -> None:
    """What is promised holds, recomputed from what was measured."""
    assert len(result["tools"]) == len(honesty.TOOLS)
    for row in result["tools"]:
        quotients = [ours / theirs for ours, theirs in row["pairs"]]
        assert np.median(quotients) == pytest.approx(row["ratio"])
        assert 0.95 <= row["ratio"] <= 1.05, row
    assert len(result["repeat"]) == len(honesty.REPEATED)
    for row in result["repeat"]:
        assert np.std(row["p50_ms"], ddof=1) / np.mean(row["p50_ms"]) < 0.03, row
    for row in result["outputs"]:
        assert row["same_runtime"], row
        assert row["identical"] == row["samples"] or row["difference"] <= 1e-6, row
        assert row["identical"] == row["samples"] or "int8" not in row["file"], row
