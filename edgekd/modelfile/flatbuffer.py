"""TFLite files taken apart into objects and packed again.

Python's packer writes each of many equal vectors (zero points, shapes) anew and forgets to align
buffers; here equal vectors are stored once (a flatbuffer may point to the same vector from many
places), and the data of buffers is aligned to 16 bytes, as the schema demands.
"""

from __future__ import annotations

from typing import Any

import flatbuffers  # type: ignore[import-untyped]
import numpy as np
from ai_edge_litert.tools import flatbuffer_utils
from numpy.typing import NDArray

_IDENTIFIER = b"TFL3"
_BUFFER_ALIGNMENT = 16


def unpack(content: bytes) -> Any:
    """Return the object tree (``ModelT``) of a TFLite file, all buffers inlined."""
    return flatbuffer_utils.read_model_from_bytearray(bytearray(content))


def pack(model: Any) -> bytes:
    """Return the file of an object tree; the same tree gives the same bytes.

    Args:
        model: a ``ModelT``; its lists become arrays.
    """
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            # Lists are packed anew each time, arrays go through the sharing builder.
            tensor.shape = _array(tensor.shape, np.int32)
            tensor.shapeSignature = _array(tensor.shapeSignature, np.int32)
    for buffer in model.buffers:
        buffer.data = _array(buffer.data, np.uint8)
    builder = _SharingBuilder(1024)
    builder.Finish(model.Pack(builder), file_identifier=_IDENTIFIER)
    return bytes(builder.Output())


def _array(values: Any, dtype: type[np.generic]) -> NDArray[Any] | None:
    if values is None:
        return None
    if isinstance(values, bytes | bytearray | memoryview):
        return np.frombuffer(values, dtype=dtype)
    return np.asarray(values, dtype=dtype)


class _SharingBuilder(flatbuffers.Builder):  # type: ignore[misc]
    """Packs equal vectors once, and byte vectors (the data of buffers) at multiples of 16."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self._packed: dict[tuple[str, bytes], int] = {}

    def CreateNumpyVector(self, x: NDArray[Any]) -> int:
        key = (x.dtype.str, x.tobytes())
        if key not in self._packed:
            aligned = x.dtype == np.uint8
            self._packed[key] = self._bytes(key[1]) if aligned else super().CreateNumpyVector(x)
        return self._packed[key]

    def _bytes(self, payload: bytes) -> int:
        self.StartVector(1, len(payload), _BUFFER_ALIGNMENT)
        self.head -= len(payload)
        self.Bytes[self.head : self.head + len(payload)] = payload
        self.vectorNumElems = len(payload)
        return int(self.EndVector())
