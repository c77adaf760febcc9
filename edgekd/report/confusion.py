"""Which classes two subjects take for one another: the difference of their confusion matrices."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from edgekd.records_evaluation import Disagreements, Evaluation
from edgekd.report.blocks import MOST_ROWS, Block, Figure, Folded, Row, Table, called
from edgekd.report.style import ACCENT, INK, LINE, Spec, finish, tooltips

#: The most classes a side of a matrix; of more, those are shown that differ most.
_MOST = 20

#: Up to so many classes the cells hold their numbers.
_READABLE = 12

Cell = tuple[int, int]


def difference(found: Disagreements) -> dict[Cell, int]:
    """Return, by label and answer, how many samples more the first answers so than the second.

    Samples on which both give one answer cancel out, so that those on which they differ are enough.

    Args:
        found: all samples on which they differ.

    Returns:
        (label, answer) -> count; cells in which nothing differs are left out.
    """
    counts: Counter[Cell] = Counter()
    for case in (*found.only_a_right, *found.only_b_right, *found.both_wrong):
        counts[case.target, case.a.label] += 1
        counts[case.target, case.b.label] -= 1
    return {cell: count for cell, count in counts.items() if count}


def blocks(record: Evaluation, files: Sequence[str]) -> list[Block]:
    """Return a matrix of student and teacher, and one of each file and the student."""
    figures: list[Figure] = []
    folded: list[Block] = []
    for pair in _pairs(record, files):
        cells = difference(pair)
        if not cells:
            continue
        shown = _classes(cells, len(record.classes))
        a, b = called(pair.a), called(pair.b)
        note = "" if len(shown) == len(record.classes) else f"The {len(shown)} that differ most."
        spec = matrix(cells, [record.classes[index] for index in shown], shown)
        figures.append(Figure(f"{a}, less {b}", note, spec))
        folded.append(Folded(f"{a} against {b}: the numbers", _table(record, cells)))
    return [Row(figures), *folded] if figures else []


def _pairs(record: Evaluation, files: Sequence[str]) -> list[Disagreements]:
    """Return the first pair, student and teacher, and those of the files."""
    with_student = [one for one in record.disagreements[1:] if one.b == "student"]
    return [*record.disagreements[:1], *[one for one in with_student if one.a in files]]


def _classes(cells: Mapping[Cell, int], count: int) -> list[int]:
    """Return the classes to show, in label order."""
    if count <= _MOST:
        return [*range(count)]
    changes: Counter[int] = Counter()
    for (label, answer), change in cells.items():
        changes[label] += abs(change)
        changes[answer] += abs(change)
    return sorted(index for index, _ in changes.most_common(_MOST))


def matrix(cells: Mapping[Cell, int], names: Sequence[str], shown: Sequence[int]) -> Spec:
    """Draw the difference of two confusion matrices.

    Args:
        cells: (label, answer) -> difference.
        names: of the classes.
        shown: their indexes, in the same order.
    """
    values: list[dict[str, Any]] = [
        {
            "label": name,
            "answer": other,
            "count": cells.get((row, column), 0),
            "change": abs(cells.get((row, column), 0)),
            "difference": f"{cells.get((row, column), 0):+d}".replace("+0", "0"),
            "more": cells.get((row, column), 0) > 0,
            "right": row == column,
        }
        for name, row in zip(names, shown, strict=True)
        for other, column in zip(names, shown, strict=True)
    ]
    most = max((value["change"] for value in values), default=0) or 1
    order = [*names]
    angle = 0 if len(names) <= _READABLE and max(map(len, names)) <= 4 else -60
    base = alt.Chart({"values": values}).encode(
        x=alt.X(
            "answer:N", sort=order, title="answer", axis=alt.Axis(labelAngle=angle, labelLimit=110)
        ),
        y=alt.Y("label:N", sort=order, title="label", axis=alt.Axis(labelLimit=110)),
    )
    # Colours that follow the style sheet cannot be blended by Vega; their opacity can.
    opacity = alt.Opacity(
        "change:Q", scale=alt.Scale(domain=[0, most], range=[0.0, 0.5]), legend=None
    )
    layers: list[Any] = [
        base.mark_rect(stroke=LINE, strokeWidth=1, fill="transparent").encode(
            tooltip=tooltips("label", "answer", "difference")
        ),
        base.mark_rect(color=ACCENT).encode(opacity=opacity).transform_filter("datum.more"),
        base.mark_rect(color=INK).encode(opacity=opacity).transform_filter("datum.count < 0"),
    ]
    if len(names) <= _READABLE:
        text = base.mark_text(fontSize=11).encode(text="difference:N")
        layers.append(text.transform_filter("datum.change > 0"))
    return finish(
        alt.layer(*layers), height=max(28 if len(names) <= _READABLE else 18, 18) * len(names)
    )


def _table(record: Evaluation, cells: Mapping[Cell, int]) -> Table:
    ordered = sorted(cells.items(), key=lambda item: (-abs(item[1]), item[0]))
    rows = [
        (record.classes[label], record.classes[answer], f"{change:+d}")
        for (label, answer), change in ordered[:MOST_ROWS]
    ]
    note = f"The largest {MOST_ROWS} of {len(ordered)}." if len(ordered) > MOST_ROWS else ""
    return Table("", ("label", "answer", "samples"), rows, note, frozenset({1}))
