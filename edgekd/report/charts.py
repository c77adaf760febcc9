"""The charts of the results, as Vega-Lite specifications."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt

from edgekd import format as fmt
from edgekd.report.labels import Box, place
from edgekd.report.style import ACCENT, INK, MUTED, Spec, finish, tooltips
from edgekd.summary import Row


def accuracy_against_latency(rows: Sequence[Row], device: str) -> Spec | None:
    """Draw one point for each network and file that was measured on a device.

    Args:
        rows: the table of the run.
        device: the device.

    Returns:
        None where fewer than two rows have both numbers: there is nothing to compare.
    """
    shown = [
        row
        for row in rows
        if row.device == device
        and row.latency_p50_ms is not None
        and row.accuracy is not None
        and not row.emulated
    ]
    if len(shown) < 2:
        return None
    latencies = [row.latency_p50_ms or 0.0 for row in shown]
    log = min(latencies) > 0 and max(latencies) / min(latencies) > 8
    boxes = place(
        [Box(row.latency_p50_ms or 0.0, row.accuracy or 0.0, row.name) for row in shown], log
    )
    points = [_point(row, position) for row, position in zip(shown, boxes, strict=True)]
    base = alt.Chart({"values": points}).encode(x=_latency_axis(log), y=_accuracy_axis())
    colour = alt.Color(
        "kind:N",
        scale=alt.Scale(domain=["teacher", "student", "artifact"], range=[INK, MUTED, ACCENT]),
        legend=None,
    )
    tooltip = tooltips("name", "latency", "percent", "agreement", "size", "runtime")
    layers: list[Any] = [
        base.mark_rule(opacity=0.35, strokeWidth=2).encode(x2="p90:Q", color=colour),
        base.mark_point(filled=True, size=90, opacity=1).encode(color=colour, tooltip=tooltip),
    ]
    for position, mark in _LABELS.items():
        if position in boxes:
            text = base.mark_text(**mark).encode(text="name:N")
            layers.append(text.transform_filter(f"datum.place === '{position}'"))
    return finish(alt.layer(*layers), height=320)


def _latency_axis(log: bool) -> alt.X:
    title = "median latency of one inference, ms"
    if not log:
        return alt.X("p50:Q", title=title, axis=alt.Axis(tickCount=6, format="~g"))
    return alt.X(
        "p50:Q",
        title=f"{title} (log scale)",
        scale=alt.Scale(type="log", nice=False, padding=40),
        axis=alt.Axis(tickCount=6, format="~g"),
    )


def _accuracy_axis() -> alt.Y:
    return alt.Y(
        "accuracy:Q",
        title="test accuracy",
        scale=alt.Scale(zero=False, padding=24, nice=True),
        axis=alt.Axis(format=".1%", tickCount=6),
    )


def _point(row: Row, position: str) -> dict[str, Any]:
    p50, p90 = fmt.milliseconds(row.latency_p50_ms), fmt.milliseconds(row.latency_p90_ms)
    return {
        "name": row.name,
        "kind": row.kind,
        "p50": row.latency_p50_ms,
        "p90": row.latency_p90_ms,
        "accuracy": row.accuracy,
        "latency": f"{p50} (p90 {p90})",
        "percent": fmt.percent(row.accuracy),
        "agreement": fmt.percent(row.agreement),
        "size": fmt.size(row.size_bytes),
        "runtime": row.runtime or fmt.MISSING,
        "place": position,
    }


#: How a label lies at its point, by the name of its place.
_LABELS: dict[str, dict[str, Any]] = {
    "right": {"align": "left", "baseline": "middle", "dx": 9},
    "left": {"align": "right", "baseline": "middle", "dx": -9},
    "above": {"align": "center", "baseline": "bottom", "dy": -9},
    "below": {"align": "center", "baseline": "top", "dy": 9},
}


def sizes(rows: Sequence[Row]) -> Spec | None:
    """Draw the size of each network and file as a bar, in the order of the table."""
    seen: dict[str, Row] = {}
    for row in rows:
        if row.size_bytes is not None and row.kind != "baseline":
            seen.setdefault(row.name, row)
    if not seen:
        return None
    largest = max(row.size_bytes or 0 for row in seen.values())
    values = [
        {
            "name": row.name,
            "kind": "file" if row.kind == "artifact" else "network",
            "bytes": row.size_bytes,
            "size": fmt.size(row.size_bytes),
            "share": fmt.percent((row.size_bytes or 0) / largest, 1) if largest else fmt.MISSING,
        }
        for row in seen.values()
    ]
    base = alt.Chart({"values": values}).encode(
        y=alt.Y("name:N", sort=None, title=None, axis=alt.Axis(labelColor=INK, labelLimit=150)),
        # Room at the right for the longest bar's label.
        x=alt.X("bytes:Q", axis=None, scale=alt.Scale(domain=[0, largest * 1.22 or 1])),
    )
    bars = base.mark_bar(height=14, cornerRadiusEnd=2).encode(
        color=alt.Color(
            "kind:N",
            scale=alt.Scale(domain=["file", "network"], range=[ACCENT, MUTED]),
            legend=None,
        ),
        tooltip=tooltips("name", "size", "share"),
    )
    text = base.mark_text(align="left", dx=6, color=MUTED).encode(text="size:N")
    return finish(alt.layer(bars, text), height=30 * len(seen))
