"""Functions that an ONNX file defines for itself, written out in line."""

from __future__ import annotations

from typing import Any

from onnx import inliner

#: Operators beyond which functions are left as they are: each may call two others, and so on.
_MOST_OPERATORS = 200_000


def written_out(model: Any, remarks: list[str]) -> Any:
    """Return the model without functions of its own.

    Args:
        model: a ``ModelProto``.
        remarks: what is odd is added here.
    """
    if not model.functions:
        return model
    count = _operators(model)
    if count is None or count > _MOST_OPERATORS:
        remarks.append("its functions call themselves or grow without end: they are not read")
        return model
    return inliner.inline_local_functions(model)


def _operators(model: Any) -> int | None:
    """Return how many operators there are once every call is written out; None: endless."""
    bodies = {(one.domain, one.name): one.node for one in model.functions}
    known: dict[tuple[str, str], int] = {}
    open_calls: set[tuple[str, str]] = set()

    def size(nodes: Any) -> int:
        return sum(called((node.domain, node.op_type)) for node in nodes)

    def called(key: tuple[str, str]) -> int:
        if key not in bodies:
            return 1
        if key in open_calls:
            raise RecursionError
        if key not in known:
            open_calls.add(key)
            known[key] = size(bodies[key])
            open_calls.discard(key)
        return known[key]

    try:
        return size(model.graph.node)
    except RecursionError:
        return None
