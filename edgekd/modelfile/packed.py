"""Values as they lie in a file, as NumPy arrays."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

_NIBBLES = ("int4", "uint4")


def unpacked(stored: bytes | memoryview, dtype: str, shape: tuple[int, ...]) -> NDArray[Any] | None:
    """Return stored values as an array.

    4-bit integers become 8-bit ones (the low half of a byte comes first), bfloat16 float32.

    Args:
        stored: the bytes, little-endian.
        dtype: as in ``Tensor.dtype``.
        shape: of the array.

    Returns:
        The array; None where the type has no array or the bytes do not fill the shape.
    """
    count = prod(shape)
    if dtype in _NIBBLES:
        return _nibbles(stored, dtype, count, shape)
    if dtype == "bfloat16":
        if len(stored) != 2 * count:
            return None
        halves = np.frombuffer(stored, dtype="<u2").astype("<u4")
        return (halves << 16).view("<f4").reshape(shape)
    try:
        kind = np.dtype(dtype).newbyteorder("<")
    except TypeError:  # strings, resources, types that NumPy does not know
        return None
    if kind.hasobject or kind.itemsize == 0 or len(stored) != count * kind.itemsize:
        return None
    return np.frombuffer(stored, dtype=kind).reshape(shape)


def _nibbles(
    stored: bytes | memoryview, dtype: str, count: int, shape: tuple[int, ...]
) -> NDArray[Any] | None:
    if len(stored) != (count + 1) // 2:
        return None
    pairs = np.frombuffer(stored, dtype=np.uint8)
    values = np.stack([pairs & 0x0F, pairs >> 4], axis=1).ravel()[:count]
    if dtype == "int4":  # the upper bit is the sign
        return ((values ^ 8).astype(np.int8) - 8).reshape(shape)
    return values.reshape(shape)
