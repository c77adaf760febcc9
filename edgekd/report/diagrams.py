"""The charts of calibration and of classes, as Vega-Lite specifications."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from edgekd import format as fmt
from edgekd.records_evaluation import CalibrationCurve, Evaluation, SubjectScores
from edgekd.report.blocks import Figure, called
from edgekd.report.style import ACCENT, INK, LINE, MUTED, finish, styles, tooltips

#: The legend of points and bars.
_DOTS = alt.Legend(symbolType="circle", symbolStrokeWidth=0, symbolSize=80)

_MARKS = alt.Legend(symbolStrokeWidth=0, symbolSize=80)

#: Of points that may lie on one another.
_SIZES = [170, 90, 40, 14]


def reliability(
    curves: Sequence[tuple[str, str, CalibrationCurve]], title: str, note: str
) -> Figure:
    """Draw accuracy against confidence, bin by bin; on the diagonal the two are equal.

    Args:
        curves: name, kind and curve of each subject.
        title: of the chart.
        note: of the chart.
    """
    values = [
        {
            "series": called(name),
            "confidence": each.confidence,
            "accuracy": each.accuracy,
            "samples": each.samples,
            "sure": fmt.percent(each.confidence, 1),
            "right": fmt.percent(each.accuracy, 1),
        }
        for name, _, curve in curves
        for each in curve.bins
        if each.samples and each.confidence is not None and each.accuracy is not None
    ]
    base = alt.Chart({"values": values}).encode(
        x=alt.X("confidence:Q", title="mean confidence", **_SHARE),
        y=alt.Y("accuracy:Q", title="accuracy", **_SHARE),
        color=_colours({called(name): kind for name, kind, _ in curves}),
    )
    ends = [{"x": 0, "y": 0}, {"x": 1, "y": 1}]
    diagonal = alt.Chart({"values": ends}).mark_line(color=LINE, strokeWidth=1.5)
    points = base.mark_circle(opacity=0.85).encode(
        size=alt.Size("samples:Q", scale=alt.Scale(type="sqrt", range=[14, 260]), legend=None),
        tooltip=tooltips("series", "sure", "right", "samples"),
    )
    lines = base.mark_line(strokeWidth=1.2, opacity=0.4)
    layers = alt.layer(diagonal.encode(x="x:Q", y="y:Q"), lines, points)
    return Figure(title, note, finish(layers, height=300))


#: How a share from 0 to 1 lies on an axis of its own.
_SHARE: dict[str, Any] = {
    "scale": alt.Scale(domain=[0, 1], nice=False),
    "axis": alt.Axis(format=".0%", tickCount=5),
}


def _colours(kinds: Mapping[str, str], **more: Any) -> alt.Color:
    return alt.Color(
        "series:N",
        scale=alt.Scale(domain=[*kinds], range=[colour for colour, _ in styles(kinds)]),
        **more,
    )


def by_class(record: Evaluation, shown: Sequence[SubjectScores], order: Sequence[int]) -> Figure:
    """Draw each subject's accuracy in each class as a point, a row for every class."""
    values = [
        {
            "series": called(one.name),
            "class": record.classes[index],
            "accuracy": one.classes[index],
            "percent": fmt.percent(one.classes[index], 1),
            "samples": record.class_samples[index],
            # Equal values lie on one another: the later ones are smaller.
            "size": _SIZES[min(place, len(_SIZES) - 1)],
        }
        for place, one in enumerate(shown)
        for index in order
        if one.classes[index] is not None
    ]
    base = alt.Chart({"values": values}).encode(y=_names(record, order))
    x = alt.X(
        "accuracy:Q",
        title="accuracy",
        scale=alt.Scale(zero=False, padding=10),
        axis=alt.Axis(format=".0%", tickCount=5, grid=True),
    )
    spans = base.mark_rule(color=LINE, strokeWidth=2).encode(
        x=alt.X(field="accuracy", aggregate="min", type="quantitative", title="accuracy"),
        x2=alt.X2(field="accuracy", aggregate="max"),
    )
    kinds = {called(one.name): one.kind for one in shown}
    shapes = ["diamond" if kind in ("artifact", "file") else "circle" for kind in kinds.values()]
    points = base.mark_point(filled=True, opacity=1).encode(
        x=x,
        color=_colours(kinds, legend=_MARKS),
        shape=alt.Shape("series:N", scale=alt.Scale(domain=[*kinds], range=shapes), legend=_MARKS),
        size=alt.Size("size:Q", scale=None),
        tooltip=tooltips("class", "series", "percent", "samples"),
    )
    return Figure(
        "Accuracy by class",
        "The axis does not start at 0.",
        finish(alt.layer(spans, points), height=_height(order)),
    )


def helped_and_hurt(
    record: Evaluation, gains: Mapping[int, tuple[int, int]], order: Sequence[int]
) -> Figure:
    """Draw the samples of each class that only the student, and only its twin, gets right."""
    values = [value for index in order for value in _effect(record, gains, index)]
    most = max([abs(value["count"]) for value in values] or [0]) or 1
    base = alt.Chart({"values": values}).encode(
        y=_names(record, order),
        x=alt.X(
            "count:Q",
            title="samples",
            scale=alt.Scale(domain=[-most * 1.5, most * 1.5], nice=False),
            axis=alt.Axis(tickMinStep=1, tickCount=5, format="d"),
        ),
    )
    colour = alt.Color(
        "series:N",
        scale=alt.Scale(domain=["helped", "hurt"], range=[ACCENT, MUTED]),
        legend=_DOTS,
    )
    bars = base.mark_bar(height=11).encode(
        color=colour, tooltip=tooltips("class", "series", "samples")
    )
    zero = alt.Chart({"values": [{"x": 0}]}).mark_rule(color=LINE).encode(x="x:Q")
    layers: list[Any] = [bars, zero]
    beside: dict[str, dict[str, Any]] = {
        "helped": {"align": "left", "dx": 5},
        "hurt": {"align": "right", "dx": -5},
    }
    for series, place in beside.items():
        text = base.mark_text(color=MUTED, **place).encode(text="shown:N")
        layers.append(text.transform_filter(f"datum.series === '{series}'"))
    return Figure(
        "Where distillation helped and hurt",
        "Samples that only the distilled student, or only its twin, gets right.",
        finish(alt.layer(*layers), height=_height(order)),
    )


def _effect(
    record: Evaluation, gains: Mapping[int, tuple[int, int]], index: int
) -> list[dict[str, Any]]:
    """Return the two bars of a class."""
    won, lost = gains.get(index, (0, 0))
    return [
        {
            "class": record.classes[index],
            "series": series,
            "count": count,
            "samples": abs(count),
            "shown": f"{count:+d}" if count else "",
        }
        for series, count in (("helped", won), ("hurt", -lost))
    ]


def _names(record: Evaluation, order: Sequence[int]) -> alt.Y:
    return alt.Y(
        "class:N",
        title=None,
        sort=[record.classes[index] for index in order],
        axis=alt.Axis(labelColor=INK, labelLimit=120),
    )


def _height(order: Sequence[int]) -> int:
    return 22 * max(len(order), 2)
