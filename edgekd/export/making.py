"""One file: made, marked, proved, and described."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from edgekd import provenance
from edgekd.errors import ExportError
from edgekd.export.exporter import Exported, Exporter
from edgekd.export.layers import PREPROCESS
from edgekd.export.marked import facts_of, finish
from edgekd.export.parity import HeldOut, Limits
from edgekd.export.plan import Plan
from edgekd.export.ports import Arrays
from edgekd.export.prepare import Prepared, count, prepare
from edgekd.export.proof import Proof, prove
from edgekd.export.qat import trained_for_int8
from edgekd.export.rewriting import written
from edgekd.export.source import Source
from edgekd.export.spectra import stays_float
from edgekd.export.surface import Surface, surface
from edgekd.quantize.schemes import INT8
from edgekd.records import ArtifactManifest, Calibration
from edgekd.rundir import file_record

#: Whose versions a manifest tells, where they are installed.
_PACKAGES = (
    "torch",
    "litert-torch",
    "litert-converter",
    "ai-edge-quantizer",
    "ai-edge-litert",
    "onnx",
    "onnxscript",
    "onnxruntime",
    "executorch",
    "tensorflow",
    "keras",
)


@dataclass(frozen=True)
class Task:
    """What to make a file of, and how.

    Attributes:
        source: the network.
        plan: how the file is to be made.
        exporter: what makes it.
        name: what the artifact is called.
        limits: what is still taken for equal.
        held_out: the most samples to compare on.
        seed: decides which samples are used.
    """

    source: Source
    plan: Plan
    exporter: Exporter
    name: str
    limits: Limits
    held_out: int
    seed: int


@dataclass(frozen=True, eq=False)
class Ready:
    """All that a converter needs, and the samples that its file is held against.

    Attributes:
        source: the network as it is converted.
        plan: how, with the ranges that training for int8 has learned.
        prepared: the network's copy.
        surface: the network as the file is to show it.
        held_out: samples to compare on.
        ranges: samples that set int8 ranges, for schemes that need them.
        record: which these are.
    """

    source: Source
    plan: Plan
    prepared: Prepared
    surface: Surface
    held_out: HeldOut
    ranges: Arrays | None
    record: Calibration | None


def ready(task: Task) -> Ready:
    """Load the samples and prepare the network.

    Raises:
        EdgekdError: the data cannot be used, or the network fails on it.
    """
    source, plan = trained_for_int8(task.source, task.plan, task.seed)
    if plan.embed_preprocess:
        source = source.embed_preprocess(uint8=plan.io == "uint8" and plan.scheme != INT8)
    ranges, record = None, None
    if plan.scheme.calibrated:
        ranges, record = source.calibration(plan.calibration, task.seed)
    held_out = source.held_out(task.held_out, task.seed)
    prepared = prepare(source.model, _example(held_out.inputs))
    shown = _surface(written(prepared, plan.scheme), task.exporter, plan)
    plan = _with_float_steps(plan, shown)
    return Ready(source, plan, prepared, shown, held_out, ranges, record)


def make(task: Task, folder: Path) -> tuple[Path, ArtifactManifest]:
    """Make a file, and say in its manifest whether it does what the network does.

    Args:
        task: what to make.
        folder: where to write.

    Raises:
        EdgekdError: it cannot be made, or does not run.
    """
    started = time.perf_counter()
    found = ready(task)
    source, shown, compared, prepared = found.source, found.surface, found.held_out, found.prepared
    plan = replace(found.plan, facts=facts_of(source, found.plan, found.record))
    exported = task.exporter.export(shown, plan, calibration=found.ranges, directory=folder)
    exported = finish(exported, shown, plan)
    if source.reference is not None:
        prepared = prepare(source.reference, _example(compared.inputs))
    proof = prove(
        exported, task.exporter.runtime, prepared, shown, compared, plan.scheme, task.limits
    )
    seconds = time.perf_counter() - started
    return exported.path, _manifest(task, source, exported, proof, found.record, seconds)


def _manifest(
    task: Task,
    source: Source,
    exported: Exported,
    proof: Proof,
    record: Calibration | None,
    seconds: float,
) -> ArtifactManifest:
    plan = task.plan
    return ArtifactManifest(
        name=task.name,
        target=plan.target,
        quantize=plan.scheme.name,
        profile=plan.profile.name,
        io=plan.io,
        embed_preprocess=plan.embed_preprocess,
        keep_float=plan.keep_float,
        exit=source.exit,
        segment=source.segment,
        file=exported.path.name,
        inputs=proof.inputs,
        outputs=proof.outputs,
        preprocess=source.preprocess,
        classes=source.classes,
        model=source.facts(),
        calibration=record,
        parity=proof.parity,
        notes=(*exported.notes, *proof.notes),
        parents=source.parents,
        files={exported.path.name: file_record(exported.path)},
        provenance=provenance.collect(seed=task.seed, packages=_PACKAGES, wall_seconds=seconds),
    )


def _with_float_steps(plan: Plan, shown: Surface) -> Plan:
    """Keep the steps before the network in float where 8 bits would not hold their values.

    Raises:
        ExportError: raw samples were asked for as integers, which such steps do not take.
    """
    if not plan.embed_preprocess or not plan.scheme.lossy or not stays_float(shown.model):
        return plan
    if plan.io in ("int8", "uint8"):
        raise ExportError(
            f"--embed-preprocess --io {plan.io}: the transforms of this input compute in float32, "
            "of float32 samples",
            hint="Leave out --io, or leave out --embed-preprocess and compute them on the device.",
        )
    return replace(plan, keep_float=(*plan.keep_float, PREPROCESS))


def _example(samples: Arrays) -> Arrays:
    """Return two samples; a split of one gives it twice."""
    rows = np.resize(np.arange(count(samples)), 2)
    return {name: values[rows] for name, values in samples.items()}


def _surface(prepared: Prepared, exporter: Exporter, plan: Plan) -> Surface:
    batch = exporter.batch if plan.batch is None else plan.batch or None
    return surface(
        prepared,
        layout=plan.layout or exporter.image_layout,
        batch=batch,
        free_axis=plan.free_axis,
    )
