"""The section of what corrupted samples showed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from edgekd import format as fmt
from edgekd.records_robustness import Robustness, SubjectRobustness
from edgekd.report.blocks import MOST_LINES, Figure, Key, Section, Small, Table, called
from edgekd.report.style import Spec, finish, styles, tooltips

#: Names of networks; everything else is a file.
_NETWORKS = ("teacher", "student", "baseline")


def section(record: Robustness, title: str = "Corrupted samples") -> Section | None:
    """Return the section of a record; None for one about nobody."""
    if not record.subjects:
        return None
    kinds = " and ".join(dict.fromkeys(f"{kind}s" for kind in record.sample_kinds.values()))
    note = (
        f"{record.samples:,} {kinds} of the split {record.split}, corrupted in "
        f"{len(record.corruptions)} ways; everybody met the very same samples."
    )
    return Section(title, [_sums(record), _charts(record)], note)


def _sums(record: Robustness) -> Table:
    rows = [
        (
            called(one.name),
            fmt.percent(one.clean_accuracy),
            fmt.percent(1 - one.mean_corruption_error),
            fmt.points(-one.relative_error),
            fmt.percent(one.mean_agreement),
            fmt.factor(one.error_over_teacher),
        )
        for one in record.subjects
    ]
    note = "Means over corruptions and severities."
    for what, reason in [*record.unknown.items(), *record.skipped.items()]:
        note += f" {what}: {reason.rstrip('.')}."
    head = ("name", "clean", "corrupted", "lost", "agreement", "errors / teacher's")
    return Table("", head, rows, note)


def _charts(record: Robustness) -> Small:
    shown = _shown(record.subjects)
    kinds = {called(one.name): one.name if one.name in _NETWORKS else "file" for one in shown}
    accuracies = [score.accuracy for one in shown for score in one.scores]
    accuracies += [one.clean_accuracy for one in shown]
    room = max((max(accuracies) - min(accuracies)) * 0.06, 0.005)
    bounds = max(0.0, min(accuracies) - room), min(1.0, max(accuracies) + room)
    keys = [
        Key(name, colour, " ".join(map(str, dashes)) if dashes != [1, 0] else "none")
        for name, (colour, dashes) in zip(kinds, styles(kinds), strict=True)
    ]
    figures = [
        Figure(name, "", accuracy_by_severity(_values(shown, name), kinds, bounds))
        for name in record.corruptions
    ]
    note = "Severity 0 is the clean sample. The same axes everywhere; they need not start at 0."
    if len(shown) < len(record.subjects):
        note += " Of the files, those are drawn that differ the most from the student."
    return Small("Accuracy by severity", note, keys, figures)


def _shown(subjects: Sequence[SubjectRobustness]) -> list[SubjectRobustness]:
    """Return the networks, and as many files as can be told apart beside them."""
    networks = [one for one in subjects if one.name in _NETWORKS]
    files = [one for one in subjects if one.name not in _NETWORKS]
    student = next((one for one in networks if one.name == "student"), subjects[0])
    files.sort(key=lambda one: -_apart(one, student))
    kept = networks + files[: MOST_LINES - len(networks)]
    return [one for one in subjects if one in kept]


def _apart(one: SubjectRobustness, other: SubjectRobustness) -> float:
    return max(
        (abs(a.accuracy - b.accuracy) for a, b in zip(one.scores, other.scores, strict=False)),
        default=0.0,
    )


def _values(shown: Sequence[SubjectRobustness], corruption: str) -> list[dict[str, Any]]:
    return [
        {
            "series": called(one.name),
            "severity": severity,
            "accuracy": accuracy,
            "percent": fmt.percent(accuracy, 1),
        }
        for one in shown
        for severity, accuracy in [
            (0, one.clean_accuracy),
            *((s.severity, s.accuracy) for s in one.scores if s.corruption == corruption),
        ]
    ]


def accuracy_by_severity(
    values: list[dict[str, Any]], kinds: Mapping[str, str], bounds: tuple[float, float]
) -> Spec:
    """Draw one corruption: a line for each subject.

    Args:
        values: ``series``, ``severity`` and ``accuracy``.
        kinds: name -> kind of every subject.
        bounds: of the axis of accuracies, the same for all corruptions.
    """
    domain, looks = [*kinds], styles(kinds)
    base = alt.Chart({"values": values}).encode(
        x=alt.X(
            "severity:Q",
            title=None,
            scale=alt.Scale(nice=False),
            axis=alt.Axis(tickMinStep=1, tickCount=5, format="d"),
        ),
        y=alt.Y(
            "accuracy:Q",
            title=None,
            scale=alt.Scale(domain=[*bounds], nice=False),
            axis=alt.Axis(format=".0%", tickCount=4),
        ),
        color=alt.Color(
            "series:N",
            scale=alt.Scale(domain=domain, range=[colour for colour, _ in looks]),
            legend=None,
        ),
    )
    dashes = alt.StrokeDash(
        "series:N",
        scale=alt.Scale(domain=domain, range=[dash for _, dash in looks]),
        legend=None,
    )
    line = base.mark_line(clip=True, strokeWidth=1.6).encode(strokeDash=dashes)
    points = base.mark_point(filled=True, size=30, opacity=1).encode(
        tooltip=tooltips("series", "severity", "percent")
    )
    return finish(alt.layer(line, points), height=130)
