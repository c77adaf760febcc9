"""From edgekd's arrays (float32, channels first) to what a model file wants, and back.

A quantized tensor holds ``real = scale * (stored - zero_point)``, so encoding is::

    stored = clip(round(real / scale) + zero_point, smallest, largest)

with ties rounded to even, as ONNX defines it. (TFLite's own QUANTIZE operator rounds ties away
from zero: a value that falls exactly between two steps may differ by one step.)
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd.errors import DataError
from edgekd.records import TensorSpec


def encode(x: NDArray[Any], spec: TensorSpec) -> NDArray[Any]:
    """Turn real values into the array that an input takes.

    Args:
        x: ``(N, C, ...)`` real values, or integers for an unquantized integer input.
        spec: the input.

    Raises:
        DataError: a value is NaN or infinite, or does not fit the input's integers.
    """
    dtype = np.dtype(spec.dtype)
    x = np.asarray(x)
    if x.dtype.kind == "f" and not np.isfinite(x).all():
        raise DataError(
            f"input {spec.name!r}: a value is NaN or infinite",
            hint="Look at the data it came from.",
        )
    if spec.layout == "nhwc":
        x = np.moveaxis(x, 1, -1)
    if spec.scale is not None:
        x = _quantize(x, spec.scale, spec.zero_point or 0, dtype)
    elif dtype.kind in "iu":
        x = _as_integers(x, spec.name, dtype)
    return np.ascontiguousarray(x, dtype=dtype)


def decode(y: NDArray[Any], spec: TensorSpec) -> NDArray[np.float32]:
    """Turn the array that an output gave into real values, channels first.

    Args:
        y: ``(N, ...)`` in the dtype of the file.
        spec: the output.
    """
    if spec.scale is not None:
        y = (y.astype(np.float64) - (spec.zero_point or 0)) * spec.scale
    if spec.layout == "nhwc":
        y = np.moveaxis(y, -1, 1)
    return np.ascontiguousarray(y, dtype=np.float32)


def _quantize(
    x: NDArray[Any], scale: float, zero_point: int, dtype: np.dtype[Any]
) -> NDArray[np.float64]:
    # float64 throughout: float32 division would move values that lie near a tie.
    limits = np.iinfo(dtype)
    steps = np.rint(x.astype(np.float64) / scale) + zero_point
    clipped: NDArray[np.float64] = np.clip(steps, limits.min, limits.max)
    return clipped


def _as_integers(x: NDArray[Any], name: str, dtype: np.dtype[Any]) -> NDArray[Any]:
    limits = np.iinfo(dtype)
    if x.size and (x.min() < limits.min or x.max() > limits.max or (x != np.rint(x)).any()):
        raise DataError(f"input {name!r} takes {dtype} numbers, a value is not one")
    return x
