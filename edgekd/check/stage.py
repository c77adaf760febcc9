"""``edgekd.check``: hold what was measured against a budget and a baseline."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgekd.check.against import against
from edgekd.check.budgets import Budget
from edgekd.check.subject import Subject, subject
from edgekd.check.verdict import ALL, absolute
from edgekd.records import Verdict
from edgekd.rundir import Run


def check(
    run: Run | str | Path | None = None,
    *,
    budget: Budget | Mapping[str, Any] | str | Path | None = None,
    baseline: Run | str | Path | None = None,
) -> list[Verdict]:
    """Hold what was measured against its limits. Nothing is run, nothing is written.

    Args:
        run: a run (open, id, or path; None for the newest), a bare model file, or a folder of
            measurements.
        budget: limits, or a TOML file of them; by default the ``[budget]`` of the run's recipe.
            See `edgekd.check.budgets`.
        baseline: what relative limits are held against: a run, a bare model file (its size is
            known, and nothing else), or a folder of measurements.

    Returns:
        One verdict for each limit and each file and device it holds for. The check passed if
        none has the status ``fail``; there is at least one.

    Raises:
        RecipeError: the budget has faults; all are named.
        RunError: the run or the baseline cannot be found or trusted.
        ModelFileError: a bare file is no model.
    """
    checked = subject(run)
    limits = _budget(budget, checked)
    verdicts = absolute(checked, limits)
    if baseline is not None:
        verdicts += against(checked, subject(baseline), limits.with_defaults())
    elif limits.relative:
        message = f"{limits.source} has relative limits; give a baseline to hold them against"
        verdicts.append(Verdict(artifact=ALL, metric="baseline", status="warn", message=message))
    held = [v for v in verdicts if v.value is not None and v.limit is not None]
    if not held and not any(verdict.status == "fail" for verdict in verdicts):
        verdicts.append(_nothing_checked(checked, limits))
    return verdicts


def _budget(given: Budget | Mapping[str, Any] | str | Path | None, checked: Subject) -> Budget:
    if isinstance(given, Budget):
        return given
    if isinstance(given, Mapping):
        return Budget.from_dict(given)
    if given is not None:
        return Budget.load(given)
    if checked.run is None:
        return Budget()
    return Budget.from_dict(checked.run.recipe.budget, source=f"the recipe of {checked.label}")


def _nothing_checked(checked: Subject, limits: Budget) -> Verdict:
    why = (
        "there is no budget: write a [budget] into the recipe, or give a budget file or a baseline"
        if not limits.limits
        else "no limit applied"
    )
    return Verdict(
        artifact=ALL,
        metric="budget",
        status="fail",
        message=f"nothing of {checked.label} was checked; {why}",
    )
