"""What an Ethos-U asks of parameters: weights, biases, axes, paddings; see ``npu``."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from edgekd.modelfile.graph import Operator, Subgraph
from edgekd.modelfile.npu_operands import MOST, input_of, shape_of, weight
from edgekd.modelfile.refusal import Rule

_MOST_WEIGHT = 127 * 65536
_MOST_BIAS = (1 << 40) - 1


def constant(place: int) -> Rule:
    """The parameter at this place must stand in the file."""

    def rule(subgraph: Subgraph, operator: Operator) -> Iterator[str]:
        if place < len(operator.inputs) and not input_of(subgraph, operator, place).constant:
            yield f"its input {place} is computed while it runs"

    return rule


def parameter_type(place: int) -> Rule:
    """The parameter at this place must be int32 or int64."""

    def rule(subgraph: Subgraph, operator: Operator) -> Iterator[str]:
        found = input_of(subgraph, operator, place).dtype
        if found not in ("int32", "int64"):
            yield f"its input {place} is {found}, not int32 or int64"

    return rule


def weights(subgraph: Subgraph, operator: Operator) -> Iterator[str]:
    """Weights have 8 bits, and those of a channel do not add up to too much."""
    found = weight(subgraph, operator)
    if found is None:
        return
    if found.dtype not in ("int8", "uint8"):
        yield f"its weights are {found.dtype}, not 8-bit integers"
        return
    values = found.values()
    if values is None or found.quantization is None or values.size == 0:
        return
    axis = values.ndim - 1 if operator.name == "DEPTHWISE_CONV_2D" else 0
    zeros = np.asarray(found.quantization.zero_points or (0,), dtype=np.int64)
    channels = np.moveaxis(values, axis, 0).reshape(values.shape[axis], -1).astype(np.int64)
    if zeros.size not in (1, len(channels)):
        return
    if np.abs(channels - zeros[:, None]).sum(axis=1).max() > _MOST_WEIGHT:
        yield f"the absolute weights of a channel add up to more than {_MOST_WEIGHT:,}"


def dense_weights(subgraph: Subgraph, operator: Operator) -> Iterator[str]:
    """Weights are a matrix; those that are computed need int8 and at most 65,536 columns."""
    found = weight(subgraph, operator)
    shape = shape_of(found) if found else ()
    if any(size != 1 for size in shape[1:-1]):
        yield "its weights are not a matrix"
    if found is not None and not found.constant:
        if input_of(subgraph, operator).dtype != "int8":
            yield "its weights are computed while it runs, and its input is not int8"
        if max(shape, default=0) > MOST:
            yield f"its weights are computed while it runs, with more than {MOST:,} columns"


def bias(place: int) -> Rule:
    """A bias stands in the file as int32 or int64 of at most 40 bits."""

    def rule(subgraph: Subgraph, operator: Operator) -> Iterator[str]:
        if place >= len(operator.inputs) or operator.inputs[place] < 0:
            return
        found = input_of(subgraph, operator, place)
        if not found.constant:
            yield "its bias is computed while it runs"
        elif found.dtype not in ("int32", "int64"):
            yield f"its bias is {found.dtype}, not int32 or int64"
        else:
            values = found.values()
            if (
                found.dtype == "int64"
                and values is not None
                and values.max(initial=0) >= _MOST_BIAS
            ):
                yield "a bias needs more than 40 bits"

    return rule
