"""What hardware will not run of a file, and why; helpers that its tables share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from edgekd.modelfile.graph import Graph, Operator, Subgraph, Tensor

#: One rule: the reasons why an operator is refused.
Rule = Callable[[Subgraph, Operator], Iterator[str]]


@dataclass(frozen=True)
class Refusal:
    """One operator and one reason.

    Attributes:
        subgraph: number of its subgraph.
        operator: its place in the subgraph.
        name: e.g. ``CONV_2D``.
        output: name of its first output, since TFLite operators have no names; may be empty.
        reason: why, as a sentence for people.
        severity: ``refused``: it does not run there; ``flagged``: it runs, and should not.
    """

    subgraph: int
    operator: int
    name: str
    output: str
    reason: str
    severity: Literal["refused", "flagged"] = "refused"


def collect(graph: Graph, rule: Rule, flags: Rule | None = None) -> tuple[Refusal, ...]:
    """Ask the rules about every operator of a file."""
    found: list[Refusal] = []
    for number, subgraph in enumerate(graph.subgraphs):
        for operator in subgraph.operators:
            first = next(iter(present(subgraph.outputs_of(operator))), None)
            place = (number, operator.index, operator.name, first.name if first else "")
            found += [Refusal(*place, reason) for reason in rule(subgraph, operator)]
            if flags is not None:
                found += [Refusal(*place, text, "flagged") for text in flags(subgraph, operator)]
    return tuple(found)


def present(tensors: tuple[Tensor | None, ...]) -> list[Tensor]:
    """Return the tensors that are not left out."""
    return [tensor for tensor in tensors if tensor is not None]


def shape_text(tensor: Tensor) -> str:
    """Return a shape as people write it: ``1x?x64``."""
    if tensor.shape is None:
        return "of unknown shape"
    return "x".join("?" if size is None else str(size) for size in tensor.shape) or "scalar"


def label(tensor: Tensor) -> str:
    """Return what to call a tensor in a sentence."""
    return (
        f"{tensor.name!r} ({shape_text(tensor)})"
        if tensor.name
        else f"a {shape_text(tensor)} tensor"
    )
