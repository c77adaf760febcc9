"""Which runtime runs a model, be it a file or a folder: what teachers may be given as."""

from __future__ import annotations

import zipfile
from pathlib import Path

from edgekd.errors import ModelFileError
from edgekd.runtimes.files import identify
from edgekd.storage import sha256_bytes, sha256_file

#: What is no runtime of files, but a network of PyTorch with layers and gradients.
TRANSFORMERS = "transformers"

#: What `identify` says of a file -> the runtime that runs it.
_RUNTIMES = {"tflite": "litert", "onnx": "onnxruntime", "executorch": "executorch"}

_HDF5 = b"\x89HDF\r\n\x1a\n"
_WEIGHTS = (".safetensors", ".pt", ".pth", ".th", ".ckpt", ".bin")


def runtime_of(path: str | Path) -> str:
    """Return the name of the runtime that runs a model, or `TRANSFORMERS`.

    Args:
        path: .tflite, .onnx, .keras, .h5, a SavedModel's folder, or one with a config.json of
            transformers.

    Raises:
        ModelFileError: it is missing, damaged, or of a format that nothing here runs.
    """
    path = Path(path)
    if path.is_dir():
        return _of_folder(path)
    if path.suffix.lower() in _WEIGHTS and path.is_file():
        raise ModelFileError(
            f"{path} holds weights alone; nothing in it says what to compute",
            hint="Name the network that they belong to: model = ..., and weights = this file.",
        )
    if path.is_file() and _is_keras(path):
        return "keras"
    return _RUNTIMES[identify(path)]


def _of_folder(path: Path) -> str:
    if (path / "saved_model.pb").is_file():
        return "saved-model"
    if (path / "config.json").is_file():
        return TRANSFORMERS
    raise ModelFileError(
        f"{path} is a folder, but neither a SavedModel nor a model of transformers",
        hint="They hold saved_model.pb, or config.json.",
    )


def _is_keras(path: Path) -> bool:
    """Tell Keras's two formats from their bytes."""
    with path.open("rb") as file:
        head = file.read(len(_HDF5))
    if head == _HDF5:
        return True
    if head[:4] != b"PK\x03\x04":
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile:
        return False
    return "config.json" in names and any(name.endswith(".h5") for name in names)


def shown_by(kind: str, path: str | Path) -> str:
    """Return what to call a model's format: ``a .onnx file``, ``a SavedModel``."""
    names = {"saved-model": "a SavedModel", TRANSFORMERS: "a model of transformers"}
    suffix = Path(path).suffix.lower()
    return names.get(kind, f"a {suffix} file" if suffix else "a model file")


def model_sha256(path: Path) -> str:
    """Return the hash of a file, or of all files of a folder with their names."""
    if path.is_file():
        return sha256_file(path)
    files = sorted(item for item in path.rglob("*") if item.is_file())
    lines = [f"{sha256_file(item)}  {item.relative_to(path).as_posix()}\n" for item in files]
    return sha256_bytes("".join(lines).encode())
