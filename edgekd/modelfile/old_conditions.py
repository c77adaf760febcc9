"""Conditions on an operator's inputs and outputs, for the table of what old runtimes get wrong.

Weights are input 1 in all of these operators; "several" scales are different ones.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod

from edgekd.modelfile.graph import Tensor
from edgekd.modelfile.needed_versions import Inputs, dtype, scales

#: Says whether an operator is at fault, from its inputs and outputs.
Condition = Callable[[Inputs, Inputs], bool]

#: Below these sizes 2.14 does not take its kernel for 4-bit weights.
_FOUR_BIT_DEPTH, _FOUR_BIT_UNITS = 32, 4


def _at(tensors: Inputs, position: int) -> Tensor | None:
    return tensors[position] if position < len(tensors) else None


def _shape(tensors: Inputs, position: int) -> tuple[int, ...]:
    tensor = _at(tensors, position)
    return () if tensor is None else tensor.fixed_shape or ()


def _blocks(tensors: Inputs, position: int) -> bool:
    tensor = _at(tensors, position)
    return tensor is not None and tensor.quantization is not None and tensor.quantization.block > 0


def _single(tensors: Inputs, position: int) -> bool:
    """Whether a quantized tensor states one scale for all of its channels."""
    tensor = _at(tensors, position)
    return (
        tensor is not None
        and tensor.quantization is not None
        and len(tensor.quantization.scales) == 1
    )


def types(values: str, weights: str, *, several: bool = False) -> Condition:
    """Return a condition on the types of values and weights, and on the scales of the weights."""

    def holds(inputs: Inputs, outputs: Inputs) -> bool:
        if (dtype(inputs, 0), dtype(inputs, 1)) != (values, weights):
            return False
        return not several or scales(inputs, 1) > 1

    return holds


def blockwise(inputs: Inputs, outputs: Inputs) -> bool:
    """Whether 4-bit weights have scales of blocks."""
    return dtype(inputs, 1) == "int4" and _blocks(inputs, 1)


def four_bit_small(inputs: Inputs, outputs: Inputs) -> bool:
    """Whether a small dense layer has 4-bit weights with several scales."""
    if not types("float32", "int4", several=True)(inputs, outputs) or _blocks(inputs, 1):
        return False
    units, depth = (*_shape(inputs, 1), 0, 0)[:2]
    return depth < _FOUR_BIT_DEPTH or units < _FOUR_BIT_UNITS or depth % 2 == 1


def wide_values_many_axes(inputs: Inputs, outputs: Inputs) -> bool:
    """Whether a dense layer of 16-bit values and several scales gives other than two axes."""
    several = types("int16", "int8", several=True)(inputs, outputs)
    return several and len(_shape(outputs, 0)) != 2


def grouped_single_scale(inputs: Inputs, outputs: Inputs) -> bool:
    """Whether a convolution in groups has float values and weights of one scale."""
    if not types("float32", "int8")(inputs, outputs) or not _single(inputs, 1):
        return False
    return _shape(inputs, 0)[-1:] != _shape(inputs, 1)[-1:]


def channels_single_scale(inputs: Inputs, outputs: Inputs) -> bool:
    """Whether a depthwise convolution has float values and weights of one scale."""
    hybrid = types("float32", "int8")(inputs, outputs)
    return hybrid and _single(inputs, 1) and prod(_shape(inputs, 1)[-1:]) > 1


def transposed_hybrid(inputs: Inputs, outputs: Inputs) -> bool:
    """Whether a transposed convolution has float values and quantized weights."""
    return dtype(inputs, 2) == "float32" and dtype(inputs, 1) in ("int8", "int4")


def first(*kinds: str) -> Condition:
    """Return a condition on the type of the first input."""
    return lambda inputs, outputs: dtype(inputs, 0) in kinds


def two_bits(inputs: Inputs, outputs: Inputs) -> bool:
    """Whether the weights have 2 bits."""
    return dtype(inputs, 1) == "int2"


def rescaled(inputs: Inputs, outputs: Inputs) -> bool:
    """Whether a sum of 16-bit values changes the scale."""
    ends = [_at(side, 0) for side in (inputs, outputs)]
    found = {end.quantization.scales for end in ends if end is not None and end.quantization}
    return dtype(inputs, 0) == "int16" and len(found) > 1
