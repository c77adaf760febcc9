"""Latency against a baseline: both files are run now, turn by turn, on the device.

A file fails only where the whole interval of the ratio is above the limit, twice: a second duel in
a fresh process must say the same. Where a model happens to lie in memory, or what else the machine
did, can make one process wrong; both would have to be wrong alike.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgekd import format as fmt
from edgekd.bench.config import find_reach
from edgekd.bench.connect import connect
from edgekd.bench.devices import Device, load_device
from edgekd.check.budgets import Budget
from edgekd.check.quantities import LATENCY, LATENCY_FLOOR
from edgekd.check.subject import Item
from edgekd.errors import MeasurementError, MissingExtraError, ModelFileError
from edgekd.records import Verdict
from edgekd.transports.base import Transport

if TYPE_CHECKING:
    from edgekd.bench.duel import DuelSettings
    from edgekd.bench.options import Options
    from edgekd.records_gate import Duel
    from edgekd.statistics.gate import Outcome

Say = Callable[[str], None]


@dataclass(frozen=True)
class Judged:
    """One duel and what it says.

    Attributes:
        duel: the record.
        most: the ratio that must not be exceeded.
        outcome: ``pass``, ``fail`` or ``inconclusive``.
        floor_ms: the floor, where it alone let a slower file pass.
    """

    duel: Duel
    most: float
    outcome: Outcome
    floor_ms: float | None = None

    def __str__(self) -> str:
        """Return the ratio with its interval."""
        found, pairs = self.duel.interval, self.duel.pairs
        level = f"{found.level:.0%}"
        return f"{found.median:.3f}x ({level} {found.low:.3f} to {found.high:.3f}, {pairs} pairs)"


def latency(
    pairs: Sequence[tuple[Item, Path]],
    budget: Budget,
    devices: Sequence[str],
    *,
    threads: int | None = None,
    settings: DuelSettings | None = None,
    options: Options | None = None,
    keep: Callable[[Duel], None] | None = None,
    say: Say | None = None,
) -> list[Verdict]:
    """Run files against those of the baseline, and judge what is slower.

    An emulated device is left out: its milliseconds say nothing.

    Args:
        pairs: each file that is checked, with the baseline's.
        budget: its relative limit of ``latency_ms_p50``, 1.03 for 3%, is the tolerance; a file
            without one is left out. Its relative ``latency_floor_ms`` is a difference that never
            fails.
        devices: names or TOML files.
        threads: threads of the runtime; None: the device's.
        settings: how long, and so on; its tolerance is not used, its floor where the budget
            has none.
        options: where a device is reached (``address``, ``serial``, ``wait``, ``bundle``).
        keep: gets the record of each duel.
        say: is told what is run.

    Returns:
        one verdict a file and device; a duel that could not be held fails.

    Raises:
        MissingError: a device cannot be reached at all, or something is not installed.
        UnknownNameError: there is no such device.
    """
    _needs_numpy()
    verdicts: list[Verdict] = []
    for name in dict.fromkeys(devices):
        device = load_device(name, say=say)
        wanted = [
            (item, item.path, theirs, chosen)
            for item, theirs in pairs
            if item.path is not None
            and (chosen := _settings(budget, item, device, settings)) is not None
        ]
        if device.emulated or not wanted:
            continue
        with _reached(device, options, say) as transport:
            for item, ours, theirs, chosen in wanted:
                duels = _Duels(transport, (ours, theirs), device, threads, chosen)
                verdicts.append(_verdict(item, device, duels, keep, say))
    return verdicts


def judge(found: Duel, tolerance: float, floor_ms: float) -> Judged:
    """Return what a duel says.

    Args:
        found: its record.
        tolerance: how much slower ours may be, as a fraction.
        floor_ms: a difference of so many milliseconds never fails.
    """
    from edgekd.statistics import gate

    most = gate.limit(tolerance, floor_ms, found.theirs.median_ms)
    interval = gate.Interval(**found.interval.model_dump())
    outcome = gate.decide(interval, most)
    without = gate.decide(interval, gate.limit(tolerance, 0.0, found.theirs.median_ms))
    by_floor = outcome == "pass" and without == "fail"
    return Judged(found, most, outcome, floor_ms if by_floor else None)


def _settings(
    budget: Budget, item: Item, device: Device, given: DuelSettings | None
) -> DuelSettings | None:
    """Return settings with what the budget says of a file; None where it says nothing."""
    from edgekd.bench.duel import DuelSettings

    tolerance = budget.find(LATENCY, item.name, device.name, relative=True)
    if tolerance is None:
        return None
    chosen = replace(given or DuelSettings(), tolerance=tolerance.value - 1)
    floor = budget.find(LATENCY_FLOOR, item.name, device.name, relative=True)
    return chosen if floor is None else replace(chosen, floor_ms=floor.value)


@dataclass(frozen=True)
class _Duels:
    """Duels of one file with its baseline on one device, each in a fresh process."""

    transport: Transport
    files: tuple[Path, Path]
    device: Device
    threads: int | None
    settings: DuelSettings

    def hold(self, *, repeated: bool) -> Judged:
        """Hold one; a repeated one has another order and other random numbers."""
        from edgekd.bench.duel import duel_over

        settings = replace(self.settings, seed=self.settings.seed + repeated)
        found = duel_over(
            self.transport,
            *self.files,
            device=self.device,
            threads=self.threads,
            settings=settings,
            repeated=repeated,
        )
        return judge(found, settings.tolerance, settings.floor_ms)


def _verdict(
    item: Item,
    device: Device,
    duels: _Duels,
    keep: Callable[[Duel], None] | None,
    say: Say | None,
) -> Verdict:
    """Hold a duel, and where it says slower, a second one."""
    held: list[Judged] = []
    if say is not None:
        say(f"{device.name}: {item.name} against the baseline")
    try:
        held.append(duels.hold(repeated=False))
        if held[0].outcome == "fail":
            if say is not None:
                say(f"{device.name}: {item.name} seems slower; once more in a fresh process")
            held.append(duels.hold(repeated=True))
    except (MeasurementError, ModelFileError) as error:
        message = f"could not be held against the baseline: {error.message}"
        return Verdict(
            artifact=item.name,
            device=device.name,
            metric=LATENCY,
            status="fail",
            message=message,
        )
    finally:
        if keep is not None:
            for one in held:
                keep(one.duel)
    return _of(item, held)


def _of(item: Item, held: Sequence[Judged]) -> Verdict:
    """Return the verdict; the last duel decides."""
    last = held[-1]
    found = last.duel
    return Verdict(
        artifact=item.name,
        device=found.device,
        metric=LATENCY,
        status=last.outcome,
        value=found.ours.median_ms,
        limit=found.theirs.median_ms * last.most,
        baseline=found.theirs.median_ms,
        ratio=found.interval.median,
        low=found.interval.low,
        high=found.interval.high,
        message=_message(held),
    )


def _message(held: Sequence[Judged]) -> str:
    last = held[-1]
    found = last.duel
    ours, theirs = (fmt.milliseconds(side.median_ms) for side in (found.ours, found.theirs))
    text = f"{ours} against {theirs}, run in turn: {last}, at most {last.most:.3f}x"
    if last.outcome == "inconclusive":
        text += "; too noisy to tell"
    if last.floor_ms is not None:
        text += f"; slower, but by no more than {LATENCY_FLOOR} = {last.floor_ms:g}"
    if len(held) > 1:
        before = "once before" if last.outcome == "fail" else "only once of two times"
        text += f"; slower {before}: {held[0]}"
    runtimes = [f"{side.runtime} {side.version}" for side in (found.ours, found.theirs)]
    if runtimes[0] != runtimes[1]:
        text += f" ({runtimes[0]} against {runtimes[1]})"
    return "; ".join([text, *found.warnings])


@contextlib.contextmanager
def _reached(device: Device, options: Options | None, say: Say | None) -> Iterator[Transport]:
    """Reach a device as the benchmark does."""
    from edgekd.bench.options import Options

    given = options or Options()
    reach = find_reach(device, address=given.address, serial=given.serial)
    transport = connect(device, reach, wait=given.wait, say=say)
    if given.bundle and reach.python is None:
        from edgekd.bench.bundle import Bundled

        transport = Bundled(transport, say=say or (lambda _: None))
    with contextlib.closing(transport):
        yield transport


def _needs_numpy() -> None:
    try:
        import numpy  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingExtraError("comparing latencies", extra="bench", package="numpy") from error
