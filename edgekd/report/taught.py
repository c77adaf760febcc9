"""The section of everyone who taught: teachers, peers, assistants, generations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import fmean

from edgekd import format as fmt
from edgekd.records import ModelFacts, RunManifest, Score
from edgekd.report.blocks import Section, Table
from edgekd.rundir import teacher_name
from edgekd.summary import BASELINE, QAT

#: A row: what it was, its model, what it heard, what it reached.
_Row = tuple[str, ModelFacts | None, str, Sequence[Score]]


def section(manifest: RunManifest) -> Section | None:
    """Return a table of all networks of a run; None where there is but one teacher."""
    more = len(manifest.teachers) > 1 or manifest.peers or manifest.links
    if not (more or manifest.compared_scores or manifest.qat_score):
        return None
    rows = [_cells(*row) for row in _rows(manifest)]
    head = ["network", "model", "parameters", "accuracy", "agreement", "seconds"]
    words = {1}
    if any(cells[2] for cells in rows):
        head.insert(2, "learned from")
        words.add(2)
    else:
        rows = [[*cells[:2], *cells[3:]] for cells in rows]
    note = (
        "Means over seeds. Agreement is with the teachers; that of peers, and of a teacher that "
        "followed the student, with the student. Seconds are of one training."
    )
    knn = [
        f"{name} {fmt.percent(_mean(score.knn_accuracy for score in scores))}"
        for name, _, _, scores in _rows(manifest)
        if any(score.knn_accuracy is not None for score in scores)
    ]
    if knn:
        note += f" Nearest neighbours by the outputs reach: {', '.join(knn)}."
    return Section(
        "Who taught, and who learned", [Table("", tuple(head), rows, note, frozenset(words))]
    )


def _rows(manifest: RunManifest) -> Iterator[_Row]:
    """Yield the networks, from the teachers to what the student is compared with."""
    for number, facts in enumerate(manifest.teachers):
        known = manifest.teacher_scores[number : number + 1]
        yield teacher_name(number), facts, "", [score for score in known if score is not None]
    for number, facts in enumerate(manifest.peers):
        name = "peer" if len(manifest.peers) == 1 else f"peer-{number + 1}"
        yield name, facts, "each other", manifest.peer_scores[number : number + 1]
    before = "teacher" if manifest.teachers else "labels"
    for link in manifest.links:
        yield link.name, link.facts, ", ".join(link.hears) or before, link.scores
        before = link.name
    student = manifest.student
    yield "student", student, _students_teachers(manifest), manifest.student_scores
    if manifest.baseline_scores:
        yield BASELINE, student, "", manifest.baseline_scores
    for how, scores in manifest.compared_scores.items():
        yield f"student, {how}", student, "", scores
    if manifest.qat_score is not None:
        yield QAT, student, _students_teachers(manifest), [manifest.qat_score]


def _students_teachers(manifest: RunManifest) -> str:
    """Say whom the student heard besides the teachers, where the record tells."""
    if manifest.links and manifest.links[-1].role == "generation":
        return manifest.links[-1].name
    return "peers" if manifest.peers else ""


def _cells(name: str, facts: ModelFacts | None, heard: str, scores: Sequence[Score]) -> list[str]:
    return [
        name,
        facts.name if facts else fmt.MISSING,
        heard,
        fmt.count(facts.parameters if facts else None),
        fmt.percent(_mean(score.test_accuracy for score in scores)),
        fmt.percent(_mean(score.test_agreement for score in scores)),
        _seconds(_mean(score.train_seconds for score in scores)),
    ]


def _mean(values: Iterator[float | None] | Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def _seconds(value: float | None) -> str:
    return fmt.MISSING if value is None else f"{value:,.1f}"
