"""The curves of the training log, as Vega-Lite specifications."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from edgekd import format as fmt
from edgekd.report.style import ACCENT, INK, MUTED, Spec, finish, tooltips, whole
from edgekd.summary import BASELINE

#: A series, its colour, its dashes.
Style = tuple[str, str, list[int]]

#: What a phase of the log is called, its colour and its dashes.
_PHASES = {
    "student": ("student", ACCENT, [1, 0]),
    "baseline": (BASELINE, MUTED, [5, 3]),
    "teacher": ("teacher", INK, [1, 0]),
}

#: What else may be between teacher and student, by the beginning of the phase, and its dashes in
#: turn; the phase names the series.
_BETWEEN = ("assistant ", "generation-", "direct", "qat")
_DASHES = ([2, 2], [8, 3, 2, 3], [1, 4], [10, 4], [4, 2, 1, 2])


def _phases(lines: Sequence[Mapping[str, Any]]) -> dict[str, Style]:
    """Return how each phase of a log is drawn, the chain after the others."""
    between = [
        phase
        for phase in dict.fromkeys(str(line.get("phase")) for line in lines)
        if phase.startswith(_BETWEEN)
    ]
    styles: dict[str, Style] = dict(_PHASES)
    for number, phase in enumerate(between):
        styles[phase] = (phase, MUTED, _DASHES[number % len(_DASHES)])
    return styles


#: Colour and dashes of each of several runs: the colours are those of their points.
_RUNS = ((ACCENT, [1, 0]), (INK, [1, 0]), (MUTED, [1, 0]), (ACCENT, [5, 3]), (INK, [5, 3]))

#: Colour and dashes of the terms of a loss, in the order of the recipe.
_TERMS = (
    (MUTED, [5, 3]),
    (ACCENT, [1, 0]),
    (ACCENT, [5, 3]),
    (MUTED, [2, 2]),
    (ACCENT, [2, 2]),
    (MUTED, [8, 3, 2, 3]),
)


def validation_accuracy(lines: Sequence[Mapping[str, Any]]) -> Spec | None:
    """Draw validation accuracy by epoch: teacher, chain, students, students without a teacher."""
    phases = _phases(lines)
    values = [
        {
            "series": phases[line["phase"]][0],
            "seed": line["seed"],
            "epoch": line["epoch"],
            "value": line["validation_accuracy"],
            "shown": fmt.percent(line["validation_accuracy"]),
        }
        for line in lines
        if line.get("phase") in phases and line.get("validation_accuracy") is not None
    ]
    if not values:
        return None
    known = [value["series"] for value in values]
    chosen = [style for style in phases.values() if style[0] in known]
    return _lines(values, _accuracy_axis(values), chosen)


def _accuracy_axis(values: Sequence[Mapping[str, Any]]) -> alt.Y:
    # The first epochs would squeeze what matters into a sliver: start where they have passed.
    last: dict[str, int] = {}
    for value in values:
        last[value["series"]] = max(value["epoch"], last.get(value["series"], 0))
    late = [value["value"] for value in values if value["epoch"] > last[value["series"]] / 5]
    low, high = min(late), max(late)
    room = max((high - low) * 0.08, 0.002)
    return alt.Y(
        "value:Q",
        title="validation accuracy",
        scale=alt.Scale(domain=[max(0.0, low - room), min(1.0, high + room)], nice=False),
        axis=alt.Axis(format=".0%" if high - low > 0.05 else ".1%", tickCount=6),
    )


def loss_by_term(lines: Sequence[Mapping[str, Any]]) -> Spec | None:
    """Draw the student's loss by epoch: each weighted term, and their sum."""
    chosen = [line for line in lines if line.get("phase") == "student"]
    terms = list(dict.fromkeys(name for line in chosen for name in line["terms"]))
    total = "total" if "total" not in terms else "sum of all terms"
    values = []
    for line in chosen:
        # The sum first: a term that is nearly all of it is drawn over it and stays visible.
        found = {total: line["loss"]} if len(terms) > 1 else {}
        found |= line["terms"]
        values += [_loss(name, line["seed"], line["epoch"], value) for name, value in found.items()]
    if not values:
        return None
    styles: list[Style] = [(name, *_TERMS[i % len(_TERMS)]) for i, name in enumerate(terms)]
    # The sum first, in ink; a single term is its own sum.
    styles = [(total, INK, [1, 0]), *styles] if len(terms) > 1 else [(terms[0], ACCENT, [1, 0])]
    return _lines(values, _loss_axis("loss, weighted terms"), styles, broad=total)


def loss_of_others(lines: Sequence[Mapping[str, Any]]) -> Spec | None:
    """Draw the loss of the teacher and of the student without it, each term summed."""
    values = [
        _loss(_PHASES[line["phase"]][0], line["seed"], line["epoch"], line["loss"])
        for line in lines
        if line.get("phase") in ("teacher", "baseline")
    ]
    if not values:
        return None
    known = {value["series"] for value in values}
    styles = [style for style in _PHASES.values() if style[0] in known]
    return _lines(values, _loss_axis("loss"), styles)


def _loss(series: str, seed: int, epoch: int, value: float) -> dict[str, Any]:
    shown = fmt.significant(value)
    return {"series": series, "seed": seed, "epoch": epoch, "value": value, "shown": shown}


def _loss_axis(title: str) -> alt.Y:
    return alt.Y(
        "value:Q", title=title, scale=alt.Scale(zero=True), axis=alt.Axis(tickCount=6, format="~g")
    )


def _lines(
    values: list[dict[str, Any]], y: alt.Y, styles: Sequence[Style], broad: str | None = None
) -> Spec:
    """Draw a line for each series and seed, with points that show when they are pointed at.

    Args:
        values: the points.
        y: the axis.
        styles: of every series.
        broad: the series, if any, that lies under the others.
    """
    domain = [name for name, _, _ in styles]
    base = alt.Chart({"values": values}).encode(
        x=whole("epoch", (value["epoch"] for value in values), title="epoch", ticks=6),
        y=y,
        color=alt.Color(
            "series:N",
            scale=alt.Scale(domain=domain, range=[colour for _, colour, _ in styles]),
        ),
        detail="seed:N",
    )
    dashes = alt.StrokeDash(
        "series:N", scale=alt.Scale(domain=domain, range=[dash for _, _, dash in styles])
    )
    many = len({value["seed"] for value in values}) > 1
    line = base.mark_line(clip=True, strokeWidth=1.6, opacity=0.75 if many else 1.0)
    lines = [line.encode(strokeDash=dashes)]
    if broad in domain:
        under = base.mark_line(clip=True, strokeWidth=4, opacity=0.4)
        lines = [
            under.transform_filter(f"datum.series === '{broad}'"),
            lines[0].transform_filter(f"datum.series !== '{broad}'"),
        ]
    # A line of one point is none: then the point is seen.
    lengths = Counter((value["series"], value["seed"]) for value in values)
    for value in values:
        value["alone"] = lengths[value["series"], value["seed"]] == 1
    points = base.mark_point(clip=True, size=50, filled=True).encode(
        opacity=alt.condition("datum.alone", alt.value(1), alt.value(0)),
        tooltip=tooltips("series", "seed", "epoch", "shown"),
    )
    return finish(alt.layer(*lines, points), height=240)


def of_runs(runs: Mapping[str, Sequence[Mapping[str, Any]]]) -> Spec | None:
    """Draw the validation accuracy of the students of several runs, a colour a run.

    Args:
        runs: name -> lines of its log.
    """
    values = [
        {
            "series": name,
            "seed": line["seed"],
            "epoch": line["epoch"],
            "value": line["validation_accuracy"],
            "shown": fmt.percent(line["validation_accuracy"]),
        }
        for name, lines in runs.items()
        for line in lines
        if line.get("phase") == "student" and line.get("validation_accuracy") is not None
    ]
    if not values:
        return None
    names = [(name, *_RUNS[at % len(_RUNS)]) for at, name in enumerate(runs)]
    return _lines(values, _accuracy_axis(values), names)
