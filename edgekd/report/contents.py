"""What the report of a run says, before it is HTML, Markdown or JSON."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edgekd import format as fmt
from edgekd.errors import EdgekdError
from edgekd.report import charts, curves, exits, facts, measured, past, tradeoff, weighed
from edgekd.report.blocks import Block, Facts, Figure, Row, Section, Table
from edgekd.report.sections import sections
from edgekd.report.tiles import Tile, progress, tiles, verdict
from edgekd.rundir import Artifact, Run
from edgekd.summary import Row as Line
from edgekd.summary import headline, rows

__all__ = ["Contents", "Results", "gather"]


@dataclass(frozen=True)
class Result:
    """A row of a table of results.

    Attributes:
        kind: what the row is of; see `edgekd.summary.Row`.
        name: of the network or file.
        model: the network's name in the recipe.
        device: where it was measured; None if it was not.
        status: ``failed`` or ``stale``, or nothing.
        cells: as many as the table has columns.
    """

    kind: str
    name: str
    model: str
    device: str | None
    status: str
    cells: tuple[str, ...]


@dataclass(frozen=True)
class Results:
    """A table of results.

    Attributes:
        title: its heading.
        columns: names of the numbers.
        rows: the rows.
        devices: that something was measured on.
        note: what stands below.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[Result, ...]
    devices: tuple[str, ...]
    note: str


@dataclass(frozen=True)
class Contents:
    """A report.

    Attributes:
        title: its heading.
        eyebrow: what stands above it.
        lead: what was distilled from what, in a sentence.
        verdict: whether it is good, a sentence each.
        tiles: the numbers that matter.
        results: the tables of results.
        sections: all that follows.
        recipes: name of the run and its recipe as TOML.
    """

    title: str
    eyebrow: str
    lead: str
    verdict: Sequence[str]
    tiles: Sequence[Tile]
    results: Sequence[Results]
    sections: Sequence[Section]
    recipes: Sequence[tuple[str, str]]


def gather(run: Run) -> Contents:
    """Collect everything that is known of a run.

    Raises:
        RunError: an artifact or a record cannot be trusted.
    """
    if run.manifest.status == "incomplete":
        return unfinished(run)
    artifacts, measurements = run.artifacts(), run.measurements()
    table = rows(run)
    history = past.of_run(run.manifest.id)
    checked = past.verdict(history, run.manifest.id)
    found = [
        _tradeoffs(run, table),
        *measured.sections(table, measurements),
        *weighed.sections(run, artifacts),
        _training(run),
        *sections(run),
        past.section(history),
        _parity(artifacts),
        _facts(
            "What is not known, and what to mind", facts.not_known(table, artifacts, measurements)
        ),
        _facts("How it was measured", facts.measured_how(run, measurements)),
        _facts("Where it came from", facts.provenance(run, measurements)),
    ]
    return Contents(
        title=run.manifest.name,
        eyebrow=f"edgekd report, run {run.manifest.id}",
        lead=facts.lead(run.manifest),
        verdict=[verdict(headline(run)), *([checked] if checked else [])],
        tiles=tiles(table, headline(run)),
        results=[results(table)],
        sections=[section for section in found if section is not None and section.blocks],
        recipes=[(run.manifest.id, (run.path / "recipe.toml").read_text(encoding="utf-8"))],
    )


def unfinished(run: Run) -> Contents:
    """Collect what is known of a run while it is being made: where training is, and its curves."""
    manifest, lines = run.manifest, run.metrics()
    lead = "Training has not begun." if not lines else "Training. The newest epoch:"
    found = [_training(run), _facts("Where it comes from", facts.provenance(run, ()))]
    return Contents(
        title=manifest.name,
        eyebrow=f"edgekd report, run {manifest.id}",
        lead=lead,
        verdict=[],
        tiles=progress(lines[-1], run.recipe.train.epochs) if lines else [],
        results=[],
        sections=[section for section in found if section.blocks],
        recipes=[(manifest.id, (run.path / "recipe.toml").read_text(encoding="utf-8"))],
    )


def failed(name: str, error: EdgekdError) -> Contents:
    """Return a report that says why there is none.

    Args:
        name: of the run.
        error: what went wrong.
    """
    return Contents(name, "edgekd report", str(error), [error.hint or ""], [], [], [], [])


def _facts(title: str, found: Sequence[tuple[str, str]]) -> Section:
    return Section(title, [Facts("", found)] if found else [])


def _tradeoffs(run: Run, table: Sequence[Line]) -> Section:
    blocks: list[Block] = []
    choices = tradeoff.chooser({run.manifest.id: table})
    if choices is not None:
        blocks.append(choices)
    blocks += [
        Figure(title, note, spec, wide)
        for title, note, spec, wide in exits.figures(run.exit_curves())
        if spec is not None
    ]
    bars = charts.sizes(table)
    if bars is not None:
        blocks.append(Figure("Size", "Files to ship in colour.", bars, wide=True))
    return Section("What it costs", blocks)


def _training(run: Run) -> Section:
    lines = run.metrics()
    found = [
        (
            "Validation accuracy while training",
            "One line a seed. The axis does not start at 0.",
            curves.validation_accuracy(lines),
        ),
        (
            "The student's loss by term",
            "Each term times its weight, on the training split.",
            curves.loss_by_term(lines),
        ),
        (
            "The loss of the others",
            "Not to be compared with the student's: they have other terms.",
            curves.loss_of_others(lines),
        ),
    ]
    known = [one for one in found if one[2] is not None]
    figures = [
        # Of three, the first takes the width of two: no place stays empty.
        Figure(title, note, spec, wide=len(known) % 2 == 1 and at == 0)
        for at, (title, note, spec) in enumerate(known)
        if spec is not None
    ]
    return Section("How it was trained", [Row(figures)] if figures else [])


def _parity(artifacts: Sequence[Artifact]) -> Section:
    rows = [_proof(artifact) for artifact in artifacts]
    head = (
        "file", "held-out samples", "largest output error", "same top class",
        "accuracy, network", "accuracy, file", "run with",
    )  # fmt: skip
    note = "Compared with the student in PyTorch when it was made; a file that fails is not kept."
    table = Table("", head, rows, note)
    return Section("Does each file do what the network does?", [table] if rows else [])


def _proof(artifact: Artifact) -> tuple[str, ...]:
    found = artifact.manifest.parity
    return (
        artifact.manifest.name,
        f"{found.samples:,}",
        f"{found.max_abs_error:.2e}" if found.max_abs_error else "0",
        fmt.percent(found.agreement),
        fmt.percent(found.accuracy_model),
        fmt.percent(found.accuracy_file),
        found.runtime,
    )


#: The columns of the table of results; those of `_WHERE_KNOWN` only where a row has the number.
_COLUMNS: dict[str, Callable[[Line], str]] = {
    "size": lambda row: fmt.size(row.size_bytes),
    "parameters": lambda row: fmt.count(row.parameters),
    "MACs": lambda row: fmt.count(row.macs),
    "p50, ms": lambda row: _milliseconds(row, row.latency_p50_ms),
    "p90, ms": lambda row: _milliseconds(row, row.latency_p90_ms),
    "samples/s": lambda row: fmt.count(row.per_second and round(row.per_second)),
    "instructions": lambda row: fmt.count(row.instructions),
    "energy": lambda row: fmt.joules(row.energy_j, estimated=row.energy_estimated),
    "peak memory": lambda row: _memory(row),
    "accuracy": lambda row: fmt.percent(row.accuracy),
    "agreement": lambda row: fmt.percent(row.agreement),
}
_WHERE_KNOWN = ("samples/s", "instructions", "energy")


def _milliseconds(row: Line, value: float | None) -> str:
    return fmt.MISSING if row.emulated else fmt.milliseconds(value, unit=False)


def _memory(row: Line) -> str:
    """Return the peak memory; with a tilde where an emulator's own is in it."""
    text = fmt.size(row.peak_rss_bytes)
    return f"~{text}" if row.emulated and row.peak_rss_bytes is not None else text


def results(table: Sequence[Line]) -> Results:
    """Return the table of results as text."""
    known = {name for name in _WHERE_KNOWN if any(_COLUMNS[name](r) != fmt.MISSING for r in table)}
    columns = [name for name in _COLUMNS if name not in _WHERE_KNOWN or name in known]
    devices = sorted({row.device for row in table if row.device})
    note = "Students are of the first seed. Agreement is with the teacher."
    if len(devices) == 1:
        note = f"Measured on {devices[0]}. {note}"
    elif not devices:
        note = f"Nothing has been measured yet: edgekd benchmark. {note}"
    if any(row.emulated for row in table):
        note += ' "~": an emulator\'s own memory is in it.'
    return Results(
        "Teacher, student and every file",
        tuple(columns),
        tuple(_result(row, columns) for row in table),
        tuple(devices),
        f'{note} "-": not known.',
    )


def _result(row: Line, columns: Sequence[str]) -> Result:
    status = row.status if row.status in ("failed", "stale") else ""
    cells = tuple(_COLUMNS[name](row) for name in columns)
    return Result(row.kind, row.name, row.model, row.device, status, cells)
