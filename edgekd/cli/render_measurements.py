"""What ``edgekd benchmark`` prints: the table of what was measured, and what to know of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from edgekd import format as fmt
from edgekd.cli.render import WIDE, rows_table
from edgekd.statistics.proportion import wilson
from edgekd.summary import Row

if TYPE_CHECKING:
    from rich.table import Table

    from edgekd.records import Measurement
    from edgekd.records_bench import Compared

#: Drift of the latency under load from which on it is worth a word.
_DRIFT = 0.05


def measurement_table(measurements: Sequence[Measurement], *, width: int = WIDE) -> Table:
    """What was measured: one row a file and device."""
    return rows_table([_row(measurement) for measurement in measurements], width=width)


def _row(found: Measurement) -> Row:
    return Row(
        kind="artifact",
        name=found.artifact,
        model="",
        device=found.device,
        size_bytes=found.size_bytes,
        parameters=found.parameters,
        macs=found.macs,
        latency_p50_ms=found.latency.p50_ms if found.latency else None,
        latency_p90_ms=found.latency.p90_ms if found.latency else None,
        peak_rss_bytes=found.memory.peak_rss_bytes if found.memory else None,
        accuracy=found.accuracy,
        agreement=found.agreement,
        instructions=found.instructions.per_inference if found.instructions else None,
        per_second=found.throughput.per_second if found.throughput else None,
        energy_j=found.energy.joules_per_inference if found.energy else None,
        energy_estimated=found.energy is not None and not found.energy.measured,
        emulated=found.emulated,
        status="failed" if found.status == "failed" else "ok",
    )


def remarks(measurements: Sequence[Measurement]) -> list[str]:
    """Say what failed, how devices differ, what could not be known and why, what to beware of.

    What holds for several files is said once.
    """
    failed: dict[str, list[Measurement]] = {}
    for found in measurements:
        if found.status == "failed":
            reason = (found.error or "no reason").removeprefix(f"{found.path}: ")
            failed.setdefault(reason, []).append(found)
    lines = [f"{_named(those)}: failed: {text}" for text, those in failed.items()]
    said: dict[str, list[Measurement]] = {}
    for found in measurements:
        for text in (
            *(f"warning: {text}" for text in found.warnings),
            *(_compared(found, other) for other in found.compared),
            *_partial(found),
            *_soaked(found),
            *(f"{number} unknown: {why}" for number, why in _known_reasons(found)),
        ):
            said.setdefault(text, []).append(found)
    return lines + [f"{_who(those, measurements)}: {text}" for text, those in said.items()]


def _known_reasons(found: Measurement) -> Iterable[tuple[str, str]]:
    """Return what is unknown; numbers with one reason together."""
    by_reason: dict[str, list[str]] = {}
    for number, reason in found.unknown.items():
        if number == "energy":  # few devices have a sensor: the record alone says why
            continue
        by_reason.setdefault(reason, []).append(number)
    return [(", ".join(numbers), reason) for reason, numbers in by_reason.items()]


def _compared(found: Measurement, other: Compared) -> str:
    """Say whether two devices gave the same answers, and what ran them."""
    here = f"{found.runtime} {found.runtime_version or ''}".strip()
    what = here if other.same_runtime else f"{here} here, {other.runtime} there"
    samples = "1 sample" if other.samples == 1 else f"{other.samples:,} samples"
    if other.identical == other.samples:
        text = f"answers {samples} as {other.device} does, bit for bit ({what})"
        return text if other.same_runtime else f"{text}; the runtimes are different versions"
    if other.same_class is None:
        text = f"answers {other.samples - other.identical:,} of {samples} other than {other.device}"
    else:
        text = f"{other.same_class:,} of {samples} get the same class as on {other.device}"
        text += f", {other.identical:,} bit for bit"
    if other.max_difference is not None:
        text += f"; scores differ by {other.max_difference:.1e} at most"
    text += f" ({what})"
    return text if other.same_runtime else f"warning: different runtimes: {text}"


def _partial(found: Measurement) -> list[str]:
    """Say what a share of the test split can tell."""
    n, total = found.samples, found.test_samples
    if found.accuracy is None or n is None or total is None or n >= total:
        return []
    low, high = wilson(found.accuracy, n)
    interval = f"{fmt.percent(low, 1)} to {fmt.percent(high, 1)}"
    return [f"accuracy from {n:,} of {total:,} test samples: 95% interval {interval}"]


def _soaked(found: Measurement) -> list[str]:
    soak = found.soak
    if soak is None:
        return []
    change = (soak.drift - 1) * 100
    text = f"under load for {soak.seconds:.0f} s the latency changed by {change:+.1f}%"
    return [text if abs(soak.drift - 1) < _DRIFT else f"warning: {text}"]


def _named(those: Sequence[Measurement]) -> str:
    """Name measurements, device by device."""
    names: dict[str, list[str]] = {}
    for found in those:
        names.setdefault(found.device, []).append(found.artifact)
    return "; ".join(f"{', '.join(files)} on {device}" for device, files in names.items())


def _who(those: Sequence[Measurement], everything: Sequence[Measurement]) -> str:
    """Name measurements in as few words as possible."""
    devices = dict.fromkeys(found.device for found in everything)
    if len(those) == len(everything) > 1:
        return "all"
    parts = []
    for device in devices:
        names = [found.artifact for found in those if found.device == device]
        of_device = sum(found.device == device for found in everything)
        if names and len(devices) == 1:
            parts.append(", ".join(names))
        elif names and len(names) == of_device > 1:
            parts.append(f"all on {device}")
        elif names:
            parts.append(f"{', '.join(names)} on {device}")
    return "; ".join(parts)
