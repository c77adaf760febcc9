"""Trends on the command line: a small curve a row, and where it changed in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby, pairwise
from statistics import median

from rich import box
from rich.markup import escape
from rich.table import Table

from edgekd import format as fmt
from edgekd.records_history import Change, Point, Trend

#: Low to high, and the same where a terminal cannot write them.
UNICODE = "▁▂▃▄▅▆▇█"
ASCII = "_.:-=+*#"

#: Characters of a curve, at least and at most.
_NARROW, _WIDE = 8, 40

#: What a row takes beside its number, its device and its curve.
_OTHERS = 24

#: From this width on there is room for the number of points.
_ROOMY = 80

_SHORT_COMMIT = 8


def blocks_for(encoding: str) -> str:
    """Return the characters of curves that an encoding can write, low to high.

    >>> blocks_for("ascii")
    '_.:-=+*#'
    """
    try:
        UNICODE.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return ASCII
    return UNICODE


def curve(values: Sequence[float], blocks: str, width: int) -> str:
    """Return numbers as a line of characters, from the smallest to the largest.

    Args:
        values: oldest first; where there are more than fit, each character is a median.
        blocks: characters, low to high.
        width: at most so many characters.

    >>> curve([1, 2, 3, 8], ASCII, 10), curve([5, 5], ASCII, 10), curve([1, 1, 9, 9], ASCII, 2)
    ('_.:#', '__', '_#')
    """
    count = min(width, len(values))
    edges = [len(values) * i // count for i in range(count + 1)] if count else [0]
    medians = [median(values[a:b]) for a, b in pairwise(edges)]
    low, high = min(medians, default=0.0), max(medians, default=0.0)
    steps = (len(blocks) - 1) / (high - low) if high > low else 0.0
    return "".join(blocks[round((value - low) * steps)] for value in medians)


def shown(metric: str, value: float | None) -> str:
    """Return a number with its unit, by the name of the metric.

    >>> shown("size_bytes", 92_160), shown("accuracy", 0.974), shown("latency_ms_p50", 1.5)
    ('92.2 KB', '97.40%', '1.50 ms')
    """
    if value is None:
        return fmt.MISSING
    if metric.endswith("_bytes"):
        return fmt.size(value)
    if "_ms" in metric:
        return fmt.milliseconds(value)
    if metric in ("accuracy", "agreement"):
        return fmt.percent(value)
    return fmt.count(value) if value >= 1 else fmt.significant(value)


def trends_tables(trends: Sequence[Trend], blocks: str, *, width: int) -> Iterator[Table]:
    """One table a file, one row for each number on each device.

    Args:
        trends: what to show, sorted by file.
        blocks: characters of the curves, low to high.
        width: of the terminal, in characters.
    """
    numbers = max(len(trend.metric) for trend in trends)
    devices = max(len(trend.device or "device") for trend in trends)
    # On a narrow terminal the number of points is left out.
    columns = ("number", "device", "newest", "trend", "points")[: 5 if width >= _ROOMY else 4]
    others = _OTHERS + 9 * (len(columns) - 4)
    room = min(_WIDE, max(_NARROW, width - numbers - devices - others))
    for artifact, group in groupby(trends, key=lambda trend: trend.artifact):
        table = _table(*columns, right=(2, 4), title=artifact)
        for trend in group:
            values = [point.value for point in trend.points]
            cells = (
                escape(trend.metric),
                escape(trend.device or fmt.MISSING),
                shown(trend.metric, values[-1]),
                curve(values, blocks, room) + (" *" if trend.changes else ""),
                str(len(values)),
            )
            table.add_row(*cells[: len(columns)])
        yield table


def points_table(trend: Trend) -> Table:
    """Every point of one trend, the newest last; a change is marked where it begins."""
    title = f"{trend.metric} of {where(trend)}"
    table = _table("time (UTC)", "commit", "value", "limit", "status", right=(2, 3), title=title)
    begins = {change.index: change for change in trend.changes}
    for index, point in enumerate(trend.points):
        if index in begins:
            table.add_section()
        table.add_row(
            point.time[:16].replace("T", " "),
            commit(point.commit),
            shown(trend.metric, point.value),
            shown(trend.metric, point.limit),
            _status(point),
        )
    return table


def trend_line(trend: Trend, blocks: str, *, width: int) -> str:
    """The curve of one trend, with its smallest and largest value."""
    values = [point.value for point in trend.points]
    low, high = (shown(trend.metric, value) for value in (min(values), max(values)))
    left_out = f"; {trend.left_out} on other processors left out" if trend.left_out else ""
    return f"{curve(values, blocks, min(_WIDE, width))}  {low} to {high}{left_out}"


def change_lines(trends: Sequence[Trend]) -> Iterator[str]:
    """Say every change of every trend, one a line."""
    for trend in trends:
        for change in trend.changes:
            yield f"{where(trend)}: {change_text(trend.metric, change)}"


def change_text(metric: str, change: Change) -> str:
    """Say what changed, from which commit on, how sure that is, and what else did."""
    before, after = shown(metric, change.before), shown(metric, change.after)
    times = f", {fmt.factor(change.after / change.before)}" if change.before else ""
    verb = "drifts from" if change.kind == "drift" else "went from"
    text = f"{metric} {verb} {before} to {after}{times} ({'worse' if change.worse else 'better'})"
    text += f" since {commit(change.commit)}, " if change.commit else " since "
    text += change.time[:10]
    if change.commit_before and change.commit_before != change.commit:
        text += f"; before: {commit(change.commit_before)}"
    if change.p is not None:
        # Never less than one of the orders that were tried.
        text += f"; by chance: p = {change.p:.3f}"
    return "; ".join([text, *change.also])


def where(trend: Trend) -> str:
    """Return the file, and the device if one decides."""
    return f"{trend.artifact} on {trend.device}" if trend.device else trend.artifact


def commit(value: str | None) -> str:
    """Return a commit as people write it."""
    return value[:_SHORT_COMMIT] if value else "no commit"


def _status(point: Point) -> str:
    """Return the verdict, with the paired ratio where there was one."""
    status = point.status or fmt.MISSING
    return f"{status} {fmt.factor(point.ratio)}" if point.ratio is not None else status


def _table(*columns: str, right: Sequence[int] = (), title: str | None = None) -> Table:
    table = Table(
        box=box.SIMPLE_HEAD,
        title=escape(title) if title else None,
        title_justify="left",
        pad_edge=False,
        padding=(0, 1),
    )
    for index, column in enumerate(columns):
        numeric = index in right or column in ("trend", "time (UTC)", "commit")
        table.add_column(
            column,
            justify="right" if index in right else "left",
            no_wrap=numeric,
            overflow="fold",
        )
    return table
