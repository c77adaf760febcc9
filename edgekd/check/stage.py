"""``edgekd.check``: hold what was measured against a budget and a baseline."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekd.check.against import against, pairs
from edgekd.check.baseline import opened_baseline
from edgekd.check.budgets import DEFAULT_FILE, Budget
from edgekd.check.subject import Subject, several, subject
from edgekd.check.turns import Latency, compare, merged
from edgekd.check.verdict import ALL, absolute
from edgekd.errors import RunError
from edgekd.records import Measurement, Verdict
from edgekd.rundir import Run

if TYPE_CHECKING:
    from edgekd.records_gate import Duel

Given = Budget | Mapping[str, Any] | str | Path | None


@dataclass(frozen=True)
class Examination:
    """What a check found.

    Attributes:
        verdicts: one for each limit and each file and device it holds for; at least one.
        subject: what was checked.
        budget: the limits, with the file or recipe that they came from.
        duels: of files that took turns with the baseline's, with every raw sample.
    """

    verdicts: tuple[Verdict, ...]
    subject: Subject
    budget: Budget
    duels: tuple[Duel, ...] = ()

    def passed(self, *, strict: bool = False) -> bool:
        """Say whether the check passed.

        Args:
            strict: what is inconclusive has not.
        """
        bad = ("fail", "inconclusive") if strict else ("fail",)
        return not any(verdict.status in bad for verdict in self.verdicts)

    @property
    def measurements(self) -> list[Measurement]:
        """The measurements that were looked at."""
        return [m for item in self.subject.items.values() for m in item.measurements.values()]


def check(
    run: Run | str | Path | Sequence[str | Path] | None = None,
    *,
    budget: Given = None,
    baseline: Run | str | Path | None = None,
    latency: bool = True,
    devices: Sequence[str] = (),
    size_only: bool = False,
) -> list[Verdict]:
    """Hold what was measured against its limits. Nothing is written.

    Nothing is run either, unless there is a baseline with model files: these and those that are
    checked take turns, to see whether one is slower.

    Args:
        run: a run (open, id, or path; None for the newest), bare model files, or a folder of
            measurements.
        budget: limits, or a TOML file of them; by default ``budget.toml`` in the current folder,
            else the ``[budget]`` of the run's recipe. See `edgekd.check.budgets`.
        baseline: what relative limits are held against: a run, a bare model file, a folder of
            measurements, or a file out of git, ``git:REF:PATH``.
        latency: let files take turns with the baseline's.
        devices: where; by default those of the run's recipe, else ``cpu``.
        size_only: hold nothing but sizes, of these files alone.

    Returns:
        One verdict for each limit and each file and device it holds for. The check passed if
        none has the status ``fail``; there is at least one.

    Raises:
        RecipeError: the budget has faults; all are named.
        RunError: the run or the baseline cannot be found or trusted.
        ModelFileError: a bare file is no model.
        MissingError: a device, a runtime or a package is not there.
    """
    compared = Latency(devices) if latency else None
    found = examine(run, budget=budget, baseline=baseline, latency=compared, size_only=size_only)
    return list(found.verdicts)


def examine(
    run: Run | str | Path | Sequence[str | Path] | None = None,
    *,
    budget: Given = None,
    baseline: Run | str | Path | None = None,
    latency: Latency | None = None,
    size_only: bool = False,
) -> Examination:
    """Do what `check` does, and return all that was found.

    Args:
        run: see `check`.
        budget: see `check`.
        baseline: see `check`.
        latency: how files take turns with the baseline's; None: they do not.
        size_only: see `check`.
    """
    limits = _written(budget)
    names = [one.artifact or "" for one in limits.limits] if limits else []
    checked = opened(run, names)
    limits = limits or _of_recipe(checked)
    if size_only:
        limits = limits.only("size_bytes")
    verdicts = absolute(checked, limits, partial=size_only)
    duels: list[Duel] = []
    if baseline is not None:
        limits = _with_defaults(limits, size_only=size_only)
        with ExitStack() as stack:
            before, new = opened_baseline(baseline, checked, stack)
            for name in new:
                message = "new: the baseline has no such file"
                verdicts.append(
                    Verdict(artifact=name, metric="file", status="warn", message=message)
                )
            if before is not None:
                left = [item for item in checked.items.values() if item.name not in new]
                rest = replace(checked, items={item.name: item for item in left})
                held = against(rest, before, limits)
                taken = compare(pairs(rest, before), checked, limits, latency, duels.append)
                verdicts += merged(held, taken)
    elif limits.relative:
        message = f"{limits.source} has relative limits; give a baseline to hold them against"
        verdicts.append(Verdict(artifact=ALL, metric="baseline", status="warn", message=message))
    if all(verdict.status == "warn" for verdict in verdicts):
        verdicts.append(_nothing_checked(checked, limits))
    return Examination(tuple(verdicts), checked, limits, tuple(duels))


def opened(run: Run | str | Path | Sequence[str | Path] | None, names: Iterable[str]) -> Subject:
    """Open what is checked.

    Args:
        run: see `check`.
        names: that a budget has tables for.

    Raises:
        RunError: it cannot be found or trusted, or several are no model files.
        ModelFileError: a bare file is no model.
    """
    if run is None or isinstance(run, Run):
        return subject(run)
    given = [run] if isinstance(run, str | Path) else list(run)
    paths = [Path(one) for one in given]
    named = len(paths) == 1 and paths[0].is_file() and paths[0].as_posix() in set(names)
    if len(paths) < 2 and not named:
        return subject(given[0] if given else None)
    folders = [path for path in paths if path.is_dir()]
    if folders:
        raise RunError(
            f"several are checked at once, and {folders[0]} is no model file",
            hint="Check runs one by one; several model files may be given together.",
        )
    return several(paths, names)


def _with_defaults(limits: Budget, *, size_only: bool) -> Budget:
    full = limits.with_defaults()
    return full.only("size_bytes") if size_only else full


def _written(given: Given) -> Budget | None:
    """Return the budget that was given, else the one in the current folder."""
    if isinstance(given, Budget):
        return given
    if isinstance(given, Mapping):
        return Budget.from_dict(given)
    if given is None and not Path(DEFAULT_FILE).is_file():
        return None
    return Budget.load(DEFAULT_FILE if given is None else given)


def _of_recipe(checked: Subject) -> Budget:
    if checked.run is None:
        return Budget(source="the defaults")
    return Budget.from_dict(checked.run.recipe.budget, source=f"the recipe of {checked.label}")


def _nothing_checked(checked: Subject, limits: Budget) -> Verdict:
    why = (
        "there is no budget: edgekd check --init writes one; or give a baseline"
        if not limits.limits
        else "no limit applied"
    )
    return Verdict(
        artifact=ALL,
        metric="budget",
        status="fail",
        message=f"nothing of {checked.label} was checked; {why}",
    )
