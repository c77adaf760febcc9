"""Multiply-accumulate operations of a model file, from the shapes in it.

Counted are convolutions, matrix products and recurrent layers, as ``edgekd.models.count`` counts
them in a network; what is element by element counts nothing. One inference at the shape the file
has (batch 1 where the batch is free). What cannot be known is said and never guessed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod

from edgekd.modelfile.graph import Graph, Operator, Subgraph, Tensor

_Shapes = list[tuple[int, ...] | None]
_Count = Callable[[Operator, _Shapes, _Shapes], int | None]


@dataclass(frozen=True)
class MacCount:
    """What one inference takes.

    Attributes:
        total: the sum over all operators whose count is known.
        by_operator: one for each operator of the main subgraph; None: not known.
        unknown: names of the operators whose count is not known, each once.
    """

    total: int
    by_operator: tuple[int | None, ...]
    unknown: tuple[str, ...]


def count(graph: Graph) -> MacCount:
    """Return the multiply-accumulate operations of one inference of a file."""
    found = _subgraph(graph, graph.main, frozenset({0}))
    names = dict.fromkeys(
        operator.name
        for operator, macs in zip(graph.main.operators, found, strict=True)
        if macs is None
    )
    return MacCount(sum(macs or 0 for macs in found), tuple(found), tuple(names))


def _subgraph(graph: Graph, subgraph: Subgraph, within: frozenset[int]) -> list[int | None]:
    return [_operator(graph, subgraph, operator, within) for operator in subgraph.operators]


def _operator(
    graph: Graph, subgraph: Subgraph, operator: Operator, within: frozenset[int]
) -> int | None:
    if operator.subgraphs:
        return _called(graph, operator, within)
    table = _TFLITE if graph.format == "tflite" else _ONNX
    rule = table.get(operator.name)
    if rule is None:
        known = not operator.custom or operator.name in _ELEMENTWISE_CONTRIBUTED
        return 0 if known and operator.name not in _NOT_KNOWN else None
    inputs = subgraph.inputs_of(operator)
    if rule in (_sequence, _step):
        return rule(operator, _recurrent_shapes(inputs), _shapes(subgraph.outputs_of(operator)))
    try:
        return rule(operator, _shapes(inputs), _shapes(subgraph.outputs_of(operator)))
    except (IndexError, ZeroDivisionError, TypeError, ValueError):
        return None  # shapes are missing, or do not fit the operator


def _called(graph: Graph, operator: Operator, within: frozenset[int]) -> int | None:
    """Count what an operator runs: known where it runs one body once, or bodies without any."""
    counts: list[int | None] = []
    for number in operator.subgraphs:
        if number in within:
            return None
        inside = _subgraph(graph, graph.subgraphs[number], within | {number})
        counts.append(None if None in inside else sum(macs or 0 for macs in inside))
    alike = len(set(counts)) == 1
    return counts[0] if alike and (operator.name in _RUN_ONCE or counts[0] == 0) else None


def _shapes(tensors: tuple[Tensor | None, ...]) -> _Shapes:
    return [None if tensor is None else tensor.fixed_shape for tensor in tensors]


def _recurrent_shapes(tensors: tuple[Tensor | None, ...]) -> _Shapes:
    """Return the shape of the sequence and those of the stored matrices."""
    first, rest = tensors[0], tensors[1:]
    matrices = [one.fixed_shape for one in rest if one is not None and one.constant]
    return [first.fixed_shape if first else None, *(s for s in matrices if s and len(s) == 2)]


def _known(shape: tuple[int, ...] | None) -> tuple[int, ...]:
    if shape is None or any(size < 0 for size in shape):
        raise ValueError("a shape is not known")
    return shape


def _volume(shape: tuple[int, ...] | None) -> int:
    return prod(_known(shape))


# --- TFLite: weights of convolutions are (out, height, width, in), channels come last.


def _conv_2d(_: Operator, inputs: _Shapes, outputs: _Shapes) -> int:
    return _volume(outputs[0]) * prod(_known(inputs[1])[1:])


def _conv_3d(_: Operator, inputs: _Shapes, outputs: _Shapes) -> int:
    return _volume(outputs[0]) * prod(_known(inputs[1])[:-1])


def _depthwise(_: Operator, inputs: _Shapes, outputs: _Shapes) -> int:
    return _volume(outputs[0]) * prod(_known(inputs[1])[1:3])


def _transposed_2d(_: Operator, inputs: _Shapes, outputs: _Shapes) -> int:
    return _volume(inputs[2]) * prod(_known(inputs[1])[:-1])


def _dense(_: Operator, inputs: _Shapes, outputs: _Shapes) -> int:
    return _volume(inputs[0]) * _known(inputs[1])[0]


def _batch_matmul(operator: Operator, inputs: _Shapes, outputs: _Shapes) -> int:
    return _volume(outputs[0]) * _known(inputs[0])[-2 if operator.options.get("adj_x") else -1]


def _sequence(_: Operator, inputs: _Shapes, outputs: _Shapes) -> int | None:
    """Every step of every sequence goes through every matrix once."""
    if inputs[0] is None or len(inputs) < 2:
        return None
    return prod(inputs[0][:-1]) * sum(_volume(matrix) for matrix in inputs[1:])


def _step(operator: Operator, inputs: _Shapes, outputs: _Shapes) -> int | None:
    return _sequence(operator, inputs, outputs)


_TFLITE: Mapping[str, _Count] = {
    "CONV_2D": _conv_2d,
    "CONV_3D": _conv_3d,
    "CONV_3D_TRANSPOSE": _transposed_2d,
    "DEPTHWISE_CONV_2D": _depthwise,
    "TRANSPOSE_CONV": _transposed_2d,
    "FULLY_CONNECTED": _dense,
    "BATCH_MATMUL": _batch_matmul,
    "UNIDIRECTIONAL_SEQUENCE_LSTM": _sequence,
    "BIDIRECTIONAL_SEQUENCE_LSTM": _sequence,
    "UNIDIRECTIONAL_SEQUENCE_RNN": _sequence,
    "BIDIRECTIONAL_SEQUENCE_RNN": _sequence,
    "LSTM": _step,
    "RNN": _step,
    "SVDF": _step,
}


# --- ONNX: weights of convolutions are (out, in, ...), channels come second.


def _conv(at: int) -> _Count:
    def count(_: Operator, inputs: _Shapes, outputs: _Shapes) -> int:
        return _volume(outputs[0]) * prod(_known(inputs[at])[1:])

    return count


def _conv_transpose(_: Operator, inputs: _Shapes, outputs: _Shapes) -> int:
    return _volume(inputs[0]) * prod(_known(inputs[1])[1:])


def _gemm(operator: Operator, inputs: _Shapes, outputs: _Shapes) -> int:
    return _volume(outputs[0]) * _known(inputs[0])[0 if operator.options.get("transA") else 1]


def _matmul(operator: Operator, inputs: _Shapes, outputs: _Shapes) -> int:
    return _volume(outputs[0]) * _known(inputs[0])[-2 if operator.options.get("transA") else -1]


def _matmul_packed(operator: Operator, inputs: _Shapes, outputs: _Shapes) -> int:
    return _volume(outputs[0]) * int(operator.options["K"])


def _recurrent(_: Operator, inputs: _Shapes, outputs: _Shapes) -> int:
    steps = prod(_known(inputs[0])[:2])
    return steps * (_volume(inputs[1]) + _volume(inputs[2]))


def _einsum(operator: Operator, inputs: _Shapes, outputs: _Shapes) -> int | None:
    """Two operands multiply once for every combination of all their indices."""
    left, _, _right = str(operator.options["equation"]).replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) == 1:
        return 0
    if len(terms) != 2 or "." in left:
        return None
    sizes: dict[str, int] = {}
    for term, shape in zip(terms, inputs, strict=True):
        sizes.update(zip(term, _known(shape), strict=True))
    return prod(sizes.values())


_ONNX: Mapping[str, _Count] = {
    "Conv": _conv(1),
    "ConvInteger": _conv(1),
    "FusedConv": _conv(1),
    "QLinearConv": _conv(3),
    "ConvTranspose": _conv_transpose,
    "Gemm": _gemm,
    "QGemm": _gemm,
    "MatMul": _matmul,
    "MatMulInteger": _matmul,
    "MatMulIntegerToFloat": _matmul,
    "QLinearMatMul": _matmul,
    "FusedMatMul": _matmul,
    "DynamicQuantizeMatMul": _matmul,
    "MatMulNBits": _matmul_packed,
    "GRU": _recurrent,
    "LSTM": _recurrent,
    "RNN": _recurrent,
    "Einsum": _einsum,
}

#: They run the body that they name once.
_RUN_ONCE = ("If", "IF", "CALL", "CALL_ONCE", "STABLEHLO_COMPOSITE")

#: They multiply, and how often is not counted here.
_NOT_KNOWN = frozenset(
    {
        "Attention",
        "DeformConv",
        "STABLEHLO_CONVOLUTION",
        "STABLEHLO_CUSTOM_CALL",
        "STABLEHLO_DOT_GENERAL",
        "CONCAT_EMBEDDINGS",
        "DELEGATE",
    }
)

#: onnxruntime's own operators that multiply no matrices.
_ELEMENTWISE_CONTRIBUTED = frozenset(
    {
        "BiasGelu",
        "DequantizeLinear",
        "FastGelu",
        "Gelu",
        "QLinearAdd",
        "QLinearAveragePool",
        "QLinearConcat",
        "QLinearGlobalAveragePool",
        "QLinearLeakyRelu",
        "QLinearMul",
        "QLinearSigmoid",
        "QLinearSoftmax",
        "QuantizeLinear",
        "QuickGelu",
        "SkipLayerNormalization",
    }
)
