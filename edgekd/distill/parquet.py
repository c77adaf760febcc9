"""Arrays from and to Parquet: a column an array, lists for rows of several values."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from edgekd.errors import DataError


def read(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Return a file's columns as arrays, (N,) or (N, k), and what it says of itself.

    Raises:
        DataError: it is damaged, or its rows are of different lengths.
    """
    try:
        # Through an open file: pyarrow would otherwise take a path for a data set.
        with path.open("rb") as file:
            table = parquet.read_table(file)
        columns = {name: _array(table.column(name)) for name in table.column_names}
    except (OSError, ValueError, pa.ArrowException) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(
            f"cannot read {path} as .parquet: {first}",
            hint="It is damaged, has rows of different lengths, or is of another format.",
        ) from error
    said = table.schema.metadata or {}
    return columns, {key.decode(): value.decode(errors="replace") for key, value in said.items()}


def _array(column: Any) -> np.ndarray:
    column = column.combine_chunks()
    if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        rows = column.to_numpy(zero_copy_only=False)
        return np.stack(list(rows)) if len(rows) else np.empty((0, 0))
    found: np.ndarray = column.to_numpy(zero_copy_only=False)
    return found


def write(arrays: Mapping[str, np.ndarray], said: Mapping[str, str]) -> bytes:
    """Return a file of arrays (N,) and (N, k), with what it says of itself."""
    columns = {
        name: pa.array(list(value) if value.ndim > 1 else value) for name, value in arrays.items()
    }
    buffer = io.BytesIO()
    parquet.write_table(pa.table(columns, metadata=dict(said)), buffer)
    return buffer.getvalue()
