"""Small model files made on the spot, good ones and such as kill whoever runs them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import flatbuffers  # type: ignore[import-untyped]
import numpy as np
import onnx
from ai_edge_litert import schema_py_generated as schema
from onnx import TensorProto, helper, numpy_helper

Tensor = tuple[tuple[int, ...], type[Any], np.ndarray | None]
TYPES: dict[Any, Any] = {
    np.float32: schema.TensorType.FLOAT32,
    np.int32: schema.TensorType.INT32,
    np.int8: schema.TensorType.INT8,
}


def tflite(
    path: Path,
    operator: str,
    tensors: Mapping[str, Tensor],
    inputs: Sequence[str],
    *,
    version: int = 1,
    **options: Any,
) -> Path:
    """Write a TFLite file of one operator; the last tensor is its output.

    Args:
        path: where to.
        operator: the class of its options without ``OptionsT``, e.g. ``Add``.
        tensors: name -> shape, dtype, constant value or None.
        inputs: those of the operator; the ones without a value are the graph's.
        version: of the operator.
        options: fields of the options.
    """
    model, graph, names = schema.ModelT(), schema.SubGraphT(), list(tensors)
    model.version, model.buffers, graph.tensors = 3, [schema.BufferT()], []
    for name, (shape, dtype, value) in tensors.items():
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.type = name.encode(), list(shape), TYPES[dtype]
        tensor.buffer = 0
        if value is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(value.astype(dtype).tobytes(), np.uint8)
            model.buffers.append(buffer)
            tensor.buffer = len(model.buffers) - 1
        graph.tensors.append(tensor)
    node, code = schema.OperatorT(), schema.OperatorCodeT()
    node.opcodeIndex, node.inputs = 0, [names.index(name) for name in inputs]
    node.outputs = [len(names) - 1]
    node.builtinOptions = getattr(schema, f"{operator}OptionsT")()
    node.builtinOptionsType = getattr(schema.BuiltinOptions, f"{operator}Options")
    for field, value in options.items():
        setattr(node.builtinOptions, field, value)
    graph.operators = [node]
    graph.inputs = [names.index(name) for name in inputs if tensors[name][2] is None]
    graph.outputs = node.outputs
    constant = "".join(f"_{c}" if c.isupper() else c.upper() for c in operator).lstrip("_").upper()
    code.builtinCode = getattr(schema.BuiltinOperator, constant)
    code.deprecatedBuiltinCode, code.version = min(code.builtinCode, 127), version
    model.operatorCodes, model.subgraphs = [code], [graph]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(bytes(builder.Output()))
    return path


def add(path: Path, *, version: int = 1) -> Path:
    """Write a good TFLite file: ``y = x + [0, 1, 2, 3]`` for one row of four."""
    row = ((4,), np.float32, np.arange(4.0))
    shapes = {"x": ((1, 4), np.float32, None), "c": row, "y": ((1, 4), np.float32, None)}
    return tflite(path, "Add", shapes, ["x", "c"], version=version)


def killer(path: Path) -> Path:
    """Write a TFLite file that loads, allocates, and is killed by SIGSEGV when it is run.

    LiteRT does not check the lengths of REVERSE_SEQUENCE: a damaged one reads far outside.
    """
    lengths = np.array([1, 1, 1, 999_999_999])
    tensors: dict[str, Tensor] = {
        "x": ((4, 4), np.float32, None),
        "lengths": ((4,), np.int32, lengths),
        "y": ((4, 4), np.float32, None),
    }
    return tflite(path, "ReverseSequence", tensors, ["x", "lengths"], seqDim=1)


def out_of_bounds(path: Path) -> Path:
    """Write a TFLite file that fails when it is run, and says so."""
    tensors: dict[str, Tensor] = {
        "x": ((1, 4), np.float32, None),
        "i": ((1,), np.int32, np.array([99])),
        "y": ((1, 1), np.float32, None),
    }
    return tflite(path, "Gather", tensors, ["x", "i"])


def mlp_onnx(
    path: Path,
    layers: Sequence[tuple[np.ndarray, np.ndarray]],
    shape: Sequence[int],
    *,
    batch: int | str = "batch",
    opset: int = 17,
    listed: bool = False,
) -> Path:
    """Write an ONNX file: flatten, then linear layers with ReLU between them.

    Args:
        path: where to.
        layers: weight ``(out, in)`` and bias ``(out,)`` of each.
        shape: of one sample.
        batch: the size of a batch, or a name where it is free.
        opset: the operator set that it states.
        listed: also list the weights as inputs of the graph, as old exporters did.
    """
    nodes = [helper.make_node("Flatten", ["x"], ["h0"])]
    weights = []
    for index, (weight, bias) in enumerate(layers):
        last = index == len(layers) - 1
        out = "logits" if last else f"a{index}"
        weights += [
            numpy_helper.from_array(weight.astype(np.float32), f"w{index}"),
            numpy_helper.from_array(bias.astype(np.float32), f"b{index}"),
        ]
        names = [f"h{index}", f"w{index}", f"b{index}"]
        nodes.append(helper.make_node("Gemm", names, [out], transB=1))
        if not last:
            nodes.append(helper.make_node("Relu", [out], [f"h{index + 1}"]))
    given = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, *shape])]
    if listed:
        given += [helper.make_tensor_value_info(w.name, w.data_type, w.dims) for w in weights]
    classes = len(layers[-1][1])
    made = helper.make_tensor_value_info("logits", TensorProto.FLOAT, [batch, classes])
    graph = helper.make_graph(nodes, "mlp", given, [made], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


def linear_onnx(path: Path, **options: Any) -> Path:
    """Write an ONNX file of one layer, 4 to 3, with weights that can be told apart."""
    weight = np.arange(12.0).reshape(3, 4)
    return mlp_onnx(path, [(weight, np.array([0.5, 0.0, -0.5]))], (4,), **options)


def unknown_operator_onnx(path: Path) -> Path:
    """Write an ONNX file with an operator that no runtime knows."""
    node = helper.make_node("Teleport", ["x"], ["y"], domain="org.example")
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4]) for name in ("x", "y")]
    graph = helper.make_graph([node], "odd", ends[:1], ends[1:])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("org.example", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), str(path))
    return path
