"""The tensors that the rules for an Ethos-U look at; see ``npu``."""

from __future__ import annotations

from edgekd.modelfile.graph import Operator, Subgraph, Tensor

#: Places of inputs that are data; all others are parameters. None: all inputs are.
DATA_INPUTS: dict[str, tuple[int, ...] | None] = {
    **dict.fromkeys(
        ("ADD", "BATCH_MATMUL", "MAXIMUM", "MINIMUM", "MUL", "SQUARED_DIFFERENCE", "SUB"), (0, 1)
    ),
    "CONCATENATION": None,
    "PACK": None,
    "SPLIT": (1,),
    "TRANSPOSE_CONV": (2,),
}
_WEIGHTS = {"CONV_2D": 1, "DEPTHWISE_CONV_2D": 1, "FULLY_CONNECTED": 1, "TRANSPOSE_CONV": 1}

#: The most rows, columns, or values of a window that any operator may have.
MOST = 1 << 16


def weight(subgraph: Subgraph, operator: Operator) -> Tensor | None:
    """Return the weights of an operator that has some."""
    place = _WEIGHTS.get(operator.name)
    if place is None or place >= len(operator.inputs):
        return None
    return subgraph.of((operator.inputs[place],))[0]


def input_of(subgraph: Subgraph, operator: Operator, place: int = 0) -> Tensor:
    """Return an input of an operator; the first one is its data more often than not."""
    return subgraph.tensors[operator.inputs[place]]


def output_of(subgraph: Subgraph, operator: Operator) -> Tensor:
    """Return the first output of an operator."""
    return subgraph.tensors[operator.outputs[0]]


def shape_of(tensor: Tensor) -> tuple[int, ...]:
    """Return the shape at batch 1; () where it is not known."""
    return tensor.fixed_shape or ()
