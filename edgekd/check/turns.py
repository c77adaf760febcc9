"""Files that take turns with those of the baseline, to see whether one is slower."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgekd.check.budgets import Budget
from edgekd.check.quantities import LATENCY
from edgekd.check.subject import Item, Subject
from edgekd.errors import MissingExtraError
from edgekd.records import Verdict

if TYPE_CHECKING:
    from edgekd.bench.duel import DuelSettings
    from edgekd.bench.options import Options
    from edgekd.records_gate import Duel


@dataclass(frozen=True)
class Latency:
    """How latencies are compared with those of the baseline's files.

    Attributes:
        devices: names or TOML files; empty: those of the run's recipe, else ``cpu``.
        threads: threads of the runtime; None: the device's.
        settings: how long two files take turns, and so on.
        options: where devices are reached.
        say: is told what is run.
    """

    devices: Sequence[str] = ()
    threads: int | None = None
    settings: DuelSettings | None = None
    options: Options | None = None
    say: Callable[[str], None] | None = None


def compare(
    found: Sequence[tuple[Item, Item]],
    checked: Subject,
    limits: Budget,
    latency: Latency | None,
    keep: Callable[[Duel], None],
) -> list[Verdict]:
    """Let files take turns with the baseline's of the same format.

    Args:
        found: each item that is checked, with the baseline's.
        checked: what is checked.
        limits: those without a relative limit on latency take no turns.
        latency: how they take turns; None: they do not.
        keep: gets the record of each duel.

    Raises:
        MissingError: a device, a runtime or a package is not there.
    """
    held: list[tuple[Item, Path]] = []
    verdicts = []
    for item, base in found:
        limit = limits.find(LATENCY, item.name, None, relative=True)
        if limit is None or not item.exported or item.path is None or base.path is None:
            continue
        if item.format != base.format:
            continue
        if latency is None:
            stored = bool(set(item.measurements) & set(base.measurements))
            if not limit.default and not stored:
                verdicts.append(_note(item, "not compared with the baseline: left out"))
        elif item.sha256 == base.sha256:
            message = "the same file as the baseline's, byte for byte"
            verdicts.append(_same(item, message))
        else:
            held.append((item, base.path))
    if not held or latency is None:
        return verdicts
    from edgekd.check.latency import latency as duels

    recipe = checked.run.recipe.benchmark if checked.run else None
    try:
        taken = duels(
            held,
            limits,
            tuple(latency.devices) or (recipe.devices if recipe else ("cpu",)),
            threads=latency.threads or (recipe.threads if recipe else None),
            settings=latency.settings,
            options=latency.options,
            keep=keep,
            say=latency.say,
        )
    except MissingExtraError as error:
        error.hint = f"{error.hint}; or leave latencies out: --no-latency"
        raise
    judged = {verdict.artifact for verdict in taken}
    for item, _ in held:
        if item.name not in judged:
            message = "not compared with the baseline: no device tells milliseconds"
            verdicts.append(_note(item, message))
    return verdicts + taken


def merged(held: Sequence[Verdict], taken: Sequence[Verdict]) -> list[Verdict]:
    """Put what two files showed in turn in the place of what was stored of them.

    Args:
        held: verdicts on stored numbers.
        taken: verdicts on files that took turns.
    """
    names = {v.artifact for v in taken}
    everywhere = {v.artifact for v in taken if v.device is None and v.status == "pass"}
    places = {(v.artifact, v.device) for v in taken}

    def replaced(old: Verdict) -> bool:
        if old.metric != LATENCY or old.artifact not in names:
            return False
        stored = old.value is not None
        return not stored or old.artifact in everywhere or (old.artifact, old.device) in places

    return [*(v for v in held if not replaced(v)), *taken]


def _same(item: Item, message: str) -> Verdict:
    return Verdict(
        artifact=item.name,
        metric=LATENCY,
        status="pass",
        ratio=1.0,
        message=message,
    )


def _note(item: Item, message: str) -> Verdict:
    return Verdict(artifact=item.name, metric=LATENCY, status="warn", message=message)
