"""In which numbers each operator computes."""

from __future__ import annotations

from typing import Literal

from edgekd.modelfile.graph import Graph, Operator, Subgraph, Tensor
from edgekd.modelfile.refusal import present

#: ``float``: in floating point. ``hybrid``: the data is float and the weights are integers.
#: ``integer``: on quantized values. ``convert``: from one to the other. ``other``: on indexes,
#: shapes, truth values or constants.
Precision = Literal["float", "hybrid", "integer", "convert", "other"]

_FLOATS = ("float16", "float32", "float64", "bfloat16")
_INTEGERS = ("int2", "int4", "uint4", "int8", "uint8", "int16")
_CONVERSIONS = frozenset(("QUANTIZE", "DEQUANTIZE", "QuantizeLinear", "DequantizeLinear"))
_INTEGER_OPERATORS = ("QLinear", "QGemm")
_DYNAMIC = frozenset(
    ("ConvInteger", "MatMulInteger", "MatMulIntegerToFloat", "DynamicQuantizeMatMul", "MatMulNBits")
)

#: A QuantizeLinear after one of these counts for the operator before it: runtimes join the three.
_JOINED = ("Relu", "Clip")

#: onnxruntime runs these on integers even where their result stays float.
_FLOAT_RESULT = ("Gemm", "MatMul")


def precisions(graph: Graph, subgraph: Subgraph) -> tuple[Precision, ...]:
    """Return the precision of every operator of a subgraph.

    In ONNX, an operator between DequantizeLinear and QuantizeLinear computes on integers.
    """
    if graph.format == "tflite":
        return tuple(_tflite(subgraph, operator) for operator in subgraph.operators)
    return _Onnx(subgraph).all()


def _tflite(subgraph: Subgraph, operator: Operator) -> Precision:
    inputs = present(subgraph.inputs_of(operator))
    outputs = present(subgraph.outputs_of(operator))
    if operator.name in _CONVERSIONS:
        return "convert"
    types = {tensor.dtype for tensor in (*inputs, *outputs)}
    if types & set(_FLOATS):
        stored = any(one.constant and one.dtype in _INTEGERS for one in inputs)
        return "hybrid" if stored else "float"
    return "integer" if _quantized((*inputs, *outputs)) else "other"


def _quantized(tensors: tuple[Tensor, ...]) -> bool:
    return any(one.dtype in _INTEGERS and one.quantization is not None for one in tensors)


class _Onnx:
    """Looks at what stands before and behind each operator."""

    def __init__(self, subgraph: Subgraph) -> None:
        self._subgraph = subgraph
        self._makers = {
            place: operator for operator in subgraph.operators for place in operator.outputs
        }
        self._users: dict[int, list[Operator]] = {}
        for operator in subgraph.operators:
            for place in operator.inputs:
                self._users.setdefault(place, []).append(operator)

    def all(self) -> tuple[Precision, ...]:
        return tuple(self._one(operator) for operator in self._subgraph.operators)

    def _one(self, operator: Operator) -> Precision:
        if operator.name in _CONVERSIONS or operator.name == "DynamicQuantizeLinear":
            return "convert"
        if operator.name in _DYNAMIC:
            return "hybrid"
        if operator.name.startswith(_INTEGER_OPERATORS):
            return "integer"
        floats = [p for p in operator.inputs if p >= 0 and self._float(p)]
        results = [p for p in operator.outputs if p >= 0 and self._float(p)]
        computed = [place for place in floats if not self._subgraph.tensors[place].constant]
        if operator.name in _JOINED and self._follows_integers(operator):
            return "integer"
        if operator.name in ("Constant", "Cast", "Shape", "Size") or not (floats or results):
            return "other"
        dequantized = [p for p in computed if self._made_by(p, "DequantizeLinear")]
        if dequantized and len(dequantized) == len(computed):
            if operator.name in _FLOAT_RESULT or all(self._requantized(p) for p in results):
                return "integer"
        weights = [p for p in dequantized if self._from_weights(p)]
        return "hybrid" if weights else "float"

    def _float(self, place: int) -> bool:
        return self._subgraph.tensors[place].dtype in (*_FLOATS, "unknown")

    def _made_by(self, place: int, name: str) -> bool:
        maker = self._makers.get(place)
        return maker is not None and maker.name == name

    def _follows_integers(self, operator: Operator) -> bool:
        maker = self._makers.get(operator.inputs[0]) if operator.inputs else None
        if maker is None or maker.name in _JOINED:
            return False
        return all(self._requantized(p) for p in operator.outputs) and self._one(maker) == "integer"

    def _from_weights(self, place: int) -> bool:
        maker = self._makers[place]
        return self._subgraph.tensors[maker.inputs[0]].constant

    def _requantized(self, place: int) -> bool:
        users = self._users.get(place, [])
        return bool(users) and all(
            user.name == "QuantizeLinear"
            or (user.name in _JOINED and all(self._requantized(p) for p in user.outputs))
            for user in users
        )
