"""What a finished file says of itself, and what is looked at in it before it is proved."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from importlib.metadata import version

from edgekd.errors import ExportError
from edgekd.export.exporter import Exported
from edgekd.export.facts import FileFacts
from edgekd.export.plan import Plan
from edgekd.export.source import Source
from edgekd.export.surface import Surface
from edgekd.modelfile import mcu, npu
from edgekd.modelfile.graph import Graph
from edgekd.modelfile.metadata import write
from edgekd.modelfile.oldest import Finding, guard
from edgekd.modelfile.reading import read
from edgekd.modelfile.refusal import Refusal
from edgekd.records import Calibration, TensorSpec
from edgekd.records_modelfile import FileMetadata

#: Formats that can be written into, and that there are rules for.
_READ = (".tflite", ".onnx")

_MOST = 4


def facts_of(source: Source, plan: Plan, record: Calibration | None) -> FileFacts:
    """Return what is known of a file before it is made.

    Args:
        source: what it is made of.
        plan: what was asked for.
        record: which samples set its ranges.
    """
    preprocess = source.dataset.preprocess if source.embedded and source.dataset else None
    metadata = FileMetadata(
        edgekd=version("edgekd"),
        model=source.name,
        target=plan.target,
        scheme=plan.scheme.name,
        profile=plan.profile.name,
        labels=source.classes,
        calibration=record,
        recipe_sha256=source.recipe_sha256,
        parents=source.parents,
        licence=source.licence,
    )
    return FileFacts(metadata, preprocess or source.preprocess, source.embedded)


def finish(exported: Exported, surface: Surface, plan: Plan) -> Exported:
    """Write what a file is into it, and look for what its devices would not take.

    Args:
        exported: the file; it is replaced.
        surface: how it shows the network.
        plan: what was asked for, and what is known of the file.

    Returns:
        The same file, with what an old runtime would do wrong among its notes.

    Raises:
        ExportError: the profile does not allow what stands in the file.
    """
    if exported.path.suffix not in _READ:
        return exported
    graph = read(exported.path)
    _check_hardware(graph, plan)
    notes = _check_old_runtime(guard(graph), plan)
    if plan.facts is not None:
        ports = (_specs(graph, surface, inputs=side) for side in (True, False))
        write(exported.path, plan.facts.of(*ports))
    return replace(exported, notes=(*exported.notes, *notes))


def _specs(graph: Graph, surface: Surface, *, inputs: bool) -> Iterator[TensorSpec]:
    """Yield what the file takes or gives, under the names that its signature has for it."""
    names: dict[int, str] = {}
    for signature in graph.signatures[:1]:
        found: Mapping[str, int] = signature.inputs if inputs else signature.outputs
        names = {index: name for name, index in found.items()}
    for index in graph.main.inputs if inputs else graph.main.outputs:
        tensor = graph.main.tensors[index]
        name = names.get(index, tensor.name)
        known = tensor.quantization
        yield TensorSpec(
            name=name,
            shape=tensor.shape or (),
            dtype=tensor.dtype,
            layout=surface.layouts.get(name),
            scale=known.scales[0] if known and known.scales else None,
            zero_point=(known.zero_points or (0,))[0] if known and known.scales else None,
        )


def _check_old_runtime(findings: tuple[Finding, ...], plan: Plan) -> tuple[str, ...]:
    if not findings:
        return ()
    listed = "; ".join(str(finding) for finding in findings[:_MOST])
    more = f"; and {len(findings) - _MOST} more" if len(findings) > _MOST else ""
    if plan.profile.old_runtime:
        raise ExportError(
            f"--profile {plan.profile.name}: {listed}{more}",
            hint="Leave these layers in float: --keep-float LAYER, or take another --quantize.",
        )
    return (f"not for old runtimes: {listed}{more}",)


def _check_hardware(graph: Graph, plan: Plan) -> None:
    if not plan.profile.integers_only:
        return
    refused = (npu if plan.profile.checks_npu else mcu).refused(graph)
    found = [one for one in refused if one.severity == "refused"]
    if found:
        where = npu.SOURCE if plan.profile.checks_npu else mcu.SOURCE
        raise ExportError(
            f"--profile {plan.profile.name}: not for {where}: {_listed(found)}",
            hint="Replace them in the network, or export for --profile cpu.",
        )


def _listed(refused: list[Refusal]) -> str:
    counts = Counter((one.name, one.reason) for one in refused)
    return "; ".join(
        f"{number} {name}: {reason}" for (name, reason), number in counts.most_common(_MOST)
    )
