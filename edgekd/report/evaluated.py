"""Sections of what `edgekd evaluate` found: beyond accuracy, classes, tests, slices, layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from edgekd import format as fmt
from edgekd.records_evaluation import Evaluation, PairedComparison, SeedComparison, SubjectScores
from edgekd.report import confusion, diagrams
from edgekd.report.blocks import MOST_ROWS, Block, Facts, Folded, Row, Section, Table, called
from edgekd.report.hard_cases import hard_cases
from edgekd.report.similarity import similarity

#: Kinds that charts show; files do what the student does, but for a few samples.
_DRAWN = ("teacher", "student", "baseline")


def sections(
    record: Evaluation,
    pictures: Mapping[str, str],
    of: str = "",
    texts: Mapping[str, str] | None = None,
) -> list[Section]:
    """Return the sections of an evaluation that have something to show.

    Args:
        record: what was found.
        pictures: of samples, by id.
        of: stands behind every heading, where there are several evaluations.
        texts: of samples, by id.
    """
    if not record.subjects:
        return []
    on = f"{record.samples:,} samples of the split {record.split}"
    against = f", against the run {record.against}" if record.against else ""
    shown, files = drawn(record), exported(record)
    found = [
        Section("Beyond accuracy", [_scores(record), *_reliability(shown)], f"{on}{against}."),
        Section("Class by class", _classes(record, [*shown, *files]), _why_classes(files)),
        Section(
            "What is taken for what",
            confusion.blocks(record, [one.name for one in files]),
            _WHY_CONFUSION,
        ),
        hard_cases(record, pictures, texts),
        Section("Parts of the data", _slices(record)),
        Section("How alike the layers are", _layers(record)),
        Section("Differences, tested", _tests(record)),
    ]
    return [replace(each, title=each.title + of) for each in found if each.blocks]


def drawn(record: Evaluation) -> list[SubjectScores]:
    """Return who stands in the charts: this run's networks, else the first three files."""
    networks = [one for one in record.subjects if one.kind in _DRAWN]
    own = [one for one in networks if "@" not in one.name]
    return own[:4] or list(record.subjects[:3])


def exported(record: Evaluation) -> list[SubjectScores]:
    """Return the file that differs most from the student, class by class; that one is shown."""
    student = next((one for one in record.subjects if one.kind == "student"), None)
    files = [one for one in record.subjects if one.kind in ("artifact", "file")]
    if student is None:
        return []
    others = {
        one.a: len(one.only_a_right) + len(one.only_b_right) + len(one.both_wrong)
        for one in record.disagreements
        if one.b == student.name
    }
    files.sort(key=lambda one: (-others.get(one.name, 0), -_apart(one, student)))
    return files[:1]


def _apart(one: SubjectScores, other: SubjectScores) -> float:
    """Return the sum of differences over the classes."""
    both = zip(one.classes, other.classes, strict=True)
    return sum(abs(a - b) for a, b in both if a is not None and b is not None)


def _scores(record: Evaluation) -> Table:
    rows = [
        (
            called(one.name),
            fmt.percent(one.accuracy),
            fmt.percent(one.agreement),
            _number(one.kl),
            fmt.percent(one.calibration.ece),
            _number(one.calibrated.temperature if one.calibrated else None, 2),
            fmt.percent(one.calibrated.ece if one.calibrated else None),
        )
        for one in record.subjects
    ]
    fitted = {one.fitted_on for one in record.subjects if one.fitted_on}
    where = f" T was fitted on the split {' and '.join(sorted(fitted))}." if fitted else ""
    note = (
        "Agreement and mean KL divergence (nats) are with the teacher. ECE: how far confidence and "
        f"accuracy are apart, on average; again with the logits divided by T.{where}"
    )
    for reason, names in _remarks(record).items():
        note += f" {', '.join(names)}: {reason.rstrip('.')}."
    head = ("name", "accuracy", "agreement", "KL", "ECE", "T", "ECE at T")
    return Table("", head, rows, note)


def _remarks(record: Evaluation) -> dict[str, list[str]]:
    """Return what is not known or to be minded, with whom it is said of."""
    found: dict[str, list[str]] = {}
    for one in record.subjects:
        reasons = [f"{name} unknown: {reason}" for name, reason in one.unknown.items()]
        for reason in [*reasons, *one.notes]:
            found.setdefault(reason, []).append(one.name)
    for name, reason in record.skipped.items():
        found.setdefault(f"not evaluated: {reason}", []).append(name)
    return found


def _reliability(shown: Sequence[SubjectScores]) -> list[Block]:
    before = [(one.name, one.kind, one.calibration) for one in shown]
    after = [(one.name, one.kind, one.calibrated) for one in shown if one.calibrated is not None]
    figures = [
        diagrams.reliability(curves, title, note)
        for curves, title, note in (
            (before, "Reliability", _WHY_RELIABILITY),
            (after, "Reliability, divided by T", "Each with its own T of the table above."),
        )
        if curves
    ]
    return [Row(figures)] if figures else []


_WHY_RELIABILITY = "Below the diagonal: too sure. Small points: few samples."

_WHY_CONFUSION = (
    "Samples of a class (row) that get an answer (column): those of the first, less those of the "
    "second. Off the diagonal, more means more mistakes."
)


def _why_classes(files: Sequence[SubjectScores]) -> str:
    text = "The student's worst classes first. A few samples more or less say little."
    return f"{text} Of the files, the one that differs most from the student." if files else text


def _classes(record: Evaluation, shown: Sequence[SubjectScores]) -> list[Block]:
    order = sorted(range(len(record.classes)), key=lambda i: _worst_first(shown, i))
    gains = _gains(record)
    rows = []
    for index in order[:MOST_ROWS]:
        cells = [record.classes[index], f"{record.class_samples[index]:,}"]
        cells += [fmt.percent(one.classes[index], 1) for one in shown]
        won, lost = gains.get(index, (0, 0))
        rows.append(
            [*cells, f"+{won}" if won else "0", f"-{lost}" if lost else "0"] if gains else cells
        )
    head = ("class", "samples", *(called(one.name) for one in shown), *_EFFECT[: 2 if gains else 0])
    kept = order[:MOST_ROWS]
    figures = [diagrams.by_class(record, shown, kept)]
    if gains:
        figures.append(diagrams.helped_and_hurt(record, gains, kept))
    more = f"The {MOST_ROWS} worst of {len(order)} classes." if len(order) > MOST_ROWS else ""
    return [Row(figures), Folded("The numbers", Table("", head, rows, more))]


#: Columns of the samples that only the distilled student, and only its twin, gets right.
_EFFECT = ("helped", "hurt")


def _worst_first(shown: Sequence[SubjectScores], index: int) -> float:
    student = next((one for one in shown if one.kind == "student"), shown[0])
    value = student.classes[index]
    return 2.0 if value is None else value


def _gains(record: Evaluation) -> dict[int, tuple[int, int]]:
    """Return samples won and lost against the twin without a teacher, by class."""
    for pair in record.paired:
        if (pair.a, pair.b) == ("student", "baseline"):
            return {gain.label: (gain.won, gain.lost) for gain in pair.classes}
    return {}


def _slices(record: Evaluation) -> list[Block]:
    """Return a table for each column, the student's worst part first."""
    names = [one.name for one in drawn(record)]
    key = "student" if "student" in names else names[0]
    tables: list[Block] = []
    for column in dict.fromkeys(part.column for part in record.slices):
        parts = [part for part in record.slices if part.column == column]
        parts.sort(key=lambda part: part.accuracies.get(key, 2.0))
        rows = [
            (
                part.value,
                f"{part.samples:,}",
                *(fmt.percent(part.accuracies.get(name), 1) for name in names),
                fmt.percent(part.agreements.get(key), 1),
            )
            for part in parts[:MOST_ROWS]
        ]
        more = f"The {MOST_ROWS} worst of {len(parts)}." if len(parts) > MOST_ROWS else ""
        head = (column, "samples", *map(called, names), f"agreement, {key}")
        tables.append(Table(f"Accuracy by {column}", head, rows, more))
    return tables


def _layers(record: Evaluation) -> list[Block]:
    return [] if record.layers is None else [similarity(record.layers)]


def _tests(record: Evaluation) -> list[Block]:
    same = [one for one in record.paired if one.only_a == one.only_b == 0]
    rows = [
        (f"{called(one.a)} against {called(one.b)}", _paired(one))
        for one in record.paired
        if one not in same
    ]
    for b in dict.fromkeys(one.b for one in same):
        alike = ", ".join(called(one.a) for one in same if one.b == b)
        rows.append((f"{alike} against {called(b)}", "Right on the very same samples."))
    names = {one.name for one in record.subjects}
    rows += [
        (f"{called(one.a)} against {called(one.b)}", _seeds(one))
        for one in record.seeds
        if {one.a, one.b} <= names
    ]
    return [Facts("", rows)] if rows else []


def _paired(one: PairedComparison) -> str:
    """Say what the same samples show of two subjects that are not right on all the same."""
    verdict = "more than chance" if one.mcnemar_midp_p < 0.05 else "may be chance"
    return (
        f"{fmt.points(one.difference)} on the same {one.n:,} samples, 95% interval "
        f"{one.low * 100:+.2f} to {one.high * 100:+.2f} pp. {one.only_a:,} that only the first "
        f"gets right, {one.only_b:,} that only the second does: {verdict} "
        f"(McNemar's mid-p {fmt.p_value(one.mcnemar_midp_p)})."
    )


def _seeds(one: SeedComparison) -> str:
    """Say what the seeds show."""
    text = f"{fmt.points(one.difference)} over {one.n} seed{'' if one.n == 1 else 's'}"
    tests = []
    if one.t_p is not None:
        tests.append(f"paired t-test p {fmt.p_value(one.t_p)}")
    if one.wilcoxon_p is not None:
        tests.append(f"Wilcoxon p {fmt.p_value(one.wilcoxon_p)}")
    if not tests:
        return f"{text}: too few for a test."
    chance = "more than chance" if one.t_p is not None and one.t_p < 0.05 else "may be chance"
    return f"{text}: {chance} ({', '.join(tests)})."


def _number(value: float | None, digits: int = 3) -> str:
    return fmt.MISSING if value is None else f"{value:.{digits}f}"
