"""From rows to trends: which points belong together, and what their changes mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timezone

from edgekd.history import change_point
from edgekd.history.change_point import Found
from edgekd.history.rows import Row
from edgekd.records_history import Change, Point, Trend

#: Numbers without noise: every change is one, without a test.
EXACT = ("size_bytes", "parameters", "macs", "operator_count")

#: Numbers that get worse when they get smaller.
HIGHER_IS_BETTER = ("accuracy", "agreement")

#: Numbers that cannot be compared between processors begin with one of these.
_OF_THE_MACHINE = ("latency", "peak_rss", "anonymous")

#: A change of an exact number is named from this fraction on, one of another number from that on.
LEAST_EXACT, LEAST = 0.001, 0.005


def trends_of(rows: Sequence[Row], *, last: int | None = None) -> list[Trend]:
    """Return one trend for each number of each file and device, sorted.

    Args:
        rows: in any order; those without a value are left out.
        last: only so many points of each, the newest.
    """
    found: dict[tuple[str, str | None, str], list[Row]] = {}
    for row in rows:
        if row.value is not None:
            found.setdefault((row.artifact, row.device, row.metric), []).append(row)
    ordered = sorted(found, key=lambda key: (key[0], key[1] or "", key[2]))
    return [_trend(key, found[key], last) for key in ordered]


def _trend(key: tuple[str, str | None, str], rows: list[Row], last: int | None) -> Trend:
    artifact, device, metric = key
    different = _different(sorted(rows, key=lambda row: row.time))
    kept = _of_one_machine(metric, different)
    left_out = len(different) - len(kept)
    kept = kept[-last:] if last else kept
    points = tuple(_point(row) for row in kept)
    return Trend(
        artifact=artifact,
        device=device,
        metric=metric,
        points=points,
        changes=tuple(_changes(metric, points)),
        left_out=left_out,
    )


def _different(rows: list[Row]) -> list[Row]:
    """Leave out what is no other measurement: a run that was checked once more.

    Counted twice, one measurement would look like evidence. The last verdict about it is kept.
    """
    kept: list[Row] = []
    for row in rows:
        if kept and _identity(kept[-1]) == _identity(row):
            first = kept.pop()
            row = replace(row, checked_at=first.checked_at, git_branch=first.git_branch)
        kept.append(row)
    return kept


def _identity(row: Row) -> tuple[object, ...]:
    return row.run, row.model_sha256, row.git_commit, row.measured_at, row.value


def _of_one_machine(metric: str, rows: list[Row]) -> list[Row]:
    newest = rows[-1].machine
    if newest is None or not metric.startswith(_OF_THE_MACHINE):
        return rows
    return [row for row in rows if row.machine == newest]


def _point(row: Row) -> Point:
    runtime = " ".join(part for part in (row.runtime, row.runtime_version) if part)
    return Point(
        time=row.time.replace(tzinfo=timezone.utc).isoformat(timespec="seconds"),
        value=row.value or 0.0,
        commit=row.git_commit,
        branch=row.git_branch,
        run=row.run,
        limit=row.limit_value,
        status=row.status,
        ratio=row.ratio,
        low=row.ratio_low,
        high=row.ratio_high,
        model_sha256=row.model_sha256,
        runtime=runtime or None,
        threads=row.threads,
        machine=row.machine,
    )


def _changes(metric: str, points: Sequence[Point]) -> list[Change]:
    values = [point.value for point in points]
    steps = _large(_steps(values), LEAST_EXACT) if metric in EXACT else []
    if steps:
        return [_change(metric, points, one, exact=True) for one in steps]
    # A number without noise may creep, too: many steps, none of them large.
    found = _large(change_point.find(values), LEAST)
    return [_change(metric, points, one, exact=False) for one in found]


def _large(found: Sequence[Found], least: float) -> list[Found]:
    return [
        one
        for one in found
        if one.after != one.before and abs(one.after - one.before) >= least * abs(one.before)
    ]


def _steps(values: Sequence[float]) -> list[Found]:
    return [
        Found(index, "step", values[index - 1], values[index], 0.0)
        for index in range(1, len(values))
    ]


def _change(metric: str, points: Sequence[Point], found: Found, *, exact: bool) -> Change:
    here = points[found.index]
    before = points[found.index - 1] if found.index else None
    grew = found.after > found.before
    return Change(
        kind=found.kind,
        index=found.index,
        time=here.time,
        commit=here.commit,
        commit_before=before.commit if before else None,
        before=found.before,
        after=found.after,
        p=None if exact else found.p,
        worse=grew is not (metric in HIGHER_IS_BETTER),
        also=tuple(_also(before, here)) if before and found.kind == "step" else (),
    )


def _also(before: Point, here: Point) -> list[str]:
    """Say what else became different at a step, or that the file did not."""
    told = []
    if before.runtime != here.runtime:
        told.append(f"{before.runtime or 'no runtime'} became {here.runtime or 'no runtime'}")
    if before.threads != here.threads:
        told.append(f"{before.threads} threads became {here.threads}")
    if before.machine != here.machine:
        told.append(f"the processor {before.machine} became {here.machine}")
    if before.model_sha256 is not None and before.model_sha256 == here.model_sha256:
        told.append("the model file is the same")
    return told
