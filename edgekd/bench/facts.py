"""What a bare file tells of its network without being run.

Parameters are counted as the values of the constants that a file computes with: weights and
biases, float or quantized. Shapes, indices, scales, zero points and single numbers do not count.
What an exporter has folded away is not in the file any more, and anchors or tables that are none
of the training's parameters are: the count of a run's own artifact comes from the network itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

#: Operators of QuantizeLinear's kind take scale and zero point as inputs 1 and 2.
_SCALED = ("QuantizeLinear", "DequantizeLinear")
_INTEGER_OPERATORS = ("QLinear", "ConvInteger", "MatMulInteger", "DynamicQuantize")


def parameters(path: Path, kind: str) -> tuple[int | None, str | None]:
    """Return the number of parameters, or None and the reason why it is not known.

    Args:
        path: the file.
        kind: ``tflite``, ``onnx`` or ``executorch``.
    """
    if kind == "executorch":
        return None, "an ExecuTorch program keeps its weights packed for the backend"
    count = {"tflite": _tflite, "onnx": _onnx}[kind]
    try:
        return count(path)
    except ModuleNotFoundError as error:
        return None, f"the package {error.name!r} is not installed"
    except Exception as error:  # a damaged file breaks its reader in any way
        return None, f"the file cannot be taken apart ({type(error).__name__})"


def _tflite(path: Path) -> tuple[int | None, str | None]:
    from ai_edge_litert import schema_py_generated as schema

    kinds = schema.TensorType
    always = {
        getattr(kinds, name)
        for name in ("FLOAT64", "FLOAT32", "FLOAT16", "BFLOAT16", "INT16", "INT8", "UINT8", "INT4")
        if hasattr(kinds, name)
    }
    if_scaled = {kinds.INT32, kinds.INT64}  # biases; without a scale they are shapes and indices
    model = schema.Model.GetRootAs(path.read_bytes(), 0)
    sizes: dict[int, int] = {}
    for graph in (model.Subgraphs(i) for i in range(model.SubgraphsLength())):
        for tensor in (graph.Tensors(i) for i in range(graph.TensorsLength())):
            buffer = model.Buffers(tensor.Buffer())
            if not buffer.DataLength() and not buffer.Size():
                continue
            quantization = tensor.Quantization()
            scaled = quantization is not None and quantization.ScaleLength() > 0
            if tensor.Type() in always or (tensor.Type() in if_scaled and scaled):
                shape = [tensor.Shape(i) for i in range(tensor.ShapeLength())]
                # Tensors may share a buffer: it counts once.
                sizes[tensor.Buffer()] = math.prod(shape) if shape else 0
    return sum(sizes.values()), None


def _onnx(path: Path) -> tuple[int | None, str | None]:
    import onnx

    model = onnx.load(str(path), load_external_data=False)
    graph = model.graph
    if any(node.op_type.startswith(_INTEGER_OPERATORS) for node in graph.node):
        return None, "its integer operators mix weights with scales"
    if model.functions or any(attribute.HasField("g") for attribute in _attributes(graph.node)):
        return None, "it has graphs within its graph"
    scales = {
        name for node in graph.node if node.op_type in _SCALED for name in list(node.input)[1:3]
    }
    quantized = {
        node.input[0] for node in graph.node if node.op_type == "DequantizeLinear" and node.input
    }
    types = onnx.TensorProto
    floats = {types.FLOAT, types.FLOAT16, types.DOUBLE, types.BFLOAT16}
    total = 0
    for name, tensor in _constants(graph):
        if name not in scales and (tensor.data_type in floats or name in quantized):
            total += math.prod(tensor.dims) if tensor.dims else 0
    return total, None


def _attributes(nodes: Iterable[Any]) -> Iterator[Any]:
    for node in nodes:
        yield from node.attribute


def _constants(graph: Any) -> Iterator[tuple[str, Any]]:
    for tensor in graph.initializer:
        yield tensor.name, tensor
    for node in graph.node:
        if node.op_type == "Constant":
            for attribute in node.attribute:
                if attribute.HasField("t"):
                    yield node.output[0], attribute.t
