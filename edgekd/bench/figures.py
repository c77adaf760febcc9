"""From parts of the agent's reply to parts of a record: memory, energy, throughput, drift."""

from __future__ import annotations

from statistics import median

from edgekd.bench.devices import Device
from edgekd.bench.reply import MemoryNow, MemoryStages, Reply, Timed
from edgekd.bench.stats import summarise
from edgekd.records import Latency, Memory
from edgekd.records_bench import InferenceEnergy, Instructions, Soak, Throughput

#: A thousandth, for milliseconds times watts.
_MILLI = 1e-3


def latency(told: Timed | None) -> Latency | None:
    """Return the figures of the timed inferences.

    Raises:
        MeasurementError: the device's clock is broken.
    """
    if told is None:
        return None
    return summarise(
        told.raw_ms,
        load_ms=told.load_ms,
        first_ms=told.first_ms,
        warmup_runs=told.warmup_runs,
    )


def memory(stages: MemoryStages, null: MemoryStages | None) -> Memory | None:
    """Return what the model added, or None where the device does not tell.

    Args:
        stages: of the model.
        null: of a model that does nothing, in the same runtime; None: it was not measured.
    """
    raw = _peak_growth(stages)
    peak = stages.ran.peak
    if raw is None or peak is None:
        return None
    nothing = None if null is None else _peak_growth(null)
    anonymous = _growth("anonymous", stages, stages.ran)
    none = None if null is None else _growth("anonymous", null, null.ran)
    return Memory(
        peak_rss_bytes=max(raw - (nothing or 0), 0),
        anonymous_bytes=None if anonymous is None else max(anonymous - (none or 0), 0),
        process_peak_rss_bytes=max(stages.before_reset.peak or 0, peak),
        raw_peak_rss_bytes=raw,
        raw_anonymous_bytes=anonymous,
        loaded_anonymous_bytes=_growth("anonymous", stages, stages.loaded),
        null_peak_rss_bytes=nothing,
        null_anonymous_bytes=none,
    )


def _peak_growth(stages: MemoryStages) -> int | None:
    """Return how far the high-water mark rose above what was resident before.

    A mark that started anew may already have risen while it was looked at, by more than a small
    model takes. One that could not be reset is what it has to rise from.
    """
    before = stages.imported.rss if stages.method == "reset" else stages.imported.peak
    if before is None:
        before = stages.imported.peak
    after = stages.ran.peak
    return None if before is None or after is None else after - before


def _growth(name: str, stages: MemoryStages, until: MemoryNow) -> int | None:
    before, after = getattr(stages.imported, name), getattr(until, name)
    return None if before is None or after is None else after - before


def energy(
    told: Reply, device: Device, timed: Latency | None
) -> tuple[InferenceEnergy | None, str | None]:
    """Return the energy of an inference, measured or else estimated, or None and why.

    Args:
        told: the agent's reply.
        device: its profile may state what it typically draws.
        timed: the latency, for an estimate.
    """
    found = told.energy
    if found is not None:
        measured = InferenceEnergy(
            joules_per_inference=found.joules_per_inference,
            source=found.source,
            measured=True,
            detail=f"{found.detail}; {found.active_watts:.3g} W over {found.seconds:.1f} s",
            idle_watts=found.idle_watts,
        )
        return measured, None
    if device.emulated:
        return None, "emulated: the watts are none of the device's"
    if timed is None:
        return None, "no inference was timed by itself"
    if device.power_watts is None:
        return None, f"{told.no_energy or 'no sensor'}; the profile states no power_watts either"
    watts = device.power_watts
    estimate = InferenceEnergy(
        joules_per_inference=watts * timed.p50_ms * _MILLI,
        source="estimate",
        measured=False,
        detail=f"{watts:g} W of the whole device (its profile) times the median latency",
    )
    return estimate, None


def instructions(told: Reply) -> Instructions | None:
    """Return the instructions of an inference; None where they were not counted."""
    counted = told.instructions
    if counted is None or counted.missing is not None or not counted.raw:
        return None
    return Instructions(
        per_inference=round(median(counted.raw)),
        n=len(counted.raw),
        raw=tuple(counted.raw),
        cpu=counted.cpu,
        counter=counted.counter,
    )


def throughput(told: Reply) -> Throughput | None:
    """Return the samples a second of the scenario ``offline``."""
    found = told.throughput
    if found is None:
        return None
    return Throughput(
        batch=found.batch,
        samples=found.samples,
        seconds=found.seconds,
        per_second=found.per_second,
    )


def soak(told: Reply) -> Soak | None:
    """Return the latency under a load that goes on."""
    found = told.soak
    if found is None:
        return None
    return Soak(
        seconds=found.seconds,
        window_seconds=found.window_seconds,
        n=found.n,
        p50_ms=tuple(found.p50_ms),
        temperature_c=tuple(found.temperature_c),
        frequency_mhz=tuple(found.frequency_mhz),
        drift=found.drift,
    )


def untimed(told: Reply, device: Device) -> dict[str, str]:
    """Say why there is no latency, and why there are no instructions where there might be."""
    if not device.emulated:
        if told.latency is not None:
            return {}
        offline = "--scenario offline: throughput instead"
        return {"latency": offline if told.throughput else "not asked for: --mode accuracy"}
    found = {"latency": "emulated: milliseconds would say nothing about the device"}
    counted = told.instructions
    if counted is None:
        found["instructions"] = "not asked for: --mode accuracy"
    elif counted.missing is not None or not counted.raw:
        found["instructions"] = counted.missing or "the counter gave none"
    return found
