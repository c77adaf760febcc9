"""Metadata that other tools write into model files.

TFLite's Task Library keeps a flatbuffer of its own (``TFLITE_METADATA``: names, authors, how inputs
are normalised) and appends label files as a zip archive. ONNX keeps pairs of texts.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

from edgekd.modelfile.graph import Graph
from edgekd.modelfile.metadata import KEY

_TASK_LIBRARY = "TFLITE_METADATA"
_TEXTS = {"name": 0, "description": 1, "version": 2, "author": 4, "license": 5}
_SUBGRAPHS, _INPUTS, _UNITS = 3, 2, 4
_NORMALISATION = 1

#: A label file is a few kilobytes; what is larger is not unpacked.
_LARGEST_TEXT = 1_000_000
_LONGEST_SHOWN = 200


@dataclass(frozen=True)
class Foreign:
    """What others say of a file: pairs of texts, and the names of its classes."""

    fields: dict[str, str] = field(default_factory=dict)
    labels: tuple[str, ...] = ()


def read(graph: Graph, content: bytes) -> Foreign:
    """Return the metadata in a file that edgekd did not write.

    Args:
        graph: the file, read.
        content: its bytes, for what stands behind the model.
    """
    fields: dict[str, str] = {}
    for key, value in graph.metadata.items():
        if key == _TASK_LIBRARY:
            fields |= _task_library(value)
        elif key != KEY:
            text = value.rstrip(b"\0")
            fields[key] = _shown(text)
    if graph.format != "tflite":
        return Foreign(fields)
    files = dict(_label_files(content))
    for name, lines in files.items():
        fields[f"file {name}"] = f"{len(lines)} lines"
    longest = max(files.values(), key=len, default=())
    return Foreign(fields, longest)


def _shown(value: bytes) -> str:
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return f"{len(value)} bytes"
    return text if text.isprintable() and len(text) <= _LONGEST_SHOWN else f"{len(value)} bytes"


def _task_library(value: bytes) -> dict[str, str]:
    """Read the Task Library's flatbuffer (metadata_schema.fbs); nothing where it is damaged."""
    try:
        model = _Table.root(value)
        fields = {name: model.text(place) for name, place in _TEXTS.items()}
        for subgraph in model.tables(_SUBGRAPHS):
            for number, tensor in enumerate(subgraph.tables(_INPUTS)):
                for unit in tensor.tables(_UNITS):
                    if unit.byte(0) == _NORMALISATION:
                        options = unit.table(1)
                        mean, std = options.floats(0), options.floats(1)
                        fields[f"input {number} normalisation"] = f"mean {mean}, std {std}"
    except Exception:  # random bytes; what a stranger's tool says of a file is not worth an error
        return {"metadata": f"{len(value)} bytes that cannot be read"}
    return {name: text for name, text in fields.items() if text}


class _Table:
    """A flatbuffer table whose schema has no Python module here; fields by their number."""

    def __init__(self, table: Any) -> None:
        self._table = table

    @classmethod
    def root(cls, content: bytes) -> _Table:
        import flatbuffers  # type: ignore[import-untyped]
        from flatbuffers.table import Table  # type: ignore[import-untyped]

        return cls(Table(content, flatbuffers.encode.Get(flatbuffers.packer.uoffset, content, 0)))

    def _at(self, number: int) -> int:
        offset: int = self._table.Offset(4 + 2 * number)
        return offset

    def text(self, number: int) -> str:
        offset = self._at(number)
        if not offset:
            return ""
        return str(self._table.String(offset + self._table.Pos).decode("utf-8", "replace"))

    def byte(self, number: int) -> int:
        offset = self._at(number)
        return int(self._table.Bytes[offset + self._table.Pos]) if offset else 0

    def table(self, number: int) -> _Table:
        from flatbuffers.table import Table

        offset = self._at(number) + self._table.Pos
        return _Table(Table(self._table.Bytes, self._table.Indirect(offset)))

    def tables(self, number: int) -> Iterator[_Table]:
        from flatbuffers.table import Table

        offset = self._at(number)
        if not offset:
            return
        start, count = self._table.Vector(offset), self._table.VectorLen(offset)
        for index in range(min(count, len(self._table.Bytes) // 4)):
            yield _Table(Table(self._table.Bytes, self._table.Indirect(start + 4 * index)))

    def floats(self, number: int) -> list[float]:
        from flatbuffers.number_types import Float32Flags  # type: ignore[import-untyped]

        offset = self._at(number)
        if not offset:
            return []
        return [float(value) for value in self._table.GetVectorAsNumpy(Float32Flags, offset)]


def _label_files(content: bytes) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Read the text files in the zip archive behind a model."""
    try:
        with zipfile.ZipFile(BytesIO(content)) as archive:
            for entry in archive.infolist():
                if entry.filename.endswith(".txt") and entry.file_size <= _LARGEST_TEXT:
                    text = archive.read(entry).decode("utf-8", "replace")
                    yield entry.filename, tuple(line.strip() for line in text.splitlines())
    except Exception:  # no archive, or a damaged one: zipfile, zlib and struct each raise their own
        return
