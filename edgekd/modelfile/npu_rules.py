"""The limits of single operators on an Ethos-U, beside images and parameters; see ``npu``."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

from edgekd.modelfile.graph import Operator, Subgraph
from edgekd.modelfile.npu_operands import MOST, input_of, output_of, shape_of
from edgekd.modelfile.refusal import Rule

_MEAN_ELEMENTS = {"int8": 1 << 24, "uint8": 1 << 23, "int16": 1 << 16}


def same_type(*allowed: str) -> Rule:
    """Input and output must be of one of these types, both of the same."""

    def rule(subgraph: Subgraph, operator: Operator) -> Iterator[str]:
        types = {input_of(subgraph, operator).dtype, output_of(subgraph, operator).dtype}
        if len(types) > 1 or not types <= set(allowed):
            yield f"input and output must both be {' or '.join(allowed)}"

    return rule


def same_shape(subgraph: Subgraph, operator: Operator) -> Iterator[str]:
    """Input and output have the same shape."""
    if shape_of(input_of(subgraph, operator)) != shape_of(output_of(subgraph, operator)):
        yield "input and output differ in shape"


def same_quantization(subgraph: Subgraph, operator: Operator) -> Iterator[str]:
    """Both inputs are quantized as the output is."""
    wanted = output_of(subgraph, operator).quantization
    if any(tensor and tensor.quantization != wanted for tensor in subgraph.inputs_of(operator)):
        yield "its inputs have other scales than its output"


def batch_matmul(subgraph: Subgraph, operator: Operator) -> Iterator[str]:
    """8-bit, and at most 65,536 columns and products."""
    left, output = input_of(subgraph, operator), output_of(subgraph, operator)
    if left.dtype != "int8":
        yield f"it works on {left.dtype}, not int8"
    if max(shape_of(output)[-1], shape_of(left)[-1]) > MOST:
        yield f"it has more than {MOST:,} columns"


def arg_max(subgraph: Subgraph, operator: Operator) -> Iterator[str]:
    """Along the last axis, of at most 127 values."""
    shape = shape_of(input_of(subgraph, operator))
    axis = input_of(subgraph, operator, 1).values()
    if axis is None or int(axis.ravel()[0]) % len(shape) != len(shape) - 1:
        yield "it does not run along the last axis"
    if shape[-1] > 127:
        yield f"it compares {shape[-1]} values; 127 is the most"


def mean(subgraph: Subgraph, operator: Operator) -> Iterator[str]:
    """One sample, axes that stand in the file, not too much at once."""
    data = input_of(subgraph, operator)
    shape, axes = shape_of(data), input_of(subgraph, operator, 1).values()
    if data.dtype not in _MEAN_ELEMENTS:
        yield f"it works on {data.dtype}, not int8, uint8 or int16"
        return
    if axes is None:
        yield "its axes are computed while it runs"
        return
    reduced = sorted({int(axis) % len(shape) for axis in axes.ravel()})
    if len(shape) == 4 and shape[0] != 1:
        yield f"its batch is {shape[0]}, not 1"
    if prod(shape[axis] for axis in reduced) > _MEAN_ELEMENTS[data.dtype]:
        yield f"it takes the mean of too many values at once ({shape})"
    if any(shape[axis] >= 4096 for axis in reduced):
        yield "an axis of it has 4,096 values or more"
    rest = shape[-3:]
    if len(shape) - 1 in reduced and len(rest) == 3 and 1 not in rest:
        yield "it takes the mean over channels"


def softmax(subgraph: Subgraph, operator: Operator) -> Iterator[str]:
    """At most 65,535 rows."""
    if prod(shape_of(input_of(subgraph, operator))[1:-1]) >= MOST:
        yield f"it has {MOST:,} rows or more"


def slice_steps(subgraph: Subgraph, operator: Operator) -> Iterator[str]:
    """Steps are positive, and something is left."""
    steps = input_of(subgraph, operator, 3).values()
    if steps is not None and (steps <= 0).any():
        yield "it steps backwards"
    if 0 in shape_of(output_of(subgraph, operator)):
        yield "nothing is left of its input"


def transpose(subgraph: Subgraph, operator: Operator) -> Iterator[str]:
    """At most 8 axes; 32-bit values only in some orders; not too many values aside."""
    data = input_of(subgraph, operator)
    shape, order = shape_of(data), input_of(subgraph, operator, 1).values()
    if len(shape) > 8:
        yield f"it has {len(shape)} axes; 8 is the most"
    if order is None:
        return
    axes = tuple(int(axis) % len(shape) for axis in order.ravel())
    if data.dtype == "int32":
        known = {(0, 1, 2, 3), (0, 2, 1, 3), (0, 1, 3, 2)}
        full = tuple(range(4 - len(axes))) + tuple(axis + 4 - len(axes) for axis in axes)
        if len(shape) > 4 or full not in known:
            yield f"it reorders int32 as {axes}"
        return
    wide = [size for size in shape if size != 1]
    if axes == tuple(range(len(shape))) or len(wide) <= 3:
        if max(shape, default=1) > MOST:
            yield f"an axis of it has more than {MOST:,} values"
        return
    # All but the two smallest axes are the worst product of any N-2 axes.
    if prod(sorted(shape)[2:]) > MOST:
        yield f"it moves too much at once ({shape})"


def lstm(_: Subgraph, operator: Operator) -> Iterator[str]:
    """The plain cell only."""
    given = [index >= 0 for index in operator.inputs] + [False] * 24
    if not given[1]:
        yield "its input gate is implied"
    if any(given[9:12]):
        yield "it has peepholes"
    if any(given[16:18]):
        yield "it has a projection"
    if any(given[20:24]):
        yield "its gates are normalised"
