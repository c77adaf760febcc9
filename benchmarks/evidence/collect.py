"""From rows to the committed JSON: ``python -m benchmarks.evidence collect NAME``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from benchmarks.evidence.compare import FILES, Answers, against, judge, spread
from benchmarks.evidence.places import Places
from benchmarks.evidence.plan import BEST, Arm, Plan
from benchmarks.evidence.rows import Row, read_answers, read_rows
from edgekd.errors import RunError
from edgekd.storage import atomic_write

#: Of a row, what the result holds of each run.
_KEPT = (
    *("seed", "fold", "epochs", "seconds", "validation", "accuracy", "agreement", "qat_accuracy"),
    *("files", "teachers", "recipe_sha256", "commit", "dirty"),
)

#: Of a row's files.
_OF_FILES = ("accuracy", "agreement", "size_bytes", "sha256", "runtime", "failed")


def collect(plan: Plan, places: Places) -> dict[str, Any]:
    """Write ``evidence-NAME.json`` and return it.

    Raises:
        RunError: no run of the plan was scored yet.
    """
    rows = read_rows(places.rows(plan.name))
    wanted = {job.key for job in plan.jobs()}
    rows = [row for row in rows if row["job"] in wanted]
    if not rows:
        raise RunError(
            f"no run of {plan.name} was scored yet",
            hint=f"Train them: python -m benchmarks.evidence train {plan.name}",
        )
    files = {row["job"]: places.answers(plan.name, row["job"]) for row in rows}
    answers = {job: read_answers(path) for job, path in files.items() if path.is_file()}
    result = summarise(plan, rows, answers)
    atomic_write(places.result(plan.name), json.dumps(result, indent=1) + "\n")
    return result


def summarise(plan: Plan, rows: Sequence[Row], answers: Answers) -> dict[str, Any]:
    """Return what a plan's runs came to.

    Args:
        plan: the plan.
        rows: of its runs.
        answers: what their files answered, by run.
    """
    arms = {arm.name: [row for row in rows if row["arm"] == arm.name] for arm in plan.arm}
    first = (arms[BEST] or list(rows))[0]
    return {
        "kind": "evidence",
        "version": 1,
        "name": plan.name,
        "title": plan.title,
        "recipe": plan.recipe,
        "reference": plan.reference,
        "common": list(plan.common),
        "splits": first["splits"],
        "data_sha256": None if plan.fold else first["data_sha256"],
        "student": {"parameters": first["parameters"], "macs": first["macs"]},
        "goals": [judge(goal, arms, plan) for goal in plan.goal],
        "arms": [_arm(arm, plan, arms[arm.name]) for arm in plan.arm],
        "tests": [
            {"ours": BEST, "theirs": arm.name, **found}
            for arm in plan.arm
            if arm.name != BEST
            for what in plan.files
            if (found := against(arms[BEST], arms[arm.name], what, answers)) is not None
        ],
        "provenance": first["provenance"],
    }


def _arm(arm: Arm, plan: Plan, rows: Sequence[Row]) -> dict[str, Any]:
    done = {row["job"] for row in rows}
    rows = sorted(rows, key=lambda row: (row["seed"], row["fold"]))
    numbers: dict[str, Any] = {
        name: spread(rows, name) for name in ("validation", "accuracy", "agreement", "seconds")
    }
    for what in FILES:
        for of in ("accuracy", "agreement", "size_bytes"):
            numbers[f"{what} {of}"] = spread(rows, what, of)
    return {
        "name": arm.name,
        "why": arm.why,
        "recipe": arm.recipe,
        "set": list(arm.set),
        "mean": {name: found for name, found in numbers.items() if found is not None},
        "runs": [_kept(row) for row in rows],
        "missing": [job.key for job in plan.jobs(arm=arm.name) if job.key not in done],
    }


def _kept(row: Row) -> dict[str, Any]:
    found = {name: row[name] for name in _KEPT}
    found["files"] = {
        name: {key: file[key] for key in _OF_FILES if key in file}
        for name, file in row["files"].items()
    }
    return found
