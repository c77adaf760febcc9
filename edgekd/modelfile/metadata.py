"""What a model file says of itself: written by edgekd under the key ``edgekd``, and read again.

ONNX keeps it in ``metadata_props``, TFLite in a buffer that an entry of ``Model.metadata`` names.
Runtimes take no notice of either. An ExecuTorch program has a method of that name, which gives the
text; it is there from the beginning, and `write` cannot add it.
"""

from __future__ import annotations

import json
import zipfile
from io import BytesIO
from pathlib import Path

from pydantic import ValidationError

from edgekd.errors import MissingExtraError, ModelFileError
from edgekd.modelfile.executorch import read as read_program
from edgekd.modelfile.graph import Graph
from edgekd.modelfile.reading import read as read_graph
from edgekd.modelfile.reading import read_tflite
from edgekd.records_modelfile import FileMetadata
from edgekd.storage import atomic_write

KEY = "edgekd"

_TFLITE_MAGIC = b"TFL3"
_PROGRAM_MAGIC = b"ET12"


def read(path: str | Path) -> FileMetadata | None:
    """Return what edgekd wrote into a file; None where it wrote nothing.

    Raises:
        ModelFileError: the file cannot be read, or its metadata is not such a record.
    """
    path = Path(path)
    if path.is_file():
        content = path.read_bytes()
        if content[4:8] == _PROGRAM_MAGIC:
            text = read_program(content, name=str(path)).texts.get(KEY)
            return None if text is None else parsed(text, name=str(path))
    return of(read_graph(path), name=str(path))


def of(graph: Graph, *, name: str = "the model") -> FileMetadata | None:
    """Return what edgekd wrote into a file that was read before; see ``read``."""
    text = graph.metadata.get(KEY)
    return None if text is None else parsed(text, name=name)


def parsed(text: str | bytes, *, name: str = "the model") -> FileMetadata:
    """Return what a text says that edgekd wrote into a file.

    Args:
        text: of `text_of`.
        name: what to call the file in an error.

    Raises:
        ModelFileError: it is no such record.
    """
    try:
        return FileMetadata.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the text"
        raise ModelFileError(
            f"{name}: its edgekd metadata cannot be read: {where}: {first['msg']}",
            hint="It was damaged, edited, or written by another version of edgekd.",
        ) from error


def write(path: str | Path, metadata: FileMetadata) -> None:
    """Write metadata into a TFLite or ONNX file, in place of what edgekd wrote there before.

    Equal metadata gives equal bytes. What the file computes and what others wrote into it stay.

    Args:
        path: the file; it is replaced as a whole.
        metadata: what to write.

    Raises:
        ModelFileError: the file cannot be read.
        MissingExtraError: the package that knows the format is not installed.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelFileError(f"cannot read {path}: {error.strerror or error}") from error
    if content[4:8] == _PROGRAM_MAGIC:
        raise ModelFileError(
            f"{path} is an ExecuTorch program, which nothing can be written into",
            hint="Its metadata is written when it is exported.",
        )
    tflite = content[4:8] == _TFLITE_MAGIC
    if tflite:
        read_tflite(content, name=str(path))  # refuses what is damaged
    try:
        written = (_into_tflite if tflite else _into_onnx)(content, text_of(metadata).encode())
    except ModuleNotFoundError as error:
        raise MissingExtraError("writing metadata", extra="bench", package=error.name) from error
    except Exception as error:  # whatever parsing random bytes raises
        raise ModelFileError(f"{path} is damaged: {type(error).__name__}: {error}") from error
    atomic_write(path, written)


def text_of(metadata: FileMetadata) -> str:
    """Return JSON without spaces and defaults, keys sorted."""
    fields = metadata.model_dump(mode="json", exclude_defaults=True, by_alias=True)
    fields["schema"] = metadata.schema_version
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _into_onnx(content: bytes, text: bytes) -> bytes:
    import onnx

    model = onnx.load_model_from_string(content)
    kept = [(one.key, one.value) for one in model.metadata_props if one.key != KEY]
    del model.metadata_props[:]
    for key, value in sorted([*kept, (KEY, text.decode())]):
        model.metadata_props.add(key=key, value=value)
    written: bytes = model.SerializeToString(deterministic=True)
    return written


def _into_tflite(content: bytes, text: bytes) -> bytes:
    from ai_edge_litert import schema_py_generated as schema

    from edgekd.modelfile.flatbuffer import pack, unpack

    body, tail = _split_tail(content)
    model = unpack(body)
    entries = list(model.metadata or [])
    entry = next((one for one in entries if one.name == KEY.encode()), None)
    if entry is None:
        entry = schema.MetadataT()
        entry.name = KEY.encode()
        entry.buffer = len(model.buffers)
        model.buffers.append(schema.BufferT())
        entries.append(entry)
    model.buffers[entry.buffer].data = text
    model.metadata = entries
    return pack(model) + tail


def _split_tail(content: bytes) -> tuple[bytes, bytes]:
    """Return the flatbuffer and the zip archive of label files that other tools put behind it."""
    start = tail_start(content)
    return content[:start], content[start:]


def tail_start(content: bytes) -> int:
    """Return where a zip archive behind a model begins; the file's size where there is none."""
    try:
        with zipfile.ZipFile(BytesIO(content)) as archive:
            starts = [entry.header_offset for entry in archive.infolist()]
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, EOFError):
        return len(content)
    return min(starts, default=len(content))
