"""Metadata goes into files and comes out again; what the file computes stays."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from edgekd.errors import ModelFileError
from edgekd.modelfile import foreign, metadata
from edgekd.modelfile.reading import read
from edgekd.records import Preprocess, TensorSpec
from edgekd.records_modelfile import FileInput, FileMetadata
from edgekd.runtimes.litert import load
from tests.modelfile.onnx_files import convolution

TOLD = FileMetadata(
    edgekd="0.1.0",
    model="resnet8",
    target="tflite",
    scheme="int8",
    profile="cpu",
    labels=("cat", "dög"),
    inputs=(
        FileInput(
            name="input", shape=(None, 32, 32, 3), dtype="int8", layout="nhwc",
            preprocess=Preprocess(scale=1 / 255, mean=(0.5,), std=(0.25,)),
        ),
    ),
    outputs=(TensorSpec(name="output", shape=(None, 10), dtype="int8", scale=0.5, zero_point=3),),
    recipe_sha256="ab" * 32,
    parents={"weights": "cd" * 32},
    licence="Apache-2.0",
)  # fmt: skip


@pytest.fixture(params=["tflite", "onnx"])
def file(request: pytest.FixtureRequest, data_root: Path, tmp_path: Path) -> Path:
    path = tmp_path / f"model.{request.param}"
    if request.param == "onnx":
        path.write_bytes(convolution().SerializeToString())
    else:
        shutil.copyfile(data_root / "mlperf_tiny" / "ic_pretrainedResnet_int8.tflite", path)
    path.chmod(0o644)
    return path


def test_what_was_written_is_read(file: Path) -> None:
    assert metadata.read(file) is None
    metadata.write(file, TOLD)
    assert metadata.read(file) == TOLD


def test_equal_metadata_gives_equal_bytes(file: Path) -> None:
    metadata.write(file, TOLD)
    once = file.read_bytes()
    metadata.write(file, FileMetadata(edgekd="0.0.1"))
    assert file.read_bytes() != once
    metadata.write(file, TOLD)
    assert file.read_bytes() == once


def test_the_file_computes_the_same(data_root: Path, tmp_path: Path) -> None:
    original = data_root / "mlperf_tiny" / "ic_pretrainedResnet_int8.tflite"
    told = tmp_path / "told.tflite"
    told.write_bytes(original.read_bytes())
    metadata.write(told, TOLD)
    before, after = load(original), load(told)
    samples = np.random.default_rng(0).integers(-128, 128, (1, 32, 32, 3)).astype(np.int8)
    assert np.array_equal(before.run([samples])[0], after.run([samples])[0])
    model = schema.Model.GetRootAs(told.read_bytes())
    for index in range(model.BuffersLength()):
        buffer = model.Buffers(index)
        if buffer.DataLength():
            assert buffer._tab.Vector(buffer._tab.Offset(4)) % 16 == 0


def test_onnx_runs_with_metadata(tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    path = tmp_path / "m.onnx"
    path.write_bytes(convolution().SerializeToString())
    metadata.write(path, TOLD)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    assert "edgekd" in session.get_modelmeta().custom_metadata_map
    assert session.run(None, {"x": np.ones((2, 3, 8, 8), np.float32)})[0].shape == (2, 4, 8, 8)


def test_labels_of_other_tools_survive(data_root: Path, tmp_path: Path) -> None:
    original = data_root / "coral" / "mobilenet_v1_0.25_128_quant.tflite"
    labels = (data_root / "coral" / "imagenet_labels.txt").read_text().splitlines()
    path = tmp_path / "coral.tflite"
    path.write_bytes(original.read_bytes())
    metadata.write(path, TOLD)
    for file in (original, path):
        found = foreign.read(read(file), file.read_bytes())
        assert found.fields["name"] == "ImageClassifier"
        assert found.fields["input 0 normalisation"] == "mean [127.5], std [127.5]"
        assert len(found.labels) == 1001
        assert found.labels[1].split(",")[0] == labels[1].split("  ")[-1].split(",")[0]


def test_metadata_of_a_newer_edgekd_is_refused_by_name(tmp_path: Path) -> None:
    made = convolution()
    made.metadata_props.add(key="edgekd", value='{"schema": 1, "edgekd": "9", "mood": "good"}')
    (tmp_path / "m.onnx").write_bytes(made.SerializeToString())
    with pytest.raises(ModelFileError, match="mood"):
        metadata.read(tmp_path / "m.onnx")


def test_a_damaged_file_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(convolution().SerializeToString()[:-20])
    before = path.read_bytes()
    with pytest.raises(ModelFileError, match="damaged"):
        metadata.write(path, TOLD)
    assert path.read_bytes() == before
