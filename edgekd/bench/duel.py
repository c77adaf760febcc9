"""Two model files against each other on a device: which is slower, and how sure is that?

What a device measures today and what it measured last month differ by more than many a true
slowdown. So both files are run now, turn by turn; see `edgekd.bench.duel_agent`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

from edgekd import provenance
from edgekd.bench import duel_agent
from edgekd.bench.connect import connect
from edgekd.bench.devices import Device
from edgekd.bench.duel_reply import Entrant, Fought, faults
from edgekd.bench.duel_request import DuelSettings as DuelSettings
from edgekd.bench.duel_request import build
from edgekd.bench.program import run_program
from edgekd.bench.protocol import parse_reply
from edgekd.errors import MeasurementError, TransportError
from edgekd.records_gate import Duel, Duelist, RatioInterval
from edgekd.rundir import sha256_file
from edgekd.statistics import gate
from edgekd.transports.base import Completed, Transport
from edgekd.transports.reach import Reach

Say = Callable[[str], None]


def duel(
    ours: Path,
    theirs: Path,
    *,
    device: Device,
    reach: Reach,
    threads: int | None = None,
    settings: DuelSettings | None = None,
    names: tuple[str, str] | None = None,
    inputs: tuple[Path | None, Path | None] = (None, None),
    repeated: bool = False,
    wait: float | None = None,
    say: Say | None = None,
) -> Duel:
    """Reach a device and let two files take turns there, in a fresh process.

    Args:
        ours: the file in question.
        theirs: what it is held against.
        device: where.
        reach: where the device is.
        threads: threads of the runtime; None: the device's.
        settings: how long, and so on.
        names: what to call the two; None: the names of the files.
        inputs: an .npz with ``sample_0``, ... for each, in the file's own types; None: random
            inputs, equal for both where their inputs are.
        repeated: this duel is to confirm another one.
        wait: seconds to wait for a device that somebody else measures on.
        say: is told that it waits.

    Raises:
        ModelFileError: one of the files is of no use, or the runtime cannot load it.
        MissingError: the device cannot be reached at all, or has no runtime.
        MeasurementError: one of the files failed, killed its process, or took too long; the
            device is emulated.
        TransportError: the device could not be reached; DeviceGoneError: it vanished.
    """
    with contextlib.closing(connect(device, reach, wait=wait, say=say)) as transport:
        return duel_over(
            transport,
            ours,
            theirs,
            device=device,
            threads=threads,
            settings=settings,
            names=names,
            inputs=inputs,
            repeated=repeated,
        )


def duel_over(
    transport: Transport,
    ours: Path,
    theirs: Path,
    *,
    device: Device,
    threads: int | None = None,
    settings: DuelSettings | None = None,
    names: tuple[str, str] | None = None,
    inputs: tuple[Path | None, Path | None] = (None, None),
    repeated: bool = False,
) -> Duel:
    """Let two files take turns on a device that is reached already; see `duel`."""
    if device.emulated:
        raise MeasurementError(
            f"{device.name} is emulated: its milliseconds say nothing",
            hint="Hold instructions per inference against the baseline there.",
        )
    settings = settings or DuelSettings()
    threads = threads or device.threads
    request = build(transport, (ours, theirs), inputs, device, threads, settings)
    completed = run_program(
        transport, duel_agent, request, timeout=settings.timeout, name="duel.json"
    )
    told = Fought.model_validate(_parse(completed, ours, theirs))
    for file, entrant in ((ours, told.ours), (theirs, told.theirs)):
        if entrant.sha256 != sha256_file(file):
            raise TransportError(
                f"{file}: the device ran another file than this one",
                hint="It changed meanwhile, or was damaged on its way: try again.",
            )
    return _record(told, (ours, theirs), names, device, threads, settings, repeated)


def _parse(completed: Completed, ours: Path, theirs: Path) -> dict[str, Any]:
    """Return the answer; blame what went wrong on the file that it went wrong with."""
    mark, side, rest = duel_agent.SIDE_MARK, "both", []
    for line in completed.stderr.splitlines():
        if line.startswith(mark):
            side = line.removeprefix(mark).strip()
        else:
            rest.append(line)
    what = {"ours": str(ours), "theirs": f"{theirs} (the baseline)"}.get(side, f"{ours}, {theirs}")
    return parse_reply(
        replace(completed, stderr="\n".join(rest)),
        what=what,
        schema=duel_agent.SCHEMA,
        check=faults,
    )


def _record(
    told: Fought,
    files: tuple[Path, Path],
    names: tuple[str, str] | None,
    device: Device,
    threads: int,
    settings: DuelSettings,
    repeated: bool,
) -> Duel:
    per_ms = 1e6 * told.repeats
    raw = [[ns / per_ms for ns in side] for side in (told.raw_ns.ours, told.raw_ns.theirs)]
    ratios = [a / b for a, b in zip(*raw, strict=True)]
    found = gate.interval(ratios, block=settings.block, seed=settings.seed)
    ours, theirs = (
        _duelist(file, name, entrant, series)
        for file, name, entrant, series in zip(
            files,
            names or [file.name for file in files],
            (told.ours, told.theirs),
            raw,
            strict=True,
        )
    )
    return Duel(
        device=device.name,
        ours=ours,
        theirs=theirs,
        mode=told.mode,
        threads=threads,
        pairs=len(ratios),
        ratios=tuple(round(ratio, 6) for ratio in ratios),
        ours_first=tuple(told.ours_first),
        interval=RatioInterval(
            median=found.median,
            low=found.low,
            high=found.high,
            level=found.level,
            block=found.block,
        ),
        order_effect=_order_effect(ratios, told.ours_first),
        repeats=told.repeats,
        settling=told.settling,
        loads=told.loads,
        seconds=round(told.seconds, 3),
        repeated=repeated,
        environment={
            **told.environment.model_dump(),
            "pinned_cores": told.cores,
            "python": told.python,
            "machine": told.machine,
            "cooled": told.cooled.model_dump(),
        },
        warnings=tuple(_remarks(told, device, threads, settings)),
        provenance=provenance.collect(seed=settings.seed),
    )


def _duelist(file: Path, name: str, entrant: Entrant, raw: list[float]) -> Duelist:
    return Duelist(
        name=name,
        path=str(file),
        sha256=entrant.sha256 or "",
        runtime=entrant.runtime,
        version=entrant.version,
        median_ms=median(raw),
        raw_ms=tuple(round(value, 6) for value in raw),
    )


def _order_effect(ratios: list[float], ours_first: list[bool]) -> float | None:
    """Return what it does to the ratio to begin a pair; None where one of the two never did."""
    began = [ratio for ratio, first in zip(ratios, ours_first, strict=True) if first]
    other = [ratio for ratio, first in zip(ratios, ours_first, strict=True) if not first]
    return round(median(began) / median(other), 6) if began and other else None


def _remarks(told: Fought, device: Device, threads: int, settings: DuelSettings) -> list[str]:
    """Return what may have spoilt the duel, each a sentence."""
    found, before = [], told.environment.before
    if device.governor not in (None, before.governor):
        found.append(f"the governor is {before.governor}, the profile wants {device.governor}")
    limit, heat = device.max_temperature, before.temperature_c
    if limit is not None and heat is not None and heat > limit:
        found.append(f"it stayed at {heat:.0f} C, above the profile's {limit:.0f} C")
    if settings.pin and threads == 1 and not told.cores:
        found.append("it could not be bound to one core")
    return found
