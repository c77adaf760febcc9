"""Samples that one network gets right and the other wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edgekd.records_evaluation import Answer, Case, Disagreements, Evaluation
from edgekd.report.blocks import Block, Row, Section, Table, called

#: Samples shown of each kind, the surest mistakes first.
SHOWN = 8


def wanted(records: Sequence[Evaluation]) -> dict[str, int]:
    """Return the samples that evaluations show: id -> label."""
    shown = [case for record in records for found in _chosen(record) for case in _shown(found)]
    return {case.id: case.target for case in shown}


def hard_cases(
    record: Evaluation, pictures: Mapping[str, str], texts: Mapping[str, str] | None = None
) -> Section:
    """Show where student and teacher part, and where the student parts from that of another run.

    Args:
        record: what was found.
        pictures: of samples, by id.
        texts: of samples, by id; tables with texts take the whole width.

    Returns:
        A section, without blocks where nobody disagrees.
    """
    chosen = [found for found in _chosen(record) if found.only_a_right or found.only_b_right]
    blocks: list[Block] = []
    for found in chosen:
        tables = _tables(found, record.classes, pictures, texts or {})
        blocks += tables if any(table.texts for table in tables) else [Row(tables)]
    note = "The surest mistakes first. The record of the evaluation names every sample."
    return Section("Hard cases", blocks, note)


def _chosen(record: Evaluation) -> list[Disagreements]:
    """Return the first pair, which is student and teacher, and the student of two runs."""
    across = [one for one in record.disagreements if one.b.startswith(f"{one.a}@")]
    student = [one for one in across if one.a == "student"]
    return [*record.disagreements[:1], *(student or across)[:1]]


def _shown(found: Disagreements) -> list[Case]:
    return [*found.only_b_right[:SHOWN], *found.only_a_right[:SHOWN]]


def _tables(
    found: Disagreements,
    classes: Sequence[str],
    pictures: Mapping[str, str],
    texts: Mapping[str, str],
) -> list[Table]:
    tables = []
    for cases, right, wrong in (
        (found.only_b_right, found.b, found.a),
        (found.only_a_right, found.a, found.b),
    ):
        if not cases:
            continue
        shown = cases[:SHOWN]
        rows = [
            (case.id, classes[case.target], _says(case.a, classes), _says(case.b, classes))
            for case in shown
        ]
        addresses = [pictures.get(case.id, "") for case in shown]
        written = [texts.get(case.id, "") for case in shown]
        tables.append(
            Table(
                f"{called(right)} right, {called(wrong)} wrong: {len(cases):,}",
                ("sample", "label", called(found.a), called(found.b)),
                rows,
                f"The first {SHOWN}." if len(cases) > SHOWN else "",
                frozenset({1, 2, 3}),
                addresses if any(addresses) else (),
                written if any(written) else (),
            )
        )
    return tables


def _says(answer: Answer, classes: Sequence[str]) -> str:
    return f"{classes[answer.label]} ({answer.confidence * 100:.0f}%)"
