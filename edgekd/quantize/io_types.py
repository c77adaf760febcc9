"""Which type the inputs and outputs of a full-integer TFLite file have: int8, uint8 or float32.

ai-edge-quantizer makes them int8. Others are put around the same graph as QUANTIZE and DEQUANTIZE
operators. uint8 holds the same levels as int8, 128 higher: both give the same bits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgekd.modelfile.flatbuffer import pack, unpack

_Operator = schema.BuiltinOperator
_OFFSET = 128


def with_io(content: bytes, io: Literal["float32", "int8", "uint8"]) -> bytes:
    """Return a file whose int8 inputs and outputs have another type.

    Names stay with what stands outside; integers that are no quantized numbers, e.g. token ids,
    and outputs that are float already stay as they are.

    Args:
        content: a TFLite file with int8 inputs and outputs.
        io: the type.
    """
    model = unpack(content)
    if io == "int8":
        return pack(model)
    graph = model.subgraphs[0]
    outer = _Outer(model, graph, io)
    inputs = {int(index): outer.around(int(index)) for index in graph.inputs}
    first = [
        outer.operator(_Operator.QUANTIZE, outside, inside)
        for inside, outside in inputs.items()
        if inside != outside
    ]
    # Twice the same output is one tensor; one that is an input too needs a tensor of its own.
    outputs = {int(index): outer.around(int(index)) for index in graph.outputs}
    leave = _Operator.DEQUANTIZE if io == "float32" else _Operator.QUANTIZE
    last = [
        outer.operator(leave, inside, outside)
        for inside, outside in outputs.items()
        if inside != outside
    ]
    graph.operators = [*first, *graph.operators, *last]
    graph.inputs = np.array([inputs[int(index)] for index in graph.inputs], np.int32)
    graph.outputs = np.array([outputs[int(index)] for index in graph.outputs], np.int32)
    for signature in model.signatureDefs or []:
        if int(signature.subgraphIndex or 0) == 0:
            _point(signature.inputs, inputs.get)
            _point(signature.outputs, outputs.get)
    return pack(model)


class _Outer:
    """Puts tensors and operators around a graph."""

    def __init__(self, model: Any, graph: Any, io: str) -> None:
        self._model, self._graph = model, graph
        self._integer = io == "uint8"

    def around(self, index: int) -> int:
        """Return the tensor that stands outside of one; itself where it is no int8 number."""
        inside = self._graph.tensors[index]
        scaled = inside.quantization is not None and inside.quantization.scale is not None
        if inside.type != schema.TensorType.INT8 or not scaled:
            return index
        outside = schema.TensorT()
        outside.name, inside.name = inside.name, b""
        outside.shape, outside.shapeSignature = inside.shape, inside.shapeSignature
        outside.hasRank = inside.hasRank
        outside.buffer = 0  # the empty one, by the format's own rule
        if self._integer:
            outside.type = schema.TensorType.UINT8
            outside.quantization = schema.QuantizationParametersT()
            outside.quantization.scale = inside.quantization.scale
            zeros = np.asarray(inside.quantization.zeroPoint, np.int64)
            outside.quantization.zeroPoint = zeros + _OFFSET
        else:
            outside.type = schema.TensorType.FLOAT32
        self._graph.tensors.append(outside)
        return len(self._graph.tensors) - 1

    def operator(self, kind: int, source: int, destination: int) -> Any:
        """Return an operator that turns one tensor into another."""
        made = schema.OperatorT()
        made.opcodeIndex = self._code(kind)
        made.inputs = np.array([source], np.int32)
        made.outputs = np.array([destination], np.int32)
        if kind == _Operator.QUANTIZE:
            made.builtinOptionsType = schema.BuiltinOptions.QuantizeOptions
            made.builtinOptions = schema.QuantizeOptionsT()
        else:
            made.builtinOptionsType = schema.BuiltinOptions.DequantizeOptions
            made.builtinOptions = schema.DequantizeOptionsT()
        return made

    def _code(self, kind: int) -> int:
        codes = self._model.operatorCodes
        for index, code in enumerate(codes):
            if max(code.builtinCode, code.deprecatedBuiltinCode) == kind:
                return index
        made = schema.OperatorCodeT()
        # Both operators have a number below 127: older runtimes read the first field.
        made.builtinCode = made.deprecatedBuiltinCode = kind
        made.version = 2 if kind == _Operator.DEQUANTIZE else 1
        codes.append(made)
        return len(codes) - 1


def _point(maps: Any, new: Callable[[int], int | None]) -> None:
    for entry in maps or []:
        found = new(int(entry.tensorIndex))
        if found is not None:
            entry.tensorIndex = found
