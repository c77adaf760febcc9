"""The scales that operators of quantization in an ONNX file give to the tensors around them."""

from __future__ import annotations

from dataclasses import replace

from edgekd.modelfile.graph import OMITTED, Operator, Quantization, Subgraph

#: Operator -> (tensor, scale, zero point) as places in inputs; the tensor "output" is the first.
_QUANTIZED: dict[str, tuple[tuple[int | str, int, int], ...]] = {
    "QuantizeLinear": (("output", 1, 2),),
    "DequantizeLinear": ((0, 1, 2),),
    "QLinearConv": ((0, 1, 2), (3, 4, 5), ("output", 6, 7)),
    "QLinearMatMul": ((0, 1, 2), (3, 4, 5), ("output", 6, 7)),
}


def with_quantization(graph: Subgraph) -> Subgraph:
    """Give the integer tensors around operators of quantization their scales."""
    tensors = list(graph.tensors)
    for operator in graph.operators:
        for place, scale, zero_point in _QUANTIZED.get(operator.name, ()):
            side = operator.outputs if place == "output" else operator.inputs[int(place) :]
            index = side[0] if side else OMITTED
            known = _quantization(graph, operator, scale, zero_point)
            if index != OMITTED and known is not None:
                tensors[index] = replace(tensors[index], quantization=known)
    return replace(graph, tensors=tuple(tensors))


def _quantization(
    graph: Subgraph, operator: Operator, scale: int, zero_point: int
) -> Quantization | None:
    """Return scales and zero points; None where they are computed and not stored."""
    inputs = (*graph.inputs_of(operator), None, None, None)
    factors, offsets = inputs[scale], inputs[zero_point]
    scales = None if factors is None else factors.values()
    if scales is None or scales.size == 0:
        return None
    zeros = None if offsets is None else offsets.values()
    axis = int(operator.options.get("axis", 0 if operator.name == "QLinearConv" else 1))
    return Quantization(
        scales=tuple(float(value) for value in scales.ravel()),
        zero_points=() if zeros is None else tuple(int(value) for value in zeros.ravel()),
        axis=axis if scales.size > 1 else None,
        block=int(operator.options.get("block_size", 0)),
    )
