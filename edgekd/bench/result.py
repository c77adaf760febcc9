"""From the agent's reply to the `Measurement`: its figures, its gaps, its warnings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edgekd import provenance
from edgekd.bench import facts, stats
from edgekd.bench.devices import Device
from edgekd.bench.protocol import Settings
from edgekd.bench.scores import Scores
from edgekd.bench.subjects import Subject
from edgekd.errors import EdgekdError
from edgekd.records import Measurement, Memory, TensorSpec
from edgekd.rundir import sha256_file
from edgekd.transports.base import Transport

#: Above this share of its cores, a machine is busy with something else.
_BUSY = 0.75


@dataclass(frozen=True)
class Bench:
    """A device, reached, and how to measure on it."""

    device: Device
    transport: Transport
    settings: Settings


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
    memory = _memory(reply["memory"])
    parameters, macs, unknown = _facts(subject)
    unknown |= reached.unknown
    if memory is None:
        unknown["peak_rss_bytes"] = "the device has no /proc/self/status to read it from"
    latency = reply["latency"]
    given = tuple(TensorSpec.model_validate(spec) for spec in reply["inputs"])
    return Measurement(
        status="ok",
        device=bench.device.name,
        artifact=subject.name,
        path=str(subject.path),
        model_sha256=reply["model_sha256"],
        size_bytes=subject.path.stat().st_size,
        parameters=parameters,
        macs=macs,
        runtime=reply["runtime"],
        runtime_version=reply["version"],
        threads=threads,
        inputs=given if subject.artifact is None else subject.artifact.manifest.inputs,
        outputs=outputs,
        latency=stats.summarise(
            latency["raw_ms"],
            load_ms=latency["load_ms"],
            first_ms=latency["first_ms"],
            warmup_runs=latency["warmup_runs"],
        ),
        memory=memory,
        accuracy=reached.accuracy,
        agreement=reached.agreement,
        samples=reached.samples,
        emulated=bench.device.emulated,
        unknown=unknown,
        warnings=tuple(_warnings(bench, threads, reply)),
        environment={
            **reply["environment"],
            "pinned_cores": reply["cores"],
            "python": reply["python"],
            "machine": reply["machine"],
            "skipped_runtimes": reply["skipped"],
            "timed_every": latency["every"],
            "memory": reply["memory"],
        },
        parents=parents(subject),
        provenance=provenance.collect(wall_seconds=round(seconds, 3)),
    )


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


def _facts(subject: Subject) -> tuple[int | None, int | None, dict[str, str]]:
    """Return parameters, multiply-accumulates, and why one of them is not known."""
    if subject.facts is not None:
        unknown = {}
        if subject.facts.macs is None:
            unknown["macs"] = "PyTorch's counter does not see its operations"
        return subject.facts.parameters, subject.facts.macs, unknown
    count, reason = facts.parameters(subject.path, str(subject.kind))
    unknown = {"macs": "a bare file: they are counted in networks, not in files"}
    if reason is not None:
        unknown["parameters"] = reason
    return count, None, unknown


def _memory(stages: dict[str, Any]) -> Memory | None:
    """Return what the model added, or None where the device does not tell."""
    before, after = stages["imported"], stages["ran"]
    if "peak" not in before or "peak" not in after:
        return None
    anonymous = None
    if "anonymous" in before and "anonymous" in after:
        anonymous = after["anonymous"] - before["anonymous"]
    return Memory(
        peak_rss_bytes=after["peak"] - before["peak"],
        anonymous_bytes=anonymous,
        process_peak_rss_bytes=max(stages["before_reset"]["peak"], after["peak"]),
    )


def _warnings(bench: Bench, threads: int, reply: dict[str, Any]) -> list[str]:
    """Say what may have spoilt the figures."""
    device, before = bench.device, reply["environment"]["before"]
    found = []
    if device.emulated:
        found.append("emulated: the latency says nothing about a real device")
    if device.arch not in (None, reply["machine"]):
        found.append(f"the device is {reply['machine']}, its profile says {device.arch}")
    if device.governor not in (None, before["governor"]):
        found.append(f"the governor is {before['governor']}, the profile wants {device.governor}")
    limit, heat = device.max_temperature, before["temperature_c"]
    if limit is not None and heat is not None and heat > limit:
        found.append(f"it stayed at {heat:.0f} C, above the profile's {limit:.0f} C")
    load, cores = before["load"], before["cores"]
    if load and cores and load[0] > _BUSY * cores:
        found.append(f"the machine was busy (load {load[0]:.1f} on {cores} cores)")
    if bench.settings.pin and threads == 1 and not reply["cores"]:
        found.append("it could not be bound to one core: latency varies more")
    if len(reply["latency"]["raw_ms"]) < bench.settings.min_runs:
        found.append(f"only {len(reply['latency']['raw_ms'])} inferences fitted into the time")
    if reply["memory"]["method"] != "reset":
        found.append("peak memory may be too low: an earlier peak hides that of the model")
    return found
