"""Quality against cost: a point for each network and file, axes and device to choose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt

from edgekd import format as fmt
from edgekd.report.axes import COSTS, QUALITIES, Axis
from edgekd.report.blocks import MOST_LINES, Chooser, Select
from edgekd.report.labels import NARROW, Box, place
from edgekd.report.style import ACCENT, INK, MUTED, Spec, finish, tooltips
from edgekd.summary import Row

#: What stands for the device where nothing was measured.
_NOWHERE = "no device"

#: Colour and shape of the points of each of several runs.
_RUNS = (
    (ACCENT, "circle"),
    (INK, "square"),
    (MUTED, "diamond"),
    (ACCENT, "triangle-up"),
    (INK, "cross"),
)

_COLOURS = {"teacher": INK, "student": MUTED, "baseline": MUTED, "artifact": ACCENT}


def chooser(groups: Mapping[str, Sequence[Row]]) -> Chooser | None:
    """Return the chart with all its choices; None where there is nothing to compare.

    Args:
        groups: name of a run -> its table. Of several runs, each has a colour of its own.
    """
    groups = dict([*groups.items()][:MOST_LINES])
    found = sorted({row.device for rows in groups.values() for row in rows if row.device})
    devices = found or [_NOWHERE]
    drawn: dict[tuple[str, ...], Spec] = {}
    for device in devices:
        for cost in COSTS:
            for quality in QUALITIES:
                spec = scatter(groups, device, cost, quality)
                if spec is not None:
                    drawn[device, cost.key, quality.key] = spec
    if not drawn:
        return None
    selects = [
        Select("device", {name: name for name in devices if any(key[0] == name for key in drawn)}),
        Select("across", {a.key: a.label for a in COSTS if any(key[1] == a.key for key in drawn)}),
        Select("up", {a.key: a.label for a in QUALITIES if any(key[2] == a.key for key in drawn)}),
    ]
    return Chooser(
        "Accuracy against cost",
        "The line joins what nothing else beats in both (the Pareto front); what is beaten is "
        "pale. Of latency, the tail of a point reaches from p50 to p90, or to the edge. The axes "
        "do not start at 0.",
        [select for select in selects if select.options != {_NOWHERE: _NOWHERE}],
        {_key(choice): spec for choice, spec in drawn.items()},
    )


def _key(choice: Sequence[str]) -> tuple[str, ...]:
    return tuple(part for part in choice if part != _NOWHERE)


@dataclass(frozen=True)
class _Point:
    group: str
    row: Row
    x: float
    y: float


def scatter(
    groups: Mapping[str, Sequence[Row]], device: str, cost: Axis, quality: Axis
) -> Spec | None:
    """Draw one choice; None where fewer than two points have both numbers."""
    points = [
        _Point(name, row, x, y)
        for name, rows in groups.items()
        for row in _on(rows, device, cost)
        for x, y in [(cost.value(row), quality.value(row))]
        if x is not None and y is not None
    ]
    if len(points) < 2:
        return None
    best = front([(point.x, point.y) for point in points], more=cost.more_is_better)
    xs = [point.x for point in points]
    log = min(xs) > 0 and max(xs) / min(xs) > 8
    several = len(groups) > 1
    names = [f"{p.group}: {p.row.name}" if several else p.row.name for p in points]
    boxes = [Box(p.x, p.y, n) for p, n in zip(points, names, strict=True)]
    places = zip(place(boxes, log), place(boxes, log, NARROW), strict=True)
    values = [
        {**_value(point, name, index in best, (cost, quality)), "place": wide, "narrow": narrow}
        for index, (point, name, (wide, narrow)) in enumerate(
            zip(points, names, places, strict=True)
        )
    ]
    return _draw(values, [*groups], (cost, quality), (min(xs), max(xs)), log)


def _on(rows: Sequence[Row], device: str, cost: Axis) -> list[Row]:
    """Return the rows of a device, and networks that were not run there where that is all one."""
    known = [row for row in rows if row.status not in ("failed", "stale")]
    found = [row for row in known if row.device in (device, None)]
    names = {row.name for row in found}
    for row in known:
        if not cost.device and row.kind != "artifact" and row.name not in names:
            names.add(row.name)
            found.append(row)
    return found


def front(points: Sequence[tuple[float, float]], *, more: bool = False) -> set[int]:
    """Return the places of the points that no other point beats: the Pareto front.

    Args:
        points: cost and quality of each; more quality is better.
        more: more cost is better too, as of samples a second.

    >>> sorted(front([(1, 0.9), (2, 0.8), (3, 0.95), (1, 0.9)]))
    [0, 2, 3]
    """
    sign = -1 if more else 1
    return {
        index
        for index, (x, y) in enumerate(points)
        if not any(sign * a <= sign * x and b >= y and (a, b) != (x, y) for a, b in points)
    }


def _value(point: _Point, name: str, best: bool, axes: tuple[Axis, Axis]) -> dict[str, Any]:
    row, (cost, quality) = point.row, axes
    shown = cost.show(point.x)
    if cost.key == "latency" and row.latency_p90_ms is not None:
        shown += f" (p90 {fmt.milliseconds(row.latency_p90_ms)})"
    if cost.key == "energy" and row.energy_estimated:
        shown = f"~{shown}"
    value = {
        "name": name,
        "group": point.group,
        "kind": row.kind,
        "x": point.x,
        "y": point.y,
        "best": best,
        cost.label: shown,
        quality.label: quality.show(point.y),
        "size": fmt.size(row.size_bytes),
        "parameters": fmt.count(row.parameters),
        "runtime": row.runtime or fmt.MISSING,
    }
    if cost.key == "latency":
        value["tail"] = row.latency_p90_ms or point.x
    return value


def _draw(
    values: list[dict[str, Any]],
    groups: Sequence[str],
    axes: tuple[Axis, Axis],
    bounds: tuple[float, float],
    log: bool,
) -> Spec:
    cost, quality = axes
    base = alt.Chart({"values": values}).encode(x=_across(cost, bounds, log), y=_up(quality))
    if len(groups) > 1:
        shades, forms = zip(*_RUNS[: len(groups)], strict=True)
        legend = alt.Legend(symbolStrokeWidth=0, symbolSize=80)
        shapes = alt.Shape(
            "group:N", scale=alt.Scale(domain=[*groups], range=[*forms]), legend=legend
        )
        colour = alt.Color(
            "group:N", scale=alt.Scale(domain=[*groups], range=[*shades]), legend=legend
        )
        points = base.mark_point(filled=True, size=90).encode(shape=shapes)
    else:
        scale = alt.Scale(domain=[*_COLOURS], range=[*_COLOURS.values()])
        colour = alt.Color("kind:N", scale=scale, legend=None)
        points = base.mark_point(filled=True, size=90)
    pale = alt.condition("datum.best", alt.value(1), alt.value(0.45))
    shown = tooltips(*dict.fromkeys(("name", cost.label, quality.label, "size", "runtime")))
    layers: list[Any] = [
        base.mark_line(
            color=MUTED,
            opacity=0.6,
            strokeDash=[3, 3],
            interpolate="step-before" if cost.more_is_better else "step-after",
        ).transform_filter("datum.best"),
        points.encode(color=colour, opacity=pale, tooltip=shown),
    ]
    if cost.key == "latency":
        rule = base.mark_rule(opacity=0.35, strokeWidth=2, clip=True)
        layers.insert(1, rule.encode(x2="tail:Q", color=colour))
    for position, mark in _LABELS.items():
        if any(position in (value["place"], value["narrow"]) for value in values):
            text = base.mark_text(**mark).encode(text="name:N")
            # On a phone, the page's script reads `narrow` instead.
            layers.append(text.transform_filter(f"datum.place === '{position}'"))
    return finish(alt.layer(*layers), height=320)


def _across(cost: Axis, bounds: tuple[float, float], log: bool) -> alt.X:
    better = "more is better" if cost.more_is_better else "less is better"
    scale = ", log scale" if log else ""
    return alt.X(
        "x:Q",
        title=f"{cost.title} ({better}{scale})",
        # The domain is that of the points: a tail may be long, and is cut.
        scale=alt.Scale(type="log" if log else "linear", domain=[*bounds], nice=False, padding=40),
        axis=alt.Axis(tickCount=6, format=cost.format),
    )


def _up(quality: Axis) -> alt.Y:
    return alt.Y(
        "y:Q",
        title=quality.title,
        # Not made nice: an axis of shares would end above 100%.
        scale=alt.Scale(zero=False, padding=24, nice=False),
        axis=alt.Axis(format=quality.format, tickCount=6),
    )


#: How a label lies at its point, by the name of its place.
_LABELS: dict[str, dict[str, Any]] = {
    "right": {"align": "left", "baseline": "middle", "dx": 9},
    "left": {"align": "right", "baseline": "middle", "dx": -9},
    "above": {"align": "center", "baseline": "bottom", "dy": -9},
    "below": {"align": "center", "baseline": "top", "dy": 9},
}
