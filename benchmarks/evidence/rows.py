"""A row for each scored run, one line of JSON each, and what its files answered."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.checkpoint import whole_rows
from edgekd.storage import atomic_write

Row = dict[str, Any]
Classes = NDArray[np.integer[Any]]

#: Names of arrays that are no file's.
TARGETS, TEACHER, STUDENT = "targets", "teacher", "student"


def read_rows(path: Path) -> list[Row]:
    """Return the rows, one a run: the last that was written; a line cut off is left out."""
    return list({row["job"]: row for row in whole_rows(path)}.values())


def append_row(path: Path, row: Row) -> None:
    """Write a row in place of an earlier one of the same run."""
    rows = [old for old in read_rows(path) if old["job"] != row["job"]]
    atomic_write(path, "".join(json.dumps(one) + "\n" for one in [*rows, row]))


def write_answers(path: Path, answers: Mapping[str, Classes]) -> None:
    """Write the classes that everything answered on the test split, a byte or two each.

    Args:
        path: the file.
        answers: name -> top-1 classes (N,), the labels among them.
    """
    buffer = io.BytesIO()
    small = {name: classes.astype(_smallest(classes)) for name, classes in answers.items()}
    np.savez_compressed(buffer, **small)  # type: ignore[arg-type]
    atomic_write(path, buffer.getvalue())


def read_answers(path: Path) -> dict[str, Classes]:
    """Return the classes (N,) by name."""
    with np.load(path, allow_pickle=False) as stored:
        return {name: stored[name].astype(np.int64) for name in stored.files}


def _smallest(classes: Classes) -> type[np.integer[Any]]:
    return np.uint8 if classes.max(initial=0) < 256 else np.uint16
