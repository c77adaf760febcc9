"""What kind of file is this? Told from its bytes, with a clear word for what it is not."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import BinaryIO

from edgekd.errors import ModelFileError

#: The suffixes that people use for each format.
SUFFIXES = {
    "tflite": (".tflite", ".lite", ".litert"),
    "onnx": (".onnx",),
    "executorch": (".pte",),
}

_EXPORT = "Export it first: edgekd export MODEL --target tflite"

#: First bytes -> what they say, and what to do. Looked at in order.
_FOREIGN: tuple[tuple[bytes, str, str], ...] = (
    (
        b"version https://git-lfs",
        "a Git LFS pointer, not the file itself",
        "Fetch the file: git lfs pull",
    ),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file (Keras weights?)", "Convert it to TFLite or ONNX first."),
    (b"\x1f\x8b", "a gzip archive", "Unpack it first: gunzip"),
    (b"\x80\x02", "a pickled PyTorch checkpoint", _EXPORT),
    (b"\x80\x04", "a Python pickle", _EXPORT),
    (b"<", "an HTML or XML page (a failed download?)", "Download the file again."),
    (b"{", "JSON text", "Name the model file itself."),
)
#: Fields of ONNX's ModelProto -> their wire type (0: number, 2: bytes). 7 is the graph.
_ONNX_FIELDS = {1: 0, 2: 2, 3: 2, 4: 2, 5: 0, 6: 2, 7: 2, 8: 2, 14: 2, 20: 2, 25: 2, 26: 2}
_ONNX_GRAPH = 7

#: The length of an ExecuTorch program's header that also says how long its segments are.
_HEADER_WITH_SIZE = 32


def identify(path: str | Path) -> str:
    """Return ``tflite``, ``onnx`` or ``executorch``.

    Raises:
        ModelFileError: the file is missing, empty, damaged, of another format, or its suffix
            names another format than its bytes.
    """
    path = Path(path)
    if not path.exists():
        raise ModelFileError(f"{path}: there is no such file")
    if path.is_dir():
        raise ModelFileError(f"{path} is a folder, not a model file")
    size = path.stat().st_size
    if size == 0:
        raise ModelFileError(f"{path} is empty", hint="Was the download or the copy cut short?")
    with path.open("rb") as file:
        head = file.read(40)
        found = _identify(path, head, file, size)
    for kind, suffixes in SUFFIXES.items():
        if path.suffix.lower() in suffixes and kind != found:
            raise ModelFileError(
                f"{path} is named {path.suffix} but holds {found.upper()}",
                hint=f"Rename it to {path.with_suffix(SUFFIXES[found][0]).name}.",
            )
    return found


def _identify(path: Path, head: bytes, file: BinaryIO, size: int) -> str:
    if head[4:8] == b"TFL3":
        root = int.from_bytes(head[:4], "little")
        if root + 4 > size:
            raise ModelFileError(
                f"{path} is a damaged TFLite file: it ends too early",
                hint="Was the download or the copy cut short?",
            )
        return "tflite"
    if head[4:8] == b"ET12":
        if _end_of_program(head) > size:
            raise ModelFileError(
                f"{path} is a damaged ExecuTorch program: it ends too early",
                hint="Was the download or the copy cut short?",
            )
        return "executorch"
    _refuse_foreign(path, head)
    if _is_onnx(path, file, size):
        return "onnx"
    raise ModelFileError(
        f"{path} is neither a TFLite nor an ONNX file, nor an ExecuTorch program",
        hint="Give a .tflite, .onnx or .pte file, or export a model: edgekd export",
    )


def _end_of_program(head: bytes) -> int:
    """Return where the last byte of an ExecuTorch program must stand, by its extended header.

    The header follows the flatbuffer's identifier: ``eh00``, its own length, the sizes of the
    flatbuffer, the start of the segments behind it, and, in newer files, their size.
    """
    if head[8:12] != b"eh00":
        return int.from_bytes(head[:4], "little") + 4
    length, program, start, segments = (
        int.from_bytes(head[begin:end], "little")
        for begin, end in ((12, 16), (16, 24), (24, 32), (32, 40))
    )
    return max(program, start + (segments if length >= _HEADER_WITH_SIZE else 0))


def _refuse_foreign(path: Path, head: bytes) -> None:
    if head[:4] == b"PK\x03\x04":
        what, hint = _zip_kind(path)
        raise ModelFileError(f"{path} is {what}, not a model file to run", hint=hint)
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 100_000_000:
        raise ModelFileError(
            f"{path} holds safetensors weights, not a model file to run", hint=_EXPORT
        )
    for magic, what, hint in _FOREIGN:
        if head.lstrip().startswith(magic) if magic in (b"<", b"{") else head.startswith(magic):
            raise ModelFileError(f"{path} is {what}", hint=hint)


def _zip_kind(path: Path) -> tuple[str, str]:
    """Say what a zip archive is."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile:
        return "a damaged zip archive", "Was the download or the copy cut short?"
    if any(name.endswith("data.pkl") for name in names):
        return "a PyTorch checkpoint", _EXPORT
    if any(name.endswith((".npy", ".npz")) for name in names):
        return "a NumPy archive", "Name the model file itself."
    if "config.json" in names:
        return "a Keras model", "Convert it to TFLite or ONNX first."
    return "a zip archive", "Unpack it and name the model file in it."


def _is_onnx(path: Path, file: BinaryIO, size: int) -> bool:
    """Walk the outermost protobuf fields; the file is not read into memory.

    Raises:
        ModelFileError: it starts as ONNX does and then ends too early.
    """
    seen: set[int] = set()
    position = 0
    while position < size:
        file.seek(position)
        header = file.read(20)
        key, used = _varint(header)
        field, wire = key >> 3, key & 7
        if _ONNX_FIELDS.get(field) != wire:
            return False
        value, more = _varint(header[used:])
        if not used or not more:
            break
        seen.add(field)
        position += used + more + (value if wire == 2 else 0)
    if position != size and 1 in seen:
        raise ModelFileError(
            f"{path} is a damaged ONNX file: it ends too early",
            hint="Was the download or the copy cut short?",
        )
    return position == size and _ONNX_GRAPH in seen


def _varint(data: bytes) -> tuple[int, int]:
    """Return a protobuf number and the bytes it took; 0 bytes when there is none."""
    value = 0
    for index, byte in enumerate(data[:10]):
        value |= (byte & 0x7F) << (7 * index)
        if not byte & 0x80:
            return value, index + 1
    return 0, 0
