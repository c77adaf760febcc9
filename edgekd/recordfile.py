"""Records in files: written whole, read back checked."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from edgekd.errors import RunError
from edgekd.recordbase import Record
from edgekd.records import FileRecord
from edgekd.storage import atomic_write, sha256_file

R = TypeVar("R", bound=Record)


def file_record(path: Path) -> FileRecord:
    """Return the hash and the size of a file."""
    return FileRecord(sha256=sha256_file(path), size_bytes=path.stat().st_size)


def write_record(path: Path, record: Record) -> None:
    """Write a record as JSON, whole or not at all."""
    atomic_write(path, record.to_json() + "\n")


def read_record(path: Path, kind: type[R]) -> R:
    """Read a record.

    Raises:
        RunError: the file is missing, damaged, or not such a record.
    """
    try:
        text = Path(path).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"cannot read {path}: {error}") from error
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise RunError(
            f"{path} is not a valid {kind.__name__}: {where}: {first['msg']}",
            hint="It was damaged, edited, or written by another version of edgekd.",
        ) from error
