"""For devices without floating point: no operator of a file may compute in float."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from edgekd.errors import ExportError
from edgekd.export.plan import Plan
from edgekd.quantize.schemes import INT8

_MOST = 6


def check_integers(
    content: bytes, source: bytes, layers: Sequence[str | None], profile: str
) -> None:
    """Refuse a quantized file in which operators compute in float.

    Args:
        content: the quantized TFLite file, before its tensors lose their names.
        source: the float file that it was made of.
        layers: the layer of every operator of the float file.
        profile: what the file is for.

    Raises:
        ExportError: names the operators and the layers that they come from.
    """
    from edgekd.quantize.flatbuffer import floats_in, read
    from edgekd.quantize.litert import tensor_name

    graph = read(source).subgraphs[0]
    outer = {int(index) for index in graph.outputs}
    places = {
        bytes(graph.tensors[index].name) if index in outer else tensor_name(0, index): place
        for place, operator in enumerate(graph.operators)
        for index in operator.outputs
    }
    found: dict[str, set[str]] = defaultdict(set)
    for name, output in floats_in(content):
        layer = layers[places[output]] if output in places else None
        found[name].add(layer or "outside any layer")
    if not found:
        return
    listed = [f"{name} ({_some(found[name])})" for name in sorted(found)]
    raise ExportError(
        f"--profile {profile} takes integers only; these operators stay in float: "
        f"{', '.join(listed)}",
        hint="Replace them in the network by operators that have integer kernels, or export for "
        "--profile cpu.",
    )


def _some(layers: set[str]) -> str:
    named = sorted(layers)
    more = len(named) - _MOST
    return ", ".join(named[:_MOST]) + (f" and {more} more" if more > 0 else "")


def int8_notes(content: bytes, plan: Plan) -> tuple[str, ...]:
    """Say whether everything in an int8 TFLite file computes in integers, or what does not."""
    if plan.scheme != INT8:
        return ()
    from edgekd.quantize.flatbuffer import float_operators

    names, total = float_operators(content)
    if not names:
        io = plan.io or "int8"
        return (f"every operator computes in 8-bit integers; input and output are {io}",)
    counted = ", ".join(f"{count} {name}" for name, count in sorted(Counter(names).items()))
    return (f"{len(names)} of {total} operators stay in float32: {counted}",)
