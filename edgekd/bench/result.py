"""From the agent's reply to the `Measurement`: its figures, its gaps, its warnings."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from edgekd import provenance
from edgekd.bench import figures
from edgekd.bench.devices import Device
from edgekd.bench.null_memory import Nulls
from edgekd.bench.remarks import remarks
from edgekd.bench.reply import Reply
from edgekd.bench.scores import Scores
from edgekd.bench.settings import Settings
from edgekd.bench.subjects import Subject
from edgekd.errors import EdgekdError
from edgekd.modelfile.counts import counts
from edgekd.records import Measurement, TensorSpec
from edgekd.rundir import sha256_file
from edgekd.transports.base import Transport


@dataclass(frozen=True)
class Bench:
    """A device, reached, and how to measure on it; ``nulls`` is filled by `null_memory`."""

    device: Device
    transport: Transport
    settings: Settings
    nulls: Nulls = field(default_factory=dict)


def record(
    subject: Subject,
    bench: Bench,
    threads: int,
    reply: dict[str, Any],
    reached: Scores,
    outputs: tuple[TensorSpec, ...],
    seconds: float,
) -> Measurement:
    """Return the record of a file that was measured.

    Args:
        subject: the file.
        bench: where.
        threads: threads of the runtime.
        reply: what the agent said.
        reached: accuracy and agreement.
        outputs: the specs of the file's outputs.
        seconds: how long all of it took.
    """
    told = Reply.model_validate(reply)
    device = bench.device
    memory = figures.memory(told.memory, bench.nulls.get((str(subject.kind), threads)))
    parameters, macs, unknown = facts_of(subject)
    unknown |= reached.unknown | figures.untimed(told, device)
    if memory is None:
        unknown["peak_rss_bytes"] = "the device has no /proc/self/status to read it from"
    latency = None if device.emulated else figures.latency(told.latency)
    energy, no_energy = figures.energy(told, device, latency)
    if no_energy is not None:
        unknown["energy"] = no_energy
    return Measurement(
        status="ok",
        device=device.name,
        artifact=subject.name,
        path=str(subject.path),
        model_sha256=told.model_sha256,
        size_bytes=subject.path.stat().st_size,
        parameters=parameters,
        macs=macs,
        runtime=told.runtime,
        runtime_version=told.version,
        threads=threads,
        inputs=tuple(told.inputs) if subject.artifact is None else subject.artifact.manifest.inputs,
        outputs=outputs,
        latency=latency,
        memory=memory,
        accuracy=reached.accuracy,
        agreement=reached.agreement,
        samples=reached.samples,
        test_samples=reached.of,
        emulated=device.emulated,
        scenario="offline" if told.throughput else "single-stream",
        instructions=figures.instructions(told),
        energy=energy,
        throughput=None if device.emulated else figures.throughput(told),
        soak=None if device.emulated else figures.soak(told),
        throttled=None if device.emulated else told.throttling.throttled,
        unknown=unknown,
        warnings=tuple(remarks(told, device, bench.settings, threads)),
        environment=_environment(told),
        parents=parents(subject),
        provenance=provenance.collect(wall_seconds=round(seconds, 3)),
    )


def _environment(told: Reply) -> dict[str, Any]:
    """Return what a person may want to look up: everything the reply tells beside the figures."""
    return {
        **told.environment.model_dump(),
        "pinned_cores": told.cores,
        "python": told.python,
        "machine": told.machine,
        "skipped_runtimes": told.skipped,
        "timed_every": told.latency.every if told.latency else None,
        "memory": told.memory.model_dump(),
        "cooled": told.cooled.model_dump(),
        "readings": [reading.model_dump() for reading in told.readings],
        "throttling": told.throttling.reasons,
        "output_sha256": told.output_sha256,
        "scored_sha256": [part.sha256 for part in told.scored],
    }


def failed(subject: Subject, bench: Bench, threads: int, error: EdgekdError) -> Measurement:
    """Return the record of a file that could not be measured."""
    exists = subject.path.is_file()
    return Measurement(
        status="failed",
        device=bench.device.name,
        artifact=subject.name,
        path=str(subject.path),
        model_sha256=sha256_file(subject.path) if exists else None,
        size_bytes=subject.path.stat().st_size if exists else None,
        threads=threads,
        emulated=bench.device.emulated,
        error=str(error),
        parents=parents(subject),
        provenance=provenance.collect(),
    )


def parents(subject: Subject) -> dict[str, str]:
    """Return the hashes of the manifests that a file descends from."""
    found = {}
    if subject.run is not None:
        found["run"] = subject.run.manifest_sha256
    if subject.artifact is not None:
        found["artifact"] = sha256_file(subject.artifact.directory / "manifest.json")
    return found


def facts_of(subject: Subject) -> tuple[int | None, int | None, dict[str, str]]:
    """Return parameters, multiply-accumulates, and why one of them is not known.

    Of a network where one is known, and of a bare file from the file itself.
    """
    if subject.facts is not None:
        unknown = {}
        if subject.facts.macs is None:
            unknown["macs"] = "PyTorch's counter does not see its operations"
        return subject.facts.parameters, subject.facts.macs, unknown
    found = counts(subject.path, str(subject.kind))
    return found.parameters, found.macs, dict(found.unknown)
