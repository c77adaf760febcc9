"""The oldest runtime that runs a file right, and what tflite-runtime 2.14 would do with it.

The version that is stamped on an operator decides whether a runtime loads it, not whether it
computes it: ai-edge-quantizer leaves the stamps of the float file. So the types and the scales of
each operator are looked at as well (`needed_versions`, `old_faults`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from edgekd.modelfile.graph import Graph, Operator, Subgraph
from edgekd.modelfile.needed_versions import needed_version
from edgekd.modelfile.old_faults import Fault, Kind, faults_of
from edgekd.modelfile.reading import read
from edgekd.modelfile.runtime_versions import (
    LEGACY,
    MACHINE_LEARNING,
    STANDARD,
    Release,
    first_onnxruntime,
    first_onnxruntime_of_format,
    first_release,
)

#: Custom operators that every build of TensorFlow Lite brings along.
_BUNDLED = ("AudioSpectrogram", "Mfcc", "NumericVerify", "TFLite_Detection_PostProcess")

_STAMPED = "export with --profile pi-legacy, or run it in a newer runtime"


@dataclass(frozen=True)
class Finding:
    """One operator that tflite-runtime 2.14.0 would not run, or run wrongly.

    Attributes:
        kind: ``garbage``: it runs and the numbers are wrong; ``refused``: it stops with an error.
        subgraph: number of its subgraph.
        operator: its place in the subgraph.
        name: e.g. ``FULLY_CONNECTED``.
        tensor: name of the tensor at fault; may be empty.
        what: what is wrong, as part of a sentence.
        advice: what to do.
    """

    kind: Kind
    subgraph: int
    operator: int
    name: str
    tensor: str
    what: str
    advice: str

    def __str__(self) -> str:
        """Return it as a sentence: ``garbage in 2.14: operator 3 FULLY_CONNECTED: ...``."""
        tensor = f" ({self.tensor})" if self.tensor else ""
        kind = "garbage" if self.kind == "garbage" else "refused"
        return (
            f"{kind} in {LEGACY.version}: operator {self.operator} {self.name}{tensor}: {self.what}"
        )


@dataclass(frozen=True)
class Oldest:
    """The oldest runtime for a file.

    Attributes:
        runtime: ``TensorFlow Lite``, ``LiteRT`` or ``onnxruntime``.
        version: of the oldest release known to run it right; None where none is known.
        loads: the oldest that would load it, by what is stamped on it; None where none is known.
        findings: what tflite-runtime 2.14.0 would do with it; empty for ONNX files.
    """

    runtime: str
    version: str | None
    loads: str | None
    findings: tuple[Finding, ...] = ()


def guard(source: Graph | bytes) -> tuple[Finding, ...]:
    """Return what tflite-runtime 2.14.0 would refuse, or compute wrongly without a word.

    An empty answer means that no operator is known to be wrong there. ONNX files give none.

    Args:
        source: a graph, or the bytes of a file.

    Raises:
        ModelFileError: the bytes are no model file.
    """
    graph = source if isinstance(source, Graph) else read(source)
    if graph.format != "tflite":
        return ()
    return tuple(
        finding
        for number, subgraph in enumerate(graph.subgraphs)
        for operator in subgraph.operators
        for finding in _findings(number, subgraph, operator)
    )


def oldest(source: Graph | bytes) -> Oldest:
    """Return the oldest runtime that runs a file right.

    Args:
        source: a graph, or the bytes of a file.

    Raises:
        ModelFileError: the bytes are no model file.
    """
    graph = source if isinstance(source, Graph) else read(source)
    if graph.format == "onnx":
        return _oldest_onnxruntime(graph)
    stamped = [_stamped(operator) for _, operator in graph.walk()]
    right = [found for place in graph.walk() for found in _right(*place)]
    loads, runs = _newest(stamped), _newest([*stamped, *right])
    return Oldest(
        runtime=(runs or loads or LEGACY).runtime,
        version=None if runs is None else runs.version,
        loads=None if loads is None else str(loads),
        findings=guard(graph),
    )


def _findings(number: int, subgraph: Subgraph, operator: Operator) -> Iterator[Finding]:
    place = (number, operator.index, operator.name)
    stamped = _stamped(operator)
    if stamped is None or stamped > LEGACY:
        what = "no runtime knows it" if stamped is None else f"{stamped} brought it"
        if not operator.custom:
            what = f"version {operator.version}: {what}"
        yield Finding("refused", *place, "", what, _STAMPED)
        return
    faults = faults_of(subgraph, operator)
    for fault in faults[:1]:  # the first is the most special; the others would repeat it
        yield Finding(
            fault.kind, *place, _tensor(subgraph, operator, fault), fault.what, fault.advice
        )
    needed = None if operator.custom else _needed(subgraph, operator)
    if not faults and needed is not None and needed > LEGACY:
        what = f"its types need what {needed} brought, whatever is stamped on it"
        yield Finding("refused", *place, "", what, _STAMPED)


def _stamped(operator: Operator) -> Release | None:
    """Return the first release that loads an operator."""
    if operator.custom:
        return first_release("ADD", 1) if operator.name in _BUNDLED else None
    return first_release(operator.name, operator.version)


def _needed(subgraph: Subgraph, operator: Operator) -> Release | None:
    return first_release(operator.name, needed_version(subgraph, operator))


def _right(subgraph: Subgraph, operator: Operator) -> list[Release | None]:
    """Return the releases before which an operator is not computed right."""
    if operator.custom:
        return []
    return [_needed(subgraph, operator), *(f.since for f in faults_of(subgraph, operator)[:1])]


def _tensor(subgraph: Subgraph, operator: Operator, fault: Fault) -> str:
    inputs = subgraph.inputs_of(operator)
    found = inputs[fault.position] if fault.position < len(inputs) else None
    return "" if found is None else found.name


def _newest(releases: Iterable[Release | None]) -> Release | None:
    """Return the newest; None where one is not known, or there is none."""
    found = list(releases)
    known = [release for release in found if release is not None]
    return max(known) if known and len(known) == len(found) else None


def _oldest_onnxruntime(graph: Graph) -> Oldest:
    demands = [first_onnxruntime_of_format(graph.version)]
    demands += [
        first_onnxruntime(domain, version)
        for domain, version in graph.opsets.items()
        if domain in (STANDARD, MACHINE_LEARNING)
    ]
    found = _newest(demands) if graph.opsets else None
    version = None if found is None else found.version
    return Oldest("onnxruntime", version, None if found is None else str(found))
