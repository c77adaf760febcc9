"""What a model is, told from its bytes or from what its folder holds."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from edgekd.errors import ModelFileError
from edgekd.runtimes.kinds import model_sha256, runtime_of, shown_by


def archive(path: Path, *names: str) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for name in names:
            file.writestr(name, "{}")
    return path


def folder(path: Path, name: str) -> Path:
    path.mkdir()
    (path / name).write_bytes(b"{}")
    return path


def test_files(data_root: Path, tmp_path: Path) -> None:
    mlperf = data_root / "mlperf_tiny"
    assert runtime_of(mlperf / "ic_pretrainedResnet_fp32.tflite") == "litert"
    assert runtime_of(data_root / "ultraface" / "version-RFB-320.onnx") == "onnxruntime"
    assert runtime_of(mlperf / "ic_pretrainedResnet.h5") == "keras"
    assert runtime_of(archive(tmp_path / "m.keras", "config.json", "model.weights.h5")) == "keras"


def test_folders(tmp_path: Path) -> None:
    assert runtime_of(folder(tmp_path / "a", "saved_model.pb")) == "saved-model"
    assert runtime_of(folder(tmp_path / "b", "config.json")) == "transformers"
    with pytest.raises(ModelFileError, match="neither a SavedModel nor"):
        runtime_of(folder(tmp_path / "c", "notes.txt"))


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="no such file"):
        runtime_of(tmp_path / "nothing.onnx")
    weights = tmp_path / "w.safetensors"
    weights.write_bytes(b"x")
    with pytest.raises(ModelFileError, match="weights alone") as caught:
        runtime_of(weights)
    assert "model = " in str(caught.value.hint)
    with pytest.raises(ModelFileError, match="NumPy archive"):
        runtime_of(archive(tmp_path / "a.npz", "x.npy"))
    torn = tmp_path / "torn.keras"
    torn.write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(ModelFileError, match="damaged zip"):
        runtime_of(torn)


def test_names_for_messages() -> None:
    assert shown_by("onnxruntime", "x/teacher.ONNX") == "a .onnx file"
    assert shown_by("saved-model", "x/y") == "a SavedModel"
    assert shown_by("litert", "teacher") == "a model file"


def test_every_byte_and_name_of_a_folder_counts(tmp_path: Path) -> None:
    first, second = folder(tmp_path / "a", "x"), folder(tmp_path / "b", "x")
    assert model_sha256(first) == model_sha256(second)
    (second / "x").rename(second / "y")
    assert model_sha256(first) != model_sha256(second)
    assert model_sha256(first / "x") == model_sha256(second / "y")
    (second / "y").write_bytes(b"[]")
    assert model_sha256(first / "x") != model_sha256(second / "y")
