"""Every table that the command line prints. All rendering is here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich import box
from rich.markup import escape
from rich.table import Table

from edgekd import format as fmt
from edgekd.lineage import network_rows
from edgekd.summary import Row, Spread, headline, rows

if TYPE_CHECKING:
    from edgekd.records import RunManifest, Score, Verdict
    from edgekd.records_distill import Finding
    from edgekd.rundir import Artifact, Run

#: Styles of verdicts; the word itself is always printed too.
_STYLES = {
    "pass": "green",
    "ok": "green",
    "fail": "bold red",
    "warn": "yellow",
    "inconclusive": "yellow",
}


#: From this width on every column of the summary fits.
WIDE = 100

#: What is left out of the summary where it does not fit, the least telling first.
_LEFT_OUT = ("MACs", "params", "energy", "p90 ms", "samples/s", "memory", "agree")
#: Spaces between two columns.
_GAP = 3
_LONGEST_NAME = 24

#: Columns that stand there only where a row has the number.
_WHERE_KNOWN = {"samples/s", "instr.", "energy"}
#: Where none of the rows has a latency, but some have instructions, these say nothing.
_TIMES = {"p50 ms", "p90 ms"}

#: The columns of the summary behind the model's name.
_COLUMNS: dict[str, Callable[[Row], str]] = {
    "size": lambda row: fmt.size(row.size_bytes),
    "params": lambda row: fmt.count(row.parameters),
    "MACs": lambda row: fmt.count(row.macs),
    "p50 ms": lambda row: fmt.milliseconds(row.latency_p50_ms, unit=False),
    "p90 ms": lambda row: fmt.milliseconds(row.latency_p90_ms, unit=False),
    "samples/s": lambda row: fmt.count(row.per_second and round(row.per_second)),
    "instr.": lambda row: fmt.count(row.instructions),
    "energy": lambda row: fmt.joules(row.energy_j, estimated=row.energy_estimated),
    "memory": lambda row: memory_cell(row),
    "accuracy": lambda row: fmt.percent(row.accuracy),
    "agree": lambda row: fmt.percent(row.agreement),
}


def memory_cell(row: Row) -> str:
    """Return the peak memory; with a tilde where an emulator's own is in it."""
    text = fmt.size(row.peak_rss_bytes)
    return f"~{text}" if row.emulated and row.peak_rss_bytes is not None else text


def _table(*columns: str, right: Iterable[int] = (), title: str | None = None) -> Table:
    """Make a table; ``right`` are the columns of numbers."""
    table = Table(
        box=box.SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False, padding=(0, 1)
    )
    for index, column in enumerate(columns):
        numeric = index in right
        table.add_column(
            column,
            justify="right" if numeric else "left",
            no_wrap=numeric,
            overflow="fold",
        )
    return table


def run_table(manifest: RunManifest) -> Table:
    """Teacher, student, and the student without a teacher: what was trained, what it reached."""
    table = _table(
        "network", "parameters", "seeds", "test accuracy", "agreement", "seconds", right=range(1, 6)
    )
    for label, facts, given in network_rows(manifest):
        scores = [score for score in given if score is not None]
        if facts is None or not scores:
            continue
        agrees = [score.test_agreement for score in scores if score.test_agreement is not None]
        table.add_row(
            f"{label} ({facts.name})",
            fmt.count(facts.parameters),
            str(len(scores)),
            accuracy_cell(scores),
            spread(agrees) if agrees else fmt.MISSING,
            f"{sum(score.train_seconds or 0.0 for score in scores):.1f}",
        )
    return table


def accuracy_cell(scores: Sequence[Score]) -> str:
    """Return the accuracy of a network; by nearest neighbours where it learned from no label."""
    neighbours = [score.knn_accuracy for score in scores if score.knn_accuracy is not None]
    if neighbours:
        return f"{spread(neighbours)} by neighbours"
    return spread([score.test_accuracy for score in scores])


def spread(values: Sequence[float]) -> str:
    """Return the mean, and the sample standard deviation where there are several values."""
    found = Spread.of(list(values))
    if found is None:
        return fmt.MISSING
    if found.sd is None:
        return fmt.percent(found.mean)
    return f"{fmt.percent(found.mean)} ± {found.sd * 100:.2f}"


def summary_table(run: Run, *, width: int = WIDE) -> Table:
    """One row for each network and file of a run, on each device."""
    return rows_table(rows(run), width=width)


def rows_table(found: Sequence[Row], *, width: int = WIDE) -> Table:
    """Draw rows of a summary; on a narrow terminal the least telling columns are left out.

    Args:
        found: the rows.
        width: of the terminal, in characters.
    """
    several = len({row.device for row in found if row.device}) > 1
    # Device by device where a column that names it leaves no room for the numbers.
    shown = _columns(found)
    grouped = several and _natural_width(found, shown, grouped=False) > width
    for column in _LEFT_OUT:
        if column in shown and _natural_width(found, shown, grouped=grouped) > width:
            shown.remove(column)
    table = _table("model", *shown, right=range(1, len(shown) + 1))
    device = None
    order = list(dict.fromkeys(row.device for row in found))
    # Sorting is stable: within a device the rows stay in their order.
    place = {name: (name is not None, number) for number, name in enumerate(order)}
    for row in sorted(found, key=lambda one: place[one.device]) if grouped else found:
        if grouped and row.device and row.device != device:
            table.add_row(f"[bold]{row.device}[/]", end_section=False)
        device = row.device
        label = _label(row, grouped=grouped, several=several)
        table.add_row(label, *(_COLUMNS[column](row) for column in shown))
    return table


def _label(row: Row, *, grouped: bool, several: bool) -> str:
    label = row.name
    if several and row.device:
        label = f"  {row.name}" if grouped else f"{row.name} @ {row.device}"
    return f"{label} ({row.status})" if row.status in ("failed", "stale") else label


def _natural_width(found: Sequence[Row], shown: Sequence[str], *, grouped: bool) -> int:
    """Return how wide a table of these columns is where nothing is cut or folded."""
    several = len({row.device for row in found if row.device}) > 1
    labels = [_label(row, grouped=grouped, several=several) for row in found]
    labels += [row.device or "" for row in found if grouped]
    longest = max(map(len, ["model", *labels]))
    # A long name is folded sooner than a number is left out.
    widths = [longest if several and not grouped else min(longest, _LONGEST_NAME)]
    widths += [max(map(len, [column, *map(_COLUMNS[column], found)])) for column in shown]
    return sum(widths) + _GAP * len(widths)


def _columns(found: Sequence[Row]) -> list[str]:
    """Return the columns that have something to say."""
    hidden = {
        column
        for column in _WHERE_KNOWN
        if all(_COLUMNS[column](row) == fmt.MISSING for row in found)
    }
    if any(row.instructions for row in found) and not any(row.latency_p50_ms for row in found):
        hidden |= _TIMES
    return [column for column in _COLUMNS if column not in hidden]


def gain_line(run: Run) -> str | None:
    """Return a sentence on what the teacher brought, where the recipe trained the twin."""
    gain = headline(run).gain
    if gain is None:
        return None
    text = f"distilled minus no teacher: {fmt.points(gain.mean)}"
    if gain.low is not None and gain.high is not None:
        low, high = fmt.points(gain.low), fmt.points(gain.high)
        text += f" (paired over {gain.n} seeds; 95% interval {low} to {high}{_t_test(run)})"
    return text


def _t_test(run: Run) -> str:
    """Return what the paired t-test says; nothing where SciPy is not installed."""
    from importlib.util import find_spec

    alone = {score.seed: score.test_accuracy for score in run.manifest.baseline_scores}
    both = [score for score in run.manifest.student_scores if score.seed in alone]
    if find_spec("scipy") is None:
        return ""
    from edgekd.statistics.seeds import compare_seeds

    found = compare_seeds([s.test_accuracy for s in both], [alone[s.seed] for s in both])
    return "" if found.t_p is None else f"; t-test p = {fmt.p_value(found.t_p)}"


def artifact_table(artifacts: Sequence[Artifact]) -> Table:
    """What was exported, and the proof."""
    table = _table(
        "artifact", "size", "max error", "agrees", "accuracy", "was", "samples", right=range(1, 7)
    )
    for artifact in artifacts:
        manifest, parity = artifact.manifest, artifact.manifest.parity
        table.add_row(
            manifest.name,
            fmt.size(manifest.files[manifest.file].size_bytes),
            f"{parity.max_abs_error:.1e}",
            fmt.percent(parity.agreement),
            fmt.percent(parity.accuracy_file),
            fmt.percent(parity.accuracy_model),
            f"{parity.samples} {parity.sample_source}",
        )
    return table


def verdict_table(verdicts: Sequence[Verdict]) -> Table:
    """Every check with its verdict."""
    table = _table("verdict", "artifact", "number", "check")
    for verdict in verdicts:
        where = f" on {verdict.device}" if verdict.device else ""
        style = _STYLES[verdict.status]
        table.add_row(
            f"[{style}]{verdict.status}[/]",
            escape(verdict.artifact + where),
            verdict.metric,
            escape(verdict.message),
        )
    return table


def finding_table(findings: Sequence[Finding]) -> Table:
    """What the doctor found."""
    table = _table("verdict", "check", "finding")
    for finding in findings:
        style = _STYLES[finding.status]
        table.add_row(f"[{style}]{finding.status}[/]", finding.check, finding.message)
    return table


def recipe_table(recipes: Mapping[str, str]) -> Table:
    """The built-in recipes."""
    table = _table("recipe", "what it is")
    for name, summary in recipes.items():
        table.add_row(name, summary)
    return table


def layers_table(title: str, layers: Mapping[str, Sequence[int]]) -> Table:
    """The layers of one network with what they give for a sample."""
    table = _table("layer", "shape", title=title)
    for name, shape in layers.items():
        table.add_row(name, _shape(shape))
    return table


def pairs_table(
    pairs: Sequence[tuple[str, str]],
    student: Mapping[str, Sequence[int]],
    teacher: Mapping[str, Sequence[int]],
) -> Table:
    """Layers of student and teacher that go together."""
    table = _table("student", "shape", "teacher", "shape", title="suggested pairs")
    for ours, theirs in pairs:
        table.add_row(ours, _shape(student[ours]), theirs, _shape(teacher[theirs]))
    return table


def _shape(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))


def runs_table(runs: Sequence[tuple[Path, RunManifest]]) -> Table:
    """The runs, newest first."""
    table = _table("run", "made", "status", "student", "test accuracy", right=[4])
    for path, manifest in runs:
        scores = [score.test_accuracy for score in manifest.student_scores]
        table.add_row(
            path.name,
            manifest.provenance.created[:16].replace("T", " "),
            manifest.status,
            manifest.student.name if manifest.student else fmt.MISSING,
            spread(scores),
        )
    return table
