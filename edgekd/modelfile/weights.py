"""What a model file stores: parameters, their bytes, and the layers they belong to."""

from __future__ import annotations

from dataclasses import dataclass

from edgekd.modelfile.graph import Graph, Operator, Subgraph, Tensor

_FLOATS = ("float16", "float32", "float64", "bfloat16")
_INTEGERS = ("int2", "int4", "uint4", "int8", "uint8", "int16", "int32", "int64")

#: Their second and third inputs are scales and zero points.
_SCALED = ("QuantizeLinear", "DequantizeLinear")


@dataclass(frozen=True)
class Layer:
    """An operator and what is stored for it.

    Attributes:
        name: of the node in ONNX; in TFLite of the output, or operator and place where names
            were stripped.
        operator: e.g. ``CONV_2D``.
        stored_bytes: of everything constant that it reads.
        parameters: how many weights those are.
    """

    name: str
    operator: str
    stored_bytes: int
    parameters: int


@dataclass(frozen=True)
class Weights:
    """What is stored, each value counted once.

    Attributes:
        stored_bytes: of all constants.
        parameters: weights, quantized or not; no scales, shapes or axes.
        by_type: type of element -> bytes of weights.
        layers: largest first.
    """

    stored_bytes: int
    parameters: int
    by_type: dict[str, int]
    layers: tuple[Layer, ...]


def weigh(graph: Graph) -> Weights:
    """Return what a file stores, by type and by layer."""
    seen: set[int] = set()
    layers: list[Layer] = []
    by_type: dict[str, int] = {}
    total = parameters = 0
    for subgraph in graph.subgraphs:
        kinds = _parameters(subgraph)
        unused = _Carried()
        for place, tensor in enumerate(subgraph.tensors):
            if tensor.storage is not None and tensor.storage not in seen:
                total += tensor.stored_bytes
                unused.add(place, tensor, place in kinds)
                if place in kinds:
                    parameters += tensor.elements or 0
                    by_type[tensor.dtype] = by_type.get(tensor.dtype, 0) + tensor.stored_bytes
                seen.add(tensor.storage)
        layers += _layers(subgraph, unused)
    largest = sorted(layers, key=lambda layer: -layer.stored_bytes)
    return Weights(total, parameters, by_type, tuple(largest))


class _Carried:
    """Bytes and parameters not yet given to a layer, by tensor."""

    def __init__(self) -> None:
        self.of: dict[int, tuple[int, int]] = {}

    def add(self, place: int, tensor: Tensor, parameter: bool) -> None:
        self.of[place] = (tensor.stored_bytes, (tensor.elements or 0) if parameter else 0)

    def take(self, places: tuple[int, ...]) -> tuple[int, int]:
        taken = [self.of.pop(place, (0, 0)) for place in places]
        return sum(one[0] for one in taken), sum(one[1] for one in taken)


def _layers(subgraph: Subgraph, unused: _Carried) -> list[Layer]:
    """Give constants to the operator that reads them, through those that only convert them."""
    fixed = {place for place, tensor in enumerate(subgraph.tensors) if tensor.constant}
    layers = []
    for operator in subgraph.operators:
        read = tuple(place for place in operator.inputs if place >= 0)
        stored, parameters = unused.take(read)
        if read and operator.outputs and all(place in fixed for place in read):
            fixed.update(operator.outputs)
            unused.of[operator.outputs[0]] = (stored, parameters)
        elif stored:
            layers.append(Layer(_name(subgraph, operator), operator.name, stored, parameters))
    return layers


def _name(subgraph: Subgraph, operator: Operator) -> str:
    outputs = [tensor.name for tensor in subgraph.outputs_of(operator) if tensor is not None]
    named = operator.label or next((name for name in outputs if name), "")
    return named or f"{operator.name} #{operator.index}"


def _parameters(subgraph: Subgraph) -> set[int]:
    """Return the places of constants that are weights: floats, and integers with scales."""
    scales = {
        place
        for operator in subgraph.operators
        if operator.name in _SCALED
        for place in operator.inputs[1:3]
    }
    return {
        place
        for place, tensor in enumerate(subgraph.tensors)
        if tensor.constant and place not in scales and _is_weight(tensor)
    }


def _is_weight(tensor: Tensor) -> bool:
    if tensor.dtype in _FLOATS:
        return True
    return tensor.dtype in _INTEGERS and tensor.quantization is not None
