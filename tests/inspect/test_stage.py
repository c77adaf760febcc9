"""Inspecting files of whatever origin, artifacts and runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

import edgekd
from edgekd.cli.app import app
from edgekd.errors import EdgekdError, ModelFileError, RunError
from edgekd.modelfile import metadata
from edgekd.records import FileRecord
from edgekd.records_modelfile import FileMetadata, Inspection
from edgekd.rundir import Run, sha256_file, write_record
from tests.modelfile.onnx_files import convolution
from tests.synthetic_runs import make_run

#: Every model file of third parties that the tests know, with what is known of it: operators in
#: the main graph, parameters within 3% (published, or the size of the float file / 4).
THIRD_PARTY = {
    "coral/mobilenet_v1_0.25_128_quant.tflite": (31, 470_000, "int8"),
    "coral/mobilenet_v2_1.0_224_quant.tflite": (66, 3_500_000, "int8"),
    "mlperf_tiny/ad01_fp32.tflite": (10, 266_000, "none"),
    "mlperf_tiny/ad01_int8.tflite": (10, 266_000, "int8"),
    "mlperf_tiny/ic_pretrainedResnet_fp32.tflite": (16, 78_000, "none"),
    "mlperf_tiny/ic_pretrainedResnet_int8.tflite": (16, 78_000, "int8"),
    "mlperf_tiny/kws_ref_model_fp32.tflite": (13, 22_604, "int8-dynamic"),
    "mlperf_tiny/kws_ref_model_int8.tflite": (13, 22_604, "int8"),
    "ultraface/version-RFB-320.onnx": (245, 308_000, "none"),
}


@pytest.mark.parametrize("name", THIRD_PARTY)
def test_files_that_nobody_here_made(name: str, data_root: Path) -> None:
    path = data_root / name
    if not path.is_file():
        pytest.skip(f"{name} is not here")
    operators, parameters, scheme = THIRD_PARTY[name]
    found = edgekd.inspect(path, operators=True, tensors=True)
    assert found.sha256 == sha256_file(path)
    assert found.size_bytes == path.stat().st_size
    assert abs(len(found.operators) - operators) <= 0 or name.startswith("ultraface")
    assert found.parameters == pytest.approx(parameters, rel=0.03)
    assert found.quantization is not None
    assert found.quantization.scheme == scheme
    assert found.weight_bytes is not None
    assert found.weight_bytes + (found.other_bytes or 0) == found.size_bytes
    assert sum(kind.share for kind in found.kinds) == pytest.approx(1)
    assert sum(layer.stored_bytes for layer in found.layers) <= found.weight_bytes
    assert found.tensors
    assert found.oldest is not None
    assert (found.npu is None) == (found.format == "onnx")
    assert Inspection.model_validate_json(found.to_json()) == found


def test_no_third_party_file_is_forgotten(data_root: Path) -> None:
    there = {
        str(path.relative_to(data_root))
        for suffix in ("tflite", "onnx")
        for path in data_root.rglob(f"*.{suffix}")
    }
    assert there <= set(THIRD_PARTY)


def test_what_is_odd_is_said(data_root: Path) -> None:
    found = edgekd.inspect(data_root / "ultraface" / "version-RFB-320.onnx")
    assert any("also listed as graph inputs" in warning for warning in found.warnings)
    coral = edgekd.inspect(data_root / "coral" / "mobilenet_v1_0.25_128_quant.tflite")
    assert coral.foreign["name"] == "ImageClassifier"
    assert len(coral.labels) == 1001


def test_metadata_and_layout_are_shown(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(convolution().SerializeToString())
    told = FileMetadata.model_validate(
        {
            "edgekd": "0.1.0",
            "labels": ["cat", "dog"],
            "inputs": [
                {"name": "x", "shape": [None, 3, 8, 8], "dtype": "float32", "layout": "nchw"}
            ],
        }
    )
    metadata.write(path, told)
    found = edgekd.inspect(path)
    assert found.metadata == told
    assert found.inputs[0].layout == "nchw"
    assert found.labels == ("cat", "dog")
    assert found.macs == 6912


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("m.safetensors", b"\x02\0\0\0\0\0\0\0{}", "safetensors"),
        ("m.h5", b"\x89HDF\r\n\x1a\n" + bytes(30), "HDF5"),
        ("m.tflite", b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
        ("m.tflite", b"", "is empty"),
        ("m.tflite", b"\x1c\x00\x00\x00TFL3" + bytes(50), "TFLite"),
    ],
)
def test_what_is_no_model_file_is_named(
    name: str, content: bytes, what: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(EdgekdError, match=what):
        edgekd.inspect(tmp_path / name)


def test_a_missing_file_is_not_taken_for_a_run(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="no such file"):
        edgekd.inspect(tmp_path / "none.tflite")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data_root: Path) -> Run:
    """A run with one artifact, whose file is a real one."""
    monkeypatch.setenv("EDGEKD_RUNS", str(tmp_path))
    made = make_run(tmp_path / "one", artifacts=["tflite-int8"], devices=())
    artifact = made.artifacts()[0]
    real = (data_root / "mlperf_tiny" / "ic_pretrainedResnet_int8.tflite").read_bytes()
    artifact.path.write_bytes(real)
    record = FileRecord(sha256=sha256_file(artifact.path), size_bytes=len(real))
    manifest = artifact.manifest.model_copy(update={"files": {artifact.path.name: record}})
    write_record(artifact.directory / "manifest.json", manifest)
    return made


def test_runs_artifacts_and_their_files_show_the_proof(run: Run) -> None:
    artifact = run.artifacts()[0]
    for source in ("one", run.path, artifact.directory, artifact.path):
        found = edgekd.inspect(source)
        assert found.path == str(artifact.path) or Path(found.path).samefile(artifact.path)
        assert found.parity == artifact.manifest.parity


def test_a_changed_file_has_no_proof(run: Run) -> None:
    artifact = run.artifacts()[0]
    metadata.write(artifact.path, FileMetadata(edgekd="0.1.0"))
    assert edgekd.inspect(artifact.path).parity is None
    with pytest.raises(RunError, match=r"sha256|hash|match|manifest"):
        edgekd.inspect(artifact.directory)


def test_a_run_with_several_artifacts_asks_which(tmp_path: Path) -> None:
    made = make_run(tmp_path / "two", artifacts=["tflite-int8", "onnx-fp32"], devices=())
    with pytest.raises(RunError, match="2 artifacts") as caught:
        edgekd.inspect(made.path)
    assert str(made.artifacts()[0].directory) in str(caught.value.hint)


def test_the_command_fits_60_columns(data_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    path = data_root / "mlperf_tiny" / "kws_ref_model_fp32.tflite"
    shown = CliRunner().invoke(app, ["inspect", str(path), "--operators", "--tensors"])
    assert shown.exit_code == 0, shown.output
    tables = [line for line in shown.stdout.splitlines() if line.startswith(" ")]
    assert max(len(line.rstrip()) for line in tables if not line.startswith("  ")) <= 60
    assert "2.66M" in shown.stdout
    assert "int8: activations are quantized while it runs" in shown.stdout


def test_json_is_the_record(data_root: Path) -> None:
    path = data_root / "mlperf_tiny" / "ad01_int8.tflite"
    shown = CliRunner().invoke(app, ["inspect", str(path), "--json"])
    found = json.loads(shown.stdout)
    assert found["macs"] == 264_192
    assert found["operators"] == []
    assert Inspection.model_validate(found) == edgekd.inspect(path)


def test_a_damaged_file_ends_the_command_with_2(tmp_path: Path) -> None:
    path = tmp_path / "m.tflite"
    path.write_bytes(b"\x1c\x00\x00\x00TFL3" + bytes(50))
    shown = CliRunner().invoke(app, ["inspect", str(path)])
    assert shown.exit_code == 2
    assert "Traceback" not in shown.output
