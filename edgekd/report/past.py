"""What checks found of a run, and how its numbers went from check to check."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import altair as alt

from edgekd import format as fmt
from edgekd.errors import EdgekdError
from edgekd.history import trends
from edgekd.records_history import Trend
from edgekd.report.blocks import Figure, Section, Small, Table
from edgekd.report.style import ACCENT, INK, MUTED, Spec, finish, tooltips, whole

#: A trend has so many points at least, and so many trends are drawn; the changed ones first.
_FEWEST = 3
_MOST = 12

#: How the numbers of a budget are written.
_WRITTEN: dict[str, tuple[str, Callable[[float | None], str]]] = {
    "size_bytes": ("size", fmt.size),
    "latency_ms_p50": ("median latency", fmt.milliseconds),
    "peak_rss_bytes": ("peak memory", fmt.size),
    "anonymous_bytes": ("anonymous memory", fmt.size),
    "instructions": ("instructions", fmt.count),
    "parameters": ("parameters", fmt.count),
    "macs": ("multiply-accumulates", fmt.count),
    "accuracy": ("accuracy", fmt.percent),
    "agreement": ("agreement", fmt.percent),
}


def of_run(run_id: str) -> list[Trend]:
    """Return the trends that a run has a point in; none where there is no history to read."""
    try:
        found = trends()
    except (EdgekdError, ImportError):
        return []
    return [one for one in found if any(point.run == run_id for point in one.points)]


def verdict(found: Sequence[Trend], run_id: str) -> str:
    """Say in a sentence what the newest check of a run found; nothing where it was not checked.

    Args:
        found: the trends that the run has a point in.
        run_id: the run.
    """
    held, bad = 0, []
    for one in found:
        newest = [point for point in one.points if point.run == run_id][-1]
        if newest.status == "pass":
            held += 1
        elif newest.status is not None:
            bad.append(f"{_name(one)}: {newest.status}")
    if not held and not bad:
        return ""
    numbers = f"{held} {'number' if held == 1 else 'numbers'} kept their limits"
    return f"Last check: {numbers}; {'; '.join(bad)}." if bad else f"Last check: {numbers}."


def section(found: Sequence[Trend]) -> Section | None:
    """Draw how numbers went; None where none of them was checked often enough."""
    long = [one for one in found if len(one.points) >= _FEWEST]
    moved = [one for one in long if one.changes or len({p.value for p in one.points}) > 1]
    if not moved:
        return None
    moved.sort(key=lambda one: not any(change.worse for change in one.changes))
    figures = [Figure(_name(one), "", _line(one)) for one in moved[:_MOST]]
    rows = [
        (
            _name(one),
            change.kind,
            _show(one, change.before),
            _show(one, change.after),
            change.time[:10],
            (change.commit or fmt.MISSING)[:12],
        )
        for one in moved
        for change in one.changes
    ]
    head = ("number", "change", "before", "after", "since", "commit")
    note = "A point is a check; a ring is where a change was found. The axes do not start at 0."
    if len(moved) > _MOST:
        note += f" {_MOST} of {len(moved)} are drawn; edgekd history has all."
    small = Small("", note, (), figures)
    table = [Table("Changes", head, rows, "", frozenset({1, 4, 5}))] if rows else []
    return Section("From check to check", [small, *table])


def _name(one: Trend) -> str:
    metric = _WRITTEN.get(one.metric, (one.metric, None))[0]
    return f"{metric} of {one.artifact}" + (f" on {one.device}" if one.device else "")


def _show(one: Trend, value: float) -> str:
    return _WRITTEN.get(one.metric, ("", _plain))[1](value)


def _plain(value: float | None) -> str:
    return fmt.MISSING if value is None else fmt.significant(value)


def _line(one: Trend) -> Spec:
    changed = {change.index for change in one.changes}
    values: list[dict[str, Any]] = [
        {
            "check": place + 1,
            "number": point.value,
            "shown": _show(one, point.value),
            "time": point.time[:16].replace("T", " "),
            "commit": (point.commit or fmt.MISSING)[:12],
            "changed": place in changed,
        }
        for place, point in enumerate(one.points)
    ]
    form = ".1%" if one.metric in ("accuracy", "agreement") else "~s"
    base = alt.Chart({"values": values}).encode(
        x=whole("check", range(1, len(values) + 1), title=None, ticks=4),
        y=alt.Y(
            "number:Q",
            title=None,
            scale=alt.Scale(zero=False, padding=8),
            axis=alt.Axis(tickCount=4, format="~g" if one.metric.startswith("latency") else form),
        ),
    )
    points = base.mark_point(filled=True, size=26, opacity=1, color=ACCENT)
    layers: list[Any] = [
        base.mark_line(color=MUTED, strokeWidth=1.4),
        points.encode(tooltip=tooltips("shown", "time", "commit")),
        base.mark_point(size=150, color=INK, filled=False).transform_filter("datum.changed"),
    ]
    return finish(alt.layer(*layers), height=120)
