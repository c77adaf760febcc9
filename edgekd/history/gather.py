"""From verdicts, measurements and duels to the rows of a history."""

from __future__ import annotations

import math
import os
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from edgekd import provenance
from edgekd.history.rows import Row
from edgekd.records import Measurement, Verdict
from edgekd.records_gate import Duel
from edgekd.rundir import Run

#: Numbers that a file has everywhere.
EVERYWHERE = ("size_bytes", "parameters", "macs")

#: Verdicts, the worst first: of several about one number, the worst is kept.
_WORST = ("fail", "inconclusive", "warn", "pass")

#: Where CI services say what branch they build; what they check out has none.
_BRANCHES = (
    "GITHUB_HEAD_REF",
    "GITHUB_REF_NAME",
    "CI_COMMIT_REF_NAME",
    "CHANGE_BRANCH",
    "BRANCH_NAME",
)

_Key = tuple[str, str | None, str]


@dataclass(frozen=True)
class Checked:
    """What a check looked at and found.

    Attributes:
        verdicts: all of them.
        measurements: that it looked at; failed ones and those of other files are left out.
        run: what was checked, if it is a run.
        duels: of files that took turns with the baseline's.
        hashes: of the files, by name.
    """

    verdicts: Sequence[Verdict] = ()
    measurements: Sequence[Measurement] = ()
    run: Run | None = None
    duels: Sequence[Duel] = ()
    hashes: Mapping[str, str] | None = None

    @property
    def usable(self) -> list[Measurement]:
        """The measurements that hold, of the files as they are."""
        hashes = self.hashes or {}
        return [
            found
            for found in self.measurements
            if found.status == "ok"
            and found.model_sha256 in (None, hashes.get(found.artifact, found.model_sha256))
        ]


def rows_of(checked: Checked) -> list[Row]:
    """Return one row for each number of each file and device, judged or only measured.

    Networks (runtime ``torch``) have rows only where a verdict is about them. A latency that was
    measured stands before the one that files showed in turn with the baseline's, which gives the
    ratio.
    """
    rows = dict(_measured(checked))
    for verdict in sorted(checked.verdicts, key=lambda one: _WORST.index(one.status)):
        key = (verdict.artifact, verdict.device, verdict.metric)
        row = rows.get(key) or _row(key, verdict.value, _facts(checked, verdict))
        rows[key] = _judged(row, verdict)
    now = datetime.now(timezone.utc).replace(tzinfo=None)
    commit, branch = provenance.git_state(Path.cwd())[0], current_branch()
    return [
        replace(
            row,
            checked_at=now,
            git_commit=row.git_commit or commit,
            git_branch=branch,
            run=checked.run.manifest.id if checked.run else None,
            model_sha256=row.model_sha256 or (checked.hashes or {}).get(row.artifact),
        )
        for row in _of_one_check(rows.values())
    ]


def imported(run: Run) -> list[Row]:
    """Return the numbers of every measurement that lies in a run, as of when it was measured."""
    rows = [row for _, row in _measured(Checked(measurements=run.measurements(), run=run))]
    return [
        replace(row, checked_at=row.time, run=run.manifest.id, imported=True)
        for row in _of_one_check({(r.artifact, r.device, r.metric): r for r in rows}.values())
    ]


def numbers(found: Measurement) -> dict[str, float]:
    """Return the numbers of a measurement that a history keeps, by the names that budgets use."""
    timed = found.latency if not found.emulated else None
    known: dict[str, float | None] = {
        "size_bytes": found.size_bytes,
        "parameters": found.parameters,
        "macs": found.macs,
        "latency_ms_p50": timed.p50_ms if timed else None,
        "peak_rss_bytes": found.memory.peak_rss_bytes if found.memory else None,
        "anonymous_bytes": found.memory.anonymous_bytes if found.memory else None,
        "instructions": found.instructions.per_inference if found.instructions else None,
        "accuracy": found.accuracy,
        "agreement": found.agreement,
    }
    return {key: float(value) for key, value in known.items() if value is not None}


def current_branch() -> str | None:
    """Return the branch that is checked: as CI says, or else as git does."""
    told = next((value for name in _BRANCHES if (value := os.environ.get(name))), None)
    return told or provenance.git_branch(Path.cwd())


def _measured(checked: Checked) -> Iterator[tuple[_Key, Row]]:
    for found in checked.usable:
        if found.runtime == "torch":
            continue
        facts = _of_measurement(found)
        for metric, value in numbers(found).items():
            device = None if metric in EVERYWHERE else found.device
            key = (found.artifact, device, metric)
            yield key, _row(key, value, facts)


def _row(key: _Key, value: float | None, facts: Mapping[str, Any]) -> Row:
    artifact, device, metric = key
    row = Row(
        check_id="",
        checked_at=datetime.min,
        artifact=artifact,
        device=device,
        metric=metric,
        value=value if value is not None and math.isfinite(value) else None,
        edgekd=provenance.version("edgekd"),
        **facts,
    )
    if device is not None:
        return row
    return replace(row, runtime=None, runtime_version=None, threads=None, machine=None)


def _judged(row: Row, verdict: Verdict) -> Row:
    """Return a row with a verdict; what a worse one has said already stays."""
    return replace(
        row,
        status=row.status or verdict.status,
        limit_value=verdict.limit if row.limit_value is None else row.limit_value,
        ratio=verdict.ratio if row.ratio is None else row.ratio,
        ratio_low=verdict.low if row.ratio_low is None else row.ratio_low,
        ratio_high=verdict.high if row.ratio_high is None else row.ratio_high,
    )


def _of_one_check(rows: Any) -> list[Row]:
    mark = uuid.uuid4().hex
    return [replace(row, check_id=mark) for row in rows]


def _facts(checked: Checked, verdict: Verdict) -> dict[str, Any]:
    """Find out how a number came about that no measurement holds."""
    for duel in checked.duels:
        if (duel.device, duel.ours.median_ms) == (verdict.device, verdict.value):
            return _of_duel(duel)
    for found in checked.usable:
        if found.artifact == verdict.artifact and verdict.device in (None, found.device):
            return _of_measurement(found)
    if checked.run is None or verdict.ratio is not None:
        return {}
    made = checked.run.manifest.provenance
    return {"measured_at": _utc(made.created), "git_commit": made.git_commit}


def _of_measurement(found: Measurement) -> dict[str, Any]:
    return {
        "measured_at": _utc(found.provenance.created),
        "git_commit": found.provenance.git_commit,
        "model_sha256": found.model_sha256,
        "runtime": found.runtime,
        "runtime_version": found.runtime_version,
        "threads": found.threads,
        "machine": _processor(found.environment) or found.provenance.cpu,
    }


def _of_duel(duel: Duel) -> dict[str, Any]:
    return {
        "model_sha256": duel.ours.sha256,
        "runtime": duel.ours.runtime,
        "runtime_version": duel.ours.version,
        "threads": duel.threads,
        "machine": _processor(duel.environment) or duel.provenance.cpu,
    }


def _processor(environment: Mapping[str, Any]) -> str | None:
    """Return the processor as the device tells it."""
    told = environment.get("before")
    own = told.get("cpu") if isinstance(told, Mapping) else None
    return str(own) if own else None


def _utc(text: str) -> datetime | None:
    try:
        time = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return None
    return time if time.tzinfo is None else time.astimezone(timezone.utc).replace(tzinfo=None)
