"""The parts of an inspection, from the graph of a file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from edgekd.modelfile.graph import Graph, Tensor
from edgekd.modelfile.macs import MacCount
from edgekd.modelfile.precision import precisions
from edgekd.modelfile.refusal import Refusal
from edgekd.modelfile.weights import Weights
from edgekd.records import TensorSpec
from edgekd.records_modelfile import (
    HardwareFit,
    OperatorDetail,
    OperatorKind,
    QuantizationFound,
    RefusedKind,
    TensorDetail,
)

_COMPUTE = ("float", "hybrid")


def specs(tensors: Sequence[Tensor], told: Sequence[TensorSpec]) -> tuple[TensorSpec, ...]:
    """Return the ports of a file, with what its metadata says of them."""
    layouts = {port.name: port.layout for port in told}
    return tuple(
        TensorSpec(
            name=tensor.name,
            shape=tensor.shape or (),
            dtype=tensor.dtype,
            layout=layouts.get(tensor.name),
            scale=_first(tensor.quantization.scales) if tensor.quantization else None,
            zero_point=_zero_point(tensor),
        )
        for tensor in tensors
    )


def _first(values: Sequence[float]) -> float | None:
    return values[0] if values else None


def _zero_point(tensor: Tensor) -> int | None:
    known = tensor.quantization
    if known is None:
        return None
    return known.zero_points[0] if known.zero_points else 0


def kinds(graph: Graph, counted: MacCount) -> tuple[OperatorKind, ...]:
    """Return the operators of the file by name, those that take most first."""
    count: Counter[str] = Counter()
    taken: dict[str, list[int | None]] = {}
    floating: Counter[str] = Counter()
    for number, subgraph in enumerate(graph.subgraphs):
        found = precisions(graph, subgraph)
        for operator, precision in zip(subgraph.operators, found, strict=True):
            count[operator.name] += 1
            floating[operator.name] += precision in _COMPUTE
            if number == 0:
                taken.setdefault(operator.name, []).append(counted.by_operator[operator.index])
    rows = []
    for name, amount in count.items():
        each = taken.get(name, [])
        known = sum(macs or 0 for macs in each)
        rows.append(
            OperatorKind(
                name=name,
                count=amount,
                macs=None if None in each else known,
                share=known / counted.total if counted.total else 0.0,
                floating=floating[name],
            )
        )
    return tuple(sorted(rows, key=lambda row: (-row.share, -row.count, row.name)))


def operators(graph: Graph, counted: MacCount) -> tuple[OperatorDetail, ...]:
    """Return every operator in the order of the file."""
    rows = []
    for number, subgraph in enumerate(graph.subgraphs):
        found = precisions(graph, subgraph)
        for operator, precision in zip(subgraph.operators, found, strict=True):
            outputs = subgraph.outputs_of(operator)
            rows.append(
                OperatorDetail(
                    index=operator.index,
                    subgraph=number,
                    name=operator.name,
                    version=operator.version,
                    label=operator.label,
                    inputs=tuple(one.name if one else "" for one in subgraph.inputs_of(operator)),
                    outputs=tuple(one.name if one else "" for one in outputs),
                    output_shape=outputs[0].shape if outputs and outputs[0] else None,
                    precision=precision,
                    macs=counted.by_operator[operator.index] if number == 0 else None,
                )
            )
    return tuple(rows)


def tensors(graph: Graph) -> tuple[TensorDetail, ...]:
    """Return every tensor in the order of the file."""
    return tuple(
        TensorDetail(
            index=index,
            subgraph=number,
            name=tensor.name,
            shape=tensor.shape,
            dtype=tensor.dtype,
            stored_bytes=tensor.stored_bytes,
            scales=len(tensor.quantization.scales) if tensor.quantization else 0,
            scale=_first(tensor.quantization.scales) if tensor.quantization else None,
            zero_point=_zero_point(tensor),
            axis=tensor.quantization.axis if tensor.quantization else None,
        )
        for number, subgraph in enumerate(graph.subgraphs)
        for index, tensor in enumerate(subgraph.tensors)
    )


def quantization(graph: Graph, weights: Weights) -> QuantizationFound:
    """Say how a file computes."""
    floating: Counter[str] = Counter()
    seen: Counter[str] = Counter()
    channels: Counter[bool] = Counter()
    for subgraph in graph.subgraphs:
        found = precisions(graph, subgraph)
        for operator, precision in zip(subgraph.operators, found, strict=True):
            seen[precision] += 1
            if precision in _COMPUTE:
                floating[operator.name] += 1
        for tensor in subgraph.tensors:
            known = tensor.quantization
            if tensor.constant and known is not None and tensor.dtype not in ("int32", "int64"):
                channels[known.per_channel] += 1
    return QuantizationFound(
        scheme=_scheme(seen, weights),
        floating=dict(floating.most_common()),
        integer=seen["integer"],
        weight_bytes=dict(sorted(weights.by_type.items(), key=lambda one: -one[1])),
        per_channel=channels[True],
        per_tensor=channels[False],
    )


def _scheme(seen: Counter[str], weights: Weights) -> str:
    """Return edgekd's name for what a file does, as far as there is one."""
    if seen["integer"]:
        return "mixed" if seen["float"] or seen["hybrid"] else "int8"
    if seen["hybrid"]:
        return "int8-dynamic"
    stored = sum(weights.by_type.values())
    if stored and weights.by_type.get("float16", 0) > stored / 2:
        return "fp16"
    small = sum(weights.by_type.get(name, 0) for name in ("int8", "uint8", "int4"))
    if stored and small > stored / 2:
        return "int8-weight-only"
    return "none"


def fit(
    graph: Graph, source: str, ask: Callable[[Graph], tuple[Refusal, ...]]
) -> HardwareFit | None:
    """Say what some hardware would refuse; None where files of this format never reach it."""
    if graph.format != "tflite":
        return None
    found = ask(graph)
    reasons: Counter[tuple[str, str, str]] = Counter(
        (one.name, one.reason, one.severity) for one in found
    )
    by_severity = {
        severity: len({(one.subgraph, one.operator) for one in found if one.severity == severity})
        for severity in ("refused", "flagged")
    }
    return HardwareFit(
        source=source,
        operators=sum(len(subgraph.operators) for subgraph in graph.subgraphs),
        refused=by_severity["refused"],
        flagged=by_severity["flagged"],
        reasons=tuple(
            RefusedKind(
                name=name,
                count=count,
                reason=reason,
                severity="refused" if severity == "refused" else "flagged",
            )
            for (name, reason, severity), count in reasons.most_common()
        ),
    )
