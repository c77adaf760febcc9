"""The chart of early exits: accuracy against mean cost, a point for each threshold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import altair as alt

from edgekd import format as fmt
from edgekd.records_exits import ExitCurve, ExitFile, ExitPoint
from edgekd.report.style import ACCENT, INK, MUTED, Spec, finish, tooltips

#: Colours and dashes of curves in turn.
_LINES = ((ACCENT, [1, 0]), (MUTED, [1, 0]), (ACCENT, [5, 3]), (MUTED, [5, 3]), (INK, [2, 2]))


def figures(curves: Sequence[ExitCurve]) -> list[tuple[str, str, Spec | None, bool]]:
    """Return title, note and chart for each device that the exits were measured on.

    Without any, multiply-accumulates stand for the time.
    """
    measured = {name for curve in curves for file in curve.files for name in file.latency_ms}
    devices: list[str | None] = [*sorted(measured)] or [None]
    note = "A point for each confidence threshold; crosses are the networks without early exits."
    return [
        (
            f"Early exits on {device}" if device else "Early exits",
            f"Up and to the left is better. {note}",
            accuracy_against_cost(curves, device),
            True,
        )
        for device in devices
        if curves
    ]


def accuracy_against_cost(curves: Sequence[ExitCurve], device: str | None) -> Spec | None:
    """Draw a line for each curve.

    Args:
        curves: of a run.
        device: whose latency is the cost; None: multiply-accumulates are.

    Returns:
        None where no curve has that cost.
    """
    values = [value for curve in curves for value in _points(curve, device)]
    series = list(dict.fromkeys(value["series"] for value in values))
    if not values:
        return None
    unit = "MACs" if device is None else "ms"
    lines = [_LINES[number % len(_LINES)] for number in range(len(series))]
    base = alt.Chart({"values": values}).encode(
        x=alt.X(
            "cost:Q",
            title=f"mean {unit} a sample",
            scale=alt.Scale(zero=False, padding=24),
            axis=alt.Axis(tickCount=6, format="~s" if device is None else "~g"),
        ),
        y=alt.Y(
            "accuracy:Q",
            title="accuracy",
            scale=alt.Scale(zero=False, padding=24, nice=True),
            axis=alt.Axis(format=".1%", tickCount=6),
        ),
        color=alt.Color(
            "series:N", scale=alt.Scale(domain=series, range=[colour for colour, _ in lines])
        ),
    )
    dashes = alt.StrokeDash(
        "series:N", scale=alt.Scale(domain=series, range=[dash for _, dash in lines])
    )
    tooltip = tooltips("series", "threshold", "percent", "shown", "leaving")
    drawn = base.transform_filter("!datum.whole")
    return finish(
        alt.layer(
            drawn.mark_line(strokeWidth=2).encode(order=alt.Order("order:Q"), strokeDash=dashes),
            drawn.mark_point(filled=True, size=45, opacity=1).encode(tooltip=tooltip),
            base.transform_filter("datum.whole")
            .mark_point(shape="cross", filled=True, size=90, opacity=1)
            .encode(tooltip=tooltip),
        ),
        height=320,
    )


def _points(curve: ExitCurve, device: str | None) -> Iterator[dict[str, Any]]:
    """Yield the points of a curve that have the cost, in the order of their thresholds."""
    for order, found in enumerate((*curve.points, *([curve.whole] if curve.whole else ()))):
        cost = found.macs if device is None else found.latency_ms.get(device)
        if cost is not None:
            yield _point(curve, found, cost, device, order)


def _point(
    curve: ExitCurve, found: ExitPoint | ExitFile, cost: float, device: str | None, order: int
) -> dict[str, Any]:
    whole = isinstance(found, ExitFile)
    threshold, leaving = fmt.MISSING, fmt.MISSING
    if isinstance(found, ExitPoint):
        threshold = f"{found.threshold:g}" if found.threshold <= 1 else "never leave early"
        leaving = ", ".join(
            f"{fmt.percent(share, 0)} at exit {file.exit}"
            for file, share in zip(curve.files, found.shares, strict=True)
        )
    return {
        "series": f"{curve.name}, {curve.split}",
        "cost": cost,
        "accuracy": found.accuracy,
        "whole": whole,
        "order": order,
        "threshold": threshold,
        "percent": fmt.percent(found.accuracy),
        "shown": fmt.count(round(cost)) if device is None else fmt.milliseconds(cost),
        "leaving": leaving,
    }
