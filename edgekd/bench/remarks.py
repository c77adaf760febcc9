"""What may have spoilt the figures of a measurement."""

from __future__ import annotations

from statistics import median

from edgekd.bench.devices import Device
from edgekd.bench.reply import Reply
from edgekd.bench.settings import Settings

#: Above this share of its cores, a machine is busy with something else.
_BUSY = 0.75
#: With one thread, threads that a runtime keeps for its own affairs execute less than this share.
_HOUSEKEEPING = 0.01


def remarks(told: Reply, device: Device, settings: Settings, threads: int) -> list[str]:
    """Return warnings, each a sentence.

    Args:
        told: the agent's reply.
        device: what the profile says of the device.
        settings: how it was to be measured.
        threads: threads of the runtime.
    """
    found = _profile(told, device)
    if device.emulated:
        found += _counting(told, threads)
    else:
        found += _timing(told, settings, threads) + _heat(told, device)
    if told.memory.method != "reset" and told.memory.ran.peak is not None:
        found.append("peak memory may be too low: an earlier peak hides that of the model")
    return found


def _profile(told: Reply, device: Device) -> list[str]:
    found, governor = [], told.environment.before.governor
    if device.arch not in (None, told.machine):
        found.append(f"the device is {told.machine}, its profile says {device.arch}")
    if device.governor not in (None, governor):
        found.append(f"the governor is {governor}, the profile wants {device.governor}")
    return found


def _counting(told: Reply, threads: int) -> list[str]:
    counted = told.instructions
    if counted is None or not counted.raw:
        return []
    if threads > 1:
        return [
            f"instructions of {threads} threads include their waiting for one another and do not "
            "repeat: count with --threads 1"
        ]
    share = median(counted.others or [0]) / max(median(counted.raw), 1)
    if share > _HOUSEKEEPING:
        return [f"other threads executed {share:.0%} more instructions, which are not counted"]
    return []


def _timing(told: Reply, settings: Settings, threads: int) -> list[str]:
    found, timed, before = [], told.latency, told.environment.before
    if timed is None and told.throughput is None:
        return []
    if before.load and before.cores and before.load[0] > _BUSY * before.cores:
        load = before.load[0]
        found.append(f"the machine was busy (load {load:.1f} on {before.cores} cores)")
    if settings.pin and threads == 1 and not told.cores:
        found.append("it could not be bound to one core: latency varies more")
    if timed is not None and len(timed.raw_ms) < settings.min_runs:
        found.append(f"only {len(timed.raw_ms)} inferences fitted into the time")
    return found


def _heat(told: Reply, device: Device) -> list[str]:
    found, limit, heat = [], device.max_temperature, told.environment.before.temperature_c
    if limit is not None and heat is not None and heat > limit:
        waited = f" after {told.cooled.waited_s:.0f} s" if told.cooled.waited_s else ""
        found.append(f"it stayed at {heat:.0f} C{waited}, above the profile's {limit:.0f} C")
    if told.throttling.throttled:
        found.append(f"throttled: {'; '.join(told.throttling.reasons)}")
    return found
