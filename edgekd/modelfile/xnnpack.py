"""What ExecuTorch's XNNPACK backend keeps in a program: one graph a delegate.

The numbers are those of ``backends/xnnpack/serialization/schema.fbs`` in ExecuTorch 1.5; fields
and kinds are only ever added at the end. The layout of the header:
``backends/xnnpack/serialization/xnnpack_graph_serialize.py``.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from math import prod

from edgekd.modelfile.tables import Table
from edgekd.modelfile.tflite_bounded import DamageError

_HEADER = struct.Struct("<4x4sHIIIQ")
_MAGIC = b"XH00"

_DTYPES = {
    1: "float32",
    2: "float16",
    3: "int8",
    4: "uint8",
    5: "int32",
    6: "int8",
    7: "int32",
    8: "int4",
    9: "int8",
    10: "int4",
    11: "int8",
    12: "int32",
    13: "float32",
    14: "bfloat16",
}

#: Kinds of nodes by number, from 1 on, each with the field that names what it gives.
_KINDS = (
    "Add:2 FullyConnected:3 Softmax:1 Sigmoid:1 StaticTranspose:3 Clamp:1 Conv2d:18 Div:2 "
    "StaticResizeBilinear2D:3 StaticConstantPad:4 AvgPooling2d:11 Minimum:2 DepthwiseConv2d:18 "
    "MaxPooling2d:11 Multiply:2 Subtract:2 Floor:1 Convert:1 GlobalAvgPooling2d:1 "
    "StaticReshape:3 ArgMaxPooling2d:7 SquareRoot:1 Ceiling:1 Hardswish:1 LeakyReLU:2 Maximum:2 "
    "Negate:1 Square:1 ELU:2 Abs:1 PReLU:2 Concatenate2:5 Concatenate3:5 Concatenate4:5 "
    "StaticSlice:4 ScaledDotProductAttention:5 BatchMatrixMultiply:2 Concatenate5:5 "
    "ConvTranspose2d:18 ReciprocalSquareRoot:1 Log:1 Gelu:1 Tanh:1 Exp:1 Sin:1 Copy:1 Cos:1"
)
_NODES = [(name, int(field)) for name, _, field in (k.partition(":") for k in _KINDS.split())]

_QUANTIZED_VALUE = 2


@dataclass(frozen=True)
class Node:
    """One operator of a delegate; ``dtype`` is that of what it gives, "" where not known."""

    name: str
    dtype: str


@dataclass(frozen=True)
class Constant:
    """A stored tensor.

    Attributes:
        dtype: of its elements.
        elements: how many.
        key: of the program's named data, where delegates share it; "": inside the delegate.
        size: in bytes, where it is inside the delegate.
    """

    dtype: str
    elements: int
    key: str
    size: int


def read(blob: memoryview) -> tuple[tuple[Node, ...], tuple[Constant, ...]]:
    """Return the operators and the stored tensors of a delegate.

    Raises:
        DamageError: it contradicts itself, or is no graph of XNNPACK.
    """
    if len(blob) < _HEADER.size:
        raise DamageError("a delegate ends too early")
    magic, _, start, size, _, _ = _HEADER.unpack_from(blob)
    if magic != _MAGIC:
        raise DamageError("a delegate of XNNPACK has no header")
    graph = Table.root(blob[start : start + size])
    values: dict[int, str] = {}
    constants = []
    stored = graph.tables(8)
    for number, value in enumerate(graph.tables(2)):
        tensor = value.table(1)
        if tensor is not None and value.number(0, "B") == _QUANTIZED_VALUE:
            tensor = tensor.table(0)
        if tensor is None:
            continue
        dtype = _DTYPES.get(tensor.number(0, "h"), "")
        values[tensor.number(6, "I", number)] = dtype
        index = tensor.number(3, "I")
        if 0 < index < len(stored):
            elements = prod(tensor.numbers(2, "I"))
            place = stored[index]
            constants.append(Constant(dtype, elements, place.text(2), place.number(1, "Q")))
    nodes = tuple(_node(node, values) for node in graph.tables(1))
    return nodes, tuple(constants)


def _node(node: Table, values: dict[int, str]) -> Node:
    kind = node.number(0, "B")
    options = node.table(1)
    if not 0 < kind <= len(_NODES) or options is None:
        return Node(f"kind {kind}", "")
    name, field = _NODES[kind - 1]
    return Node(name, values.get(options.number(field, "I"), ""))
