"""A TFLite file made smaller without changing what it computes.

The converter names every tensor by the classes of all modules around it, and the quantizer writes
each of many equal vectors (zero points, shapes) anew: on networks of 5,000 to 30,000 parameters
that is a tenth to a third of the file. Here inner names are emptied, equal vectors are stored
once (a flatbuffer may point to the same vector from many places), and the data of buffers is
aligned to 16 bytes, as the schema demands and Python's packer forgets.
"""

from __future__ import annotations

from typing import Any

import flatbuffers  # type: ignore[import-untyped]
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.tools import flatbuffer_utils
from numpy.typing import NDArray

_IDENTIFIER = b"TFL3"
_BUFFER_ALIGNMENT = 16


def compact(content: bytes) -> bytes:
    """Return the same model in fewer bytes.

    Names of inputs and outputs stay; so do the signature, its names, and all numbers.

    Args:
        content: a TFLite file.
    """
    model = read(content)
    for graph in model.subgraphs:
        kept = {int(index) for index in (*graph.inputs, *graph.outputs)}
        for index, tensor in enumerate(graph.tensors):
            if index not in kept:
                tensor.name = b""
            # Lists are packed anew each time, arrays go through the sharing builder.
            tensor.shape = _array(tensor.shape, np.int32)
            tensor.shapeSignature = _array(tensor.shapeSignature, np.int32)
    for buffer in model.buffers:
        buffer.data = _array(buffer.data, np.uint8)
    builder = _SharingBuilder(1024)
    builder.Finish(model.Pack(builder), file_identifier=_IDENTIFIER)
    return bytes(builder.Output())


def read(content: bytes) -> Any:
    """Return the object tree (``ModelT``) of a TFLite file, all buffers inlined."""
    return flatbuffer_utils.read_model_from_bytearray(bytearray(content))


def float_operators(content: bytes) -> tuple[tuple[str, ...], int]:
    """Return the names of operators that compute in float, and how many operators there are.

    QUANTIZE and DEQUANTIZE, which lead in and out of the integers, are not counted.
    """
    model = read(content)
    names: list[str] = []
    total = 0
    for graph in model.subgraphs:
        for operator in graph.operators:
            name = _operator_name(model.operatorCodes[operator.opcodeIndex])
            if name in ("QUANTIZE", "DEQUANTIZE"):
                continue
            total += 1
            tensors = [graph.tensors[i] for i in (*operator.inputs, *operator.outputs) if i >= 0]
            if any(tensor.type == schema.TensorType.FLOAT32 for tensor in tensors):
                names.append(name)
    return tuple(names), total


def _operator_name(code: Any) -> str:
    number = max(code.builtinCode, code.deprecatedBuiltinCode)
    names = {value: name for name, value in vars(schema.BuiltinOperator).items()}
    return str(names.get(number, number))


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
