"""NumPy arrays in one ``.npz`` file."""

from __future__ import annotations

import io
import zipfile
import zlib

import numpy as np

from edgekd.data.arrays import from_arrays
from edgekd.data.paths import expand, read_bytes
from edgekd.data.split import RawData
from edgekd.errors import DataError


def npz(path: str, layout: str = "auto") -> RawData:
    """Read arrays ``x_train, y_train[, x_test, y_test, ...][, classes]``.

    Args:
        path: the file.
        layout: ``auto``, ``chw`` or ``hwc``; see `edgekd.data.arrays.from_arrays`.

    Raises:
        DataError: the file is missing, damaged, or lacks arrays.
    """
    file = expand(path)
    data = read_bytes(file)
    try:
        archive = np.load(io.BytesIO(data), allow_pickle=False)
        if isinstance(archive, np.ndarray):
            raise DataError(
                f"{file} holds one array, not an .npz archive",
                hint="Save it with numpy.savez(path, x_train=..., y_train=...).",
            )
        with archive:
            arrays = {key: archive[key] for key in archive.files}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(
            f"cannot read {file} as .npz: {error}",
            hint="It is damaged, holds Python objects, or is of another format: save it again.",
        ) from error
    return from_arrays(arrays, where=str(file), layout=layout)
