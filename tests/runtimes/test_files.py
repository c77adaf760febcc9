"""Telling formats apart, on real files and on everything people hand in by mistake."""

from __future__ import annotations

import gzip
import pickle
import zipfile
from pathlib import Path

import onnx
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from edgekd.errors import ModelFileError
from edgekd.runtimes.files import identify


@pytest.fixture
def onnx_file(tmp_path: Path) -> Path:
    value = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 2]) for n in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [value[0]], [value[1]])
    path = tmp_path / "model.onnx"
    onnx.save(helper.make_model(graph), path)
    return path


def _write(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def test_onnx_is_known(onnx_file: Path) -> None:
    assert identify(onnx_file) == "onnx"


def test_real_files_are_known(data_root: Path) -> None:
    found = {path.name: identify(path) for path in (data_root / "mlperf_tiny").glob("*.tflite")}
    assert len(found) == 6
    assert set(found.values()) == {"tflite"}
    assert identify(data_root / "ultraface" / "version-RFB-320.onnx") == "onnx"


def test_a_keras_file_is_named(data_root: Path) -> None:
    with pytest.raises(ModelFileError, match="HDF5"):
        identify(data_root / "mlperf_tiny" / "ic_pretrainedResnet.h5")


def test_the_suffix_must_not_lie(onnx_file: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="holds ONNX") as caught:
        identify(_write(tmp_path, "wrong.tflite", onnx_file.read_bytes()))
    assert caught.value.hint is not None and "wrong.onnx" in caught.value.hint


def test_any_suffix_that_names_no_format_will_do(onnx_file: Path, tmp_path: Path) -> None:
    assert identify(_write(tmp_path, "model.bin", onnx_file.read_bytes())) == "onnx"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\n", "Git LFS pointer"),
        (b"<!DOCTYPE html><html></html>", "HTML"),
        (b"\n\n <html></html>", "HTML"),
        (b'{"a": 1}', "JSON"),
        (b"\xff\x00\x00\x00ET12" + bytes(40), "damaged ExecuTorch program"),
        (b"\x00\x01\x00\x00TFL3" + bytes(20), "ends too early"),
        (b"hello world, this is text", "neither a TFLite nor an ONNX"),
        (bytes(100), "neither a TFLite nor an ONNX"),
    ],
)
def test_what_is_no_model_is_named(tmp_path: Path, data: bytes, message: str) -> None:
    with pytest.raises(ModelFileError, match=message):
        identify(_write(tmp_path, "model.tflite", data))


def test_checkpoints_and_archives_are_named(tmp_path: Path) -> None:
    torch.save({"w": torch.ones(2)}, tmp_path / "new.pt")
    torch.save({"w": torch.ones(2)}, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    _write(tmp_path, "pickle.onnx", pickle.dumps({"a": 1}, protocol=4))
    _write(tmp_path, "zipped.tflite.gz", gzip.compress(b"TFL3"))
    with zipfile.ZipFile(tmp_path / "some.zip", "w") as archive:
        archive.writestr("a.txt", "a")
    header = b'{"w": {"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    _write(tmp_path, "w.safetensors", len(header).to_bytes(8, "little") + header + bytes(4))
    for name, message in {
        "new.pt": "a PyTorch checkpoint",
        "old.pt": "pickled PyTorch checkpoint",
        "pickle.onnx": "Python pickle",
        "zipped.tflite.gz": "gzip",
        "some.zip": "zip archive",
        "w.safetensors": "safetensors weights",
    }.items():
        with pytest.raises(ModelFileError, match=message):
            identify(tmp_path / name)


def test_missing_files_and_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="no such file"):
        identify(tmp_path / "nothing.onnx")
    with pytest.raises(ModelFileError, match="a folder"):
        identify(tmp_path)


def test_a_truncated_onnx_file_is_damaged(onnx_file: Path, tmp_path: Path) -> None:
    data = onnx_file.read_bytes()
    for cut in (len(data) - 1, len(data) // 2, 20):
        with pytest.raises(ModelFileError):
            identify(_write(tmp_path, "cut.onnx", data[:cut]))


@given(st.binary(min_size=1, max_size=200))
def test_random_bytes_never_surprise(data: bytes) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = _write(Path(folder), "model", data)
        try:
            assert identify(path) in ("tflite", "onnx")
        except ModelFileError as error:
            assert str(path) in error.message
