"""Reading a model file of either format."""

from __future__ import annotations

from pathlib import Path

from edgekd.errors import MissingExtraError, ModelFileError
from edgekd.modelfile.graph import Graph

_TFLITE_MAGIC = b"TFL3"


def read(source: str | Path | bytes) -> Graph:
    """Return what a TFLite or ONNX file holds.

    Args:
        source: a path, or the bytes of a file.

    Raises:
        ModelFileError: it cannot be read, is damaged, or is neither.
        MissingExtraError: the package that knows the format is not installed.
    """
    name = "the model" if isinstance(source, bytes) else str(source)
    try:
        content = source if isinstance(source, bytes) else Path(source).read_bytes()
    except OSError as error:
        raise ModelFileError(f"cannot read {name}: {error.strerror or error}") from error
    if not content:
        raise ModelFileError(f"{name} is empty", hint="Was the download or the copy cut short?")
    if content[4:8] == _TFLITE_MAGIC:
        return read_tflite(content, name=name)
    return read_onnx(content, name=name)


def read_tflite(content: bytes, *, name: str = "the model") -> Graph:
    """Return what a TFLite file holds; see ``read``.

    Args:
        content: the file.
        name: what to call it in an error.
    """
    try:
        from edgekd.modelfile import tflite
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            "reading TFLite files", extra="bench", package=error.name
        ) from error
    return tflite.read(content, name=name)


def read_onnx(content: bytes, *, name: str = "the model") -> Graph:
    """Return what an ONNX file holds; see ``read``.

    Args:
        content: the file.
        name: what to call it in an error.
    """
    try:
        from edgekd.modelfile import onnx
    except ModuleNotFoundError as error:
        raise MissingExtraError("reading ONNX files", extra="bench", package=error.name) from error
    return onnx.read(content, name=name)
