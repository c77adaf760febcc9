"""The tables of an evaluation, as wide as the terminal and no wider."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from rich.table import Table

from edgekd import format as fmt
from edgekd.cli.output import Output
from edgekd.cli.render import _table as new_table
from edgekd.records_evaluation import (
    Case,
    Disagreements,
    Evaluation,
    LayerSimilarity,
    PairedComparison,
    SeedComparison,
    SliceScores,
    SubjectScores,
)

#: Kinds that are shown class by class; files do what the student does, but for a few samples.
_BY_CLASS = ("teacher", "student", "baseline")

#: Rows of a table of classes or slices that are printed: the worst ones.
_MOST_ROWS = 20


def show(record: Evaluation, output: Output, *, cases: int) -> None:
    """Print an evaluation.

    Args:
        record: what was found.
        output: where to.
        cases: hard cases of each kind.
    """
    output.show(_fitting(partial(score_table, record), ("T", "ECE", "KL"), output))
    output.show(class_table(record))
    for table in slice_tables(record):
        output.show(table)
    if record.paired:
        counts = ("only b", "only a", "95% interval")
        output.show(_fitting(partial(paired_table, record.paired), counts, output))
    for seeds in record.seeds:
        output.line(seeds_line(seeds))
    for found in record.disagreements[:1] if cases else ():
        for table in case_tables(found, record.classes, cases):
            output.show(table)
    if record.layers is not None:
        output.show(layer_table(record.layers, width=output.width))
    for line in remarks(record):
        output.line(line)


def _fitting(
    make: Callable[[Sequence[str]], Table], least_telling: Sequence[str], output: Output
) -> Table:
    """Make a table without as many of its least telling columns as the terminal is too narrow."""
    console = output.console(stderr=False)
    for count in range(len(least_telling) + 1):
        table = make(least_telling[:count])
        options = console.options.update(max_width=10 * output.width)
        if console.measure(table, options=options).maximum <= output.width:
            break
    return table


def _of_columns(columns: Mapping[str, Sequence[str]], without: Sequence[str], title: str) -> Table:
    """Make a table column by column; the first holds names, the others numbers."""
    shown = {head: cells for head, cells in columns.items() if head not in without}
    table = new_table(*shown, right=range(1, len(shown)), title=title)
    for row in zip(*shown.values(), strict=True):
        table.add_row(*row)
    return table


def score_table(record: Evaluation, without: Sequence[str] = ()) -> Table:
    """What each network and file does on the split."""
    found = record.subjects
    after = [one.calibrated for one in found]
    columns = {
        "model": [one.name for one in found],
        "accuracy": [fmt.percent(one.accuracy) for one in found],
        "agree": [fmt.percent(one.agreement) for one in found],
        "KL": [_number(one.kl) for one in found],
        "ECE": [fmt.percent(one.calibration.ece) for one in found],
        "T": [_number(one.temperature if one else None, 2) for one in after],
        "ECE at T": [fmt.percent(one.ece if one else None) for one in after],
    }
    return _of_columns(columns, without, f"{record.samples} samples, split {record.split}")


def class_table(record: Evaluation) -> Table:
    """Accuracy class by class of teacher, student and twin; the worst for the student first."""
    shown = [found for found in record.subjects if found.kind in _BY_CLASS]
    shown = [found for found in shown if "@" not in found.name] or list(record.subjects[:3])
    gains = _gains(record)
    columns = ["class", "n", *(found.name for found in shown)]
    title = "accuracy by class"
    table = new_table(*columns, *(["gain"] if gains else []), right=range(1, 9), title=title)
    order = sorted(range(len(record.classes)), key=lambda i: _worst_first(shown, i))
    for index in order[:_MOST_ROWS]:
        cells = [record.classes[index], str(record.class_samples[index])]
        cells += [fmt.percent(found.classes[index], 1) for found in shown]
        if gains:
            cells.append(gains.get(index, "0"))
        table.add_row(*cells)
    if len(order) > _MOST_ROWS:
        table.caption = f"the worst {_MOST_ROWS} of {len(order)} classes"
    return table


def _worst_first(shown: Sequence[SubjectScores], index: int) -> float:
    student = next((found for found in shown if found.kind == "student"), shown[0])
    value = student.classes[index]
    return 2.0 if value is None else value


def _gains(record: Evaluation) -> dict[int, str]:
    """Return samples won and lost against the twin without a teacher, by class."""
    for found in record.paired:
        if (found.a, found.b) == ("student", "baseline"):
            return {gain.label: f"+{gain.won} -{gain.lost}" for gain in found.classes} or {-1: ""}
    return {}


def paired_table(paired: Sequence[PairedComparison], without: Sequence[str] = ()) -> Table:
    """Differences on the same samples, with their tests."""
    columns = {
        "a - b": [f"{one.a} - {one.b}" for one in paired],
        "points": [f"{one.difference * 100:+.2f}" for one in paired],
        "95% interval": [f"{one.low * 100:+.2f} to {one.high * 100:+.2f}" for one in paired],
        "only a": [str(one.only_a) for one in paired],
        "only b": [str(one.only_b) for one in paired],
        "p": [fmt.p_value(one.mcnemar_midp_p) for one in paired],
    }
    title = "same samples: accuracy of a minus b, McNemar's mid-p"
    return _of_columns(columns, without, title)


def seeds_line(seeds: SeedComparison) -> str:
    """Say what the seeds show."""
    count = "1 seed" if seeds.n == 1 else f"{seeds.n} seeds"
    text = f"{seeds.a} minus {seeds.b} over {count}: {fmt.points(seeds.difference)}"
    tests = []
    if seeds.t_p is not None:
        tests.append(f"paired t-test p = {fmt.p_value(seeds.t_p)}")
    if seeds.wilcoxon_p is not None:
        tests.append(f"Wilcoxon p = {fmt.p_value(seeds.wilcoxon_p)}")
    return f"{text} ({', '.join(tests) or 'too few seeds for a test'})"


def case_tables(found: Disagreements, classes: Sequence[str], count: int) -> list[Table]:
    """The hardest cases: what one gets right and the other wrong, the surest mistakes first."""
    tables = []
    for cases, right, wrong in (
        (found.only_b_right, found.b, found.a),
        (found.only_a_right, found.a, found.b),
    ):
        if not cases:
            continue
        table = new_table(
            *("sample", "label", found.a, found.b),
            title=f"{right} right, {wrong} wrong: {len(cases)}",
        )
        for case in cases[:count]:
            table.add_row(case.id, classes[case.target], *_answers(case, classes))
        tables.append(table)
    return tables


def _answers(case: Case, classes: Sequence[str]) -> list[str]:
    return [f"{classes[x.label]} ({x.confidence * 100:.0f}%)" for x in (case.a, case.b)]


def slice_tables(record: Evaluation) -> list[Table]:
    """Accuracies for each value of a column, the worst for the student first."""
    shown = [found.name for found in record.subjects if found.kind in _BY_CLASS]
    shown = shown[:4] or [found.name for found in record.subjects[:3]]
    key = "student" if "student" in shown else shown[0]
    tables = []
    for column in dict.fromkeys(part.column for part in record.slices):
        parts = [part for part in record.slices if part.column == column]
        table = new_table(column, "n", *shown, right=range(1, 9), title=f"accuracy by {column}")
        for part in sorted(parts, key=lambda part: part.accuracies[key])[:_MOST_ROWS]:
            table.add_row(*_slice(part, shown))
        if len(parts) > _MOST_ROWS:
            table.caption = f"the worst {_MOST_ROWS} of {len(parts)}"
        tables.append(table)
    return tables


def _slice(part: SliceScores, shown: Sequence[str]) -> list[str]:
    accuracies = [fmt.percent(part.accuracies[name], 1) for name in shown]
    return [part.value, str(part.samples), *accuracies]


def layer_table(layers: LayerSimilarity, *, width: int) -> Table:
    """How alike layers are; where the columns do not fit, each row names its nearest layer."""
    title = f"CKA, {layers.samples} samples"
    corner = f"{layers.a} / {layers.b}"
    needed = max(map(len, (corner, *layers.a_layers)))
    needed += sum(max(4, len(name)) + 2 for name in layers.b_layers)
    if needed <= width:
        table = new_table(corner, *layers.b_layers, right=range(1, 99), title=title)
        for name, row in zip(layers.a_layers, layers.values, strict=True):
            table.add_row(name, *(f"{value:.2f}" for value in row))
        return table
    table = new_table(layers.a, f"nearest of {layers.b}", "CKA", right=[2], title=title)
    for name, row in zip(layers.a_layers, layers.values, strict=True):
        best = max(range(len(row)), key=lambda i: row[i])
        table.add_row(name, layers.b_layers[best], f"{row[best]:.2f}")
    return table


def remarks(record: Evaluation) -> list[str]:
    """Say what could not be known and why, and what to know beside."""
    lines = [f"{name}: not evaluated: {reason}" for name, reason in record.skipped.items()]
    reasons: dict[str, list[str]] = {}
    for found in record.subjects:
        for number, reason in found.unknown.items():
            reasons.setdefault(f"{number} unknown: {reason}", []).append(found.name)
        for note in found.notes:
            reasons.setdefault(note, []).append(found.name)
    return lines + [f"{', '.join(names)}: {reason}" for reason, names in reasons.items()]


def _number(value: float | None, digits: int = 3) -> str:
    return fmt.MISSING if value is None else f"{value:.{digits}f}"
