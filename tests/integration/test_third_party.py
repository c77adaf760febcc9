"""Every model file of the shared data measures here and on an emulated Raspberry Pi."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekd.records import Measurement
from edgekd.transports.reach import Reach
from tests.integration.board import benchmark

pytestmark = pytest.mark.device

PI = "pi5-emulated"
#: Whose inputs and outputs are integers: they answer the same bit for bit wherever they run.
INTEGERS = ("int8", "quant")


def models(data_root: Path) -> list[Path]:
    return sorted([*data_root.rglob("*.tflite"), *data_root.rglob("*.onnx")])


@pytest.mark.timeout(600)
def test_all_of_them(
    pi_box: Reach, data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Emulated inferences take seconds: two of each are counted.
    monkeypatch.setattr("edgekd.bench.measure.COUNTED_RUNS", 2)
    monkeypatch.setattr("edgekd.bench.measure.null_memory", lambda *_: None)
    paths = models(data_root)
    assert len(paths) >= 9
    words = [*map(str, paths), "--device", "cpu", "--device", PI]
    brief = ("--mode", "latency", "--seconds", "0.05", "--runs", "5")
    benchmark(*words, *brief, out=tmp_path, code=0)
    found = [Measurement.model_validate_json(p.read_bytes()) for p in tmp_path.glob("*.json")]
    records = {(record.artifact, record.device): record for record in found}
    assert set(records) == {(path.name, device) for path in paths for device in ("cpu", PI)}
    for path in paths:
        here, there = records[path.name, "cpu"], records[path.name, PI]
        assert here.latency is not None and here.instructions is None
        assert there.latency is None and there.instructions is not None
        # Each weight is used at least once, 16 at most by one instruction.
        assert there.instructions.per_inference > (there.parameters or 0) / 16
        assert (here.runtime, here.runtime_version) == (there.runtime, there.runtime_version)
        same = here.environment["output_sha256"] == there.environment["output_sha256"]
        assert same or not any(word in path.name for word in INTEGERS), path.name


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mlperf_tiny/ic_pretrainedResnet.h5", "is an HDF5 file"),
        ("resnet_cifar10_pt/resnet20-12fca82f.th", "is a pickled PyTorch checkpoint"),
        ("mlperf_tiny/SHA256SUMS", "is neither a TFLite nor an ONNX file"),
    ],
)
def test_what_is_no_model_file_is_refused(
    data_root: Path, tmp_path: Path, name: str, message: str
) -> None:
    told = benchmark(str(data_root / name), "--quiet", out=tmp_path, code=2)
    assert told.stderr.startswith(f"error: {data_root / name} {message}"), told.stderr
    assert len(told.stderr.splitlines()) == 2, "what is wrong, and what to do"
    assert not told.stdout
