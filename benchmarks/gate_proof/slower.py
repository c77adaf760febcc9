"""Genuinely slower versions of a model file: a branch of real operators is added to its graph.

The branch takes the file's input as R rows of C numbers (dequantized where it is quantized, again
and again where it is small) and multiplies them with a matrix of C x ``units``; the product is one
more output of the file, so that no runtime leaves it out. ``units`` sets how much slower the file
becomes. With many rows the matrix is small: the branch computes, it does not wait for the memory.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

#: About as many numbers make a row.
_ROW = 256
#: At least so many rows.
_ROWS = 96
_NAME = "edgekd_extra"


def slow_down(source: Path, target: Path, units: int) -> Path:
    """Write a slower version of a file.

    Args:
        source: TFLite or ONNX, with a first input of floats or bytes.
        target: where to, with the same suffix.
        units: columns of the matrix; 0: the file as it is, written by the same code.
    """
    writer = _onnx if source.suffix == ".onnx" else _tflite
    target.write_bytes(writer(source, units))
    return target


def rows_and_columns(count: int) -> tuple[int, int]:
    """Return R x C = count with C the divisor nearest to `_ROW`.

    >>> rows_and_columns(3072), rows_and_columns(490)
    ((12, 256), (2, 245))
    """
    columns = min((c for c in range(1, count + 1) if count % c == 0), key=lambda c: abs(c - _ROW))
    return count // columns, columns


def _weights(rows: int, columns: int) -> np.ndarray:
    drawn = np.random.default_rng(0).standard_normal((rows, columns))
    return (drawn / math.sqrt(rows * columns)).astype(np.float32)


def _onnx(source: Path, units: int) -> bytes:
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    model = onnx.load(str(source))
    if not units:
        return bytes(model.SerializeToString())
    graph = model.graph
    known = {tensor.name for tensor in graph.initializer}
    given = next(value for value in graph.input if value.name not in known)
    count = math.prod(d.dim_value or 1 for d in given.type.tensor_type.shape.dim)
    rows, columns = rows_and_columns(count)
    times = -(-_ROWS // rows)
    shape = numpy_helper.from_array(np.array([rows, columns], np.int64), f"{_NAME}_shape")
    matrix = numpy_helper.from_array(_weights(columns, units), f"{_NAME}_matrix")
    graph.initializer.extend([shape, matrix])
    graph.node.extend(
        [
            helper.make_node("Reshape", [given.name, shape.name], [f"{_NAME}_flat"]),
            helper.make_node("Concat", [f"{_NAME}_flat"] * times, [f"{_NAME}_rows"], axis=0),
            helper.make_node("MatMul", [f"{_NAME}_rows", matrix.name], [_NAME]),
        ]
    )
    made = [times * rows, units]
    graph.output.append(helper.make_tensor_value_info(_NAME, TensorProto.FLOAT, made))
    return bytes(model.SerializeToString())


def _tflite(source: Path, units: int) -> bytes:
    import flatbuffers  # type: ignore[import-untyped]
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(source.read_bytes(), 0))
    if units:
        _Branch(model, schema).add(units)
    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


class _Branch:
    """The branch in a TFLite graph."""

    def __init__(self, model: Any, schema: Any) -> None:
        self._model, self._schema, self._graph = model, schema, model.subgraphs[0]
        self._codes: dict[str, int] = {}

    def add(self, units: int) -> None:
        """Add DEQUANTIZE and CONCATENATION where they are needed, RESHAPE, FULLY_CONNECTED."""
        schema = self._schema
        index = int(self._graph.inputs[0])
        given = self._graph.tensors[index]
        rows, columns = rows_and_columns(math.prod(int(n) for n in given.shape))
        if given.type != schema.TensorType.FLOAT32:
            floats = self._tensor("floats", given.shape, schema.TensorType.FLOAT32)
            self._operator("DEQUANTIZE", 2, [index], floats, "Dequantize")
            index = floats
        shape = self._constant("shape", np.array([rows, columns], np.int32))
        flat = self._tensor("flat", (rows, columns), schema.TensorType.FLOAT32)
        reshape = self._operator("RESHAPE", 1, [index, shape], flat, "Reshape")
        reshape.newShape = [rows, columns]
        times = -(-_ROWS // rows)
        if times > 1:
            rows *= times
            many = self._tensor("rows", (rows, columns), schema.TensorType.FLOAT32)
            joined = self._operator("CONCATENATION", 1, [flat] * times, many, "Concatenation")
            joined.axis = 0
            flat = many
        matrix = self._constant("matrix", _weights(units, columns))
        product = self._tensor("product", (rows, units), schema.TensorType.FLOAT32)
        self._operator("FULLY_CONNECTED", 1, [flat, matrix, -1], product, "FullyConnected")
        self._graph.outputs = [*map(int, self._graph.outputs), product]
        for signature in self._model.signatureDefs or []:
            entry = schema.TensorMapT()
            entry.name, entry.tensorIndex = _NAME.encode(), product
            signature.outputs = [*signature.outputs, entry]

    def _tensor(self, name: str, shape: Any, kind: int, buffer: int = 0) -> int:
        tensor = self._schema.TensorT()
        tensor.name, tensor.shape = f"{_NAME}_{name}".encode(), [int(n) for n in shape]
        tensor.type, tensor.buffer = kind, buffer
        self._graph.tensors.append(tensor)
        return len(self._graph.tensors) - 1

    def _constant(self, name: str, value: np.ndarray) -> int:
        types = self._schema.TensorType
        buffer = self._schema.BufferT()
        buffer.data = np.frombuffer(value.tobytes(), np.uint8)
        self._model.buffers.append(buffer)
        kind = types.INT32 if value.dtype == np.int32 else types.FLOAT32
        return self._tensor(name, value.shape, kind, len(self._model.buffers) - 1)

    def _operator(
        self, code: str, version: int, inputs: list[int], output: int, options: str
    ) -> Any:
        schema = self._schema
        if code not in self._codes:
            entry = schema.OperatorCodeT()
            entry.builtinCode = getattr(schema.BuiltinOperator, code)
            entry.deprecatedBuiltinCode, entry.version = entry.builtinCode, version
            self._model.operatorCodes.append(entry)
            self._codes[code] = len(self._model.operatorCodes) - 1
        node = schema.OperatorT()
        node.opcodeIndex, node.inputs, node.outputs = self._codes[code], inputs, [output]
        node.builtinOptions = getattr(schema, f"{options}OptionsT")()
        node.builtinOptionsType = getattr(schema.BuiltinOptions, f"{options}Options")
        self._graph.operators.append(node)
        return node.builtinOptions
