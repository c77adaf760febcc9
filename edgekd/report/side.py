"""Several runs side by side: one table, one chart of all their files, and what sets them apart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from edgekd import format as fmt
from edgekd.errors import RunError
from edgekd.report import curves, facts, tradeoff
from edgekd.report.blocks import MOST_LINES, Block, Facts, Figure, Section, Table
from edgekd.report.contents import Contents, results
from edgekd.report.tiles import spread
from edgekd.rundir import Run
from edgekd.summary import Row, headline, rows

#: Values of a recipe are cut at so many characters.
_LONGEST = 60


def gather(runs: Sequence[Run]) -> Contents:
    """Collect what sets runs apart.

    Args:
        runs: two or more.

    Raises:
        RunError: a run was given twice.
        RunError: an artifact or a record cannot be trusted.
    """
    if len({run.path.resolve() for run in runs}) < len(runs):
        raise RunError("a run was given twice", hint="Name each run once: edgekd runs list")
    named = dict(zip(names(runs), runs, strict=True))
    tables = {name: rows(run) for name, run in named.items()}
    found = [
        Section("The runs", [_overview(named, tables)], _same_data(runs)),
        Section("What they cost", _tradeoff(tables)),
        *[Section(f"Every file of {name}", [_files(table)]) for name, table in tables.items()],
        Section("How the students learned", _training(named)),
        Section("What sets the recipes apart", _differences(named)),
        *[
            Section(
                f"Where {name} came from", [Facts("", facts.provenance(run, run.measurements()))]
            )
            for name, run in named.items()
        ],
    ]
    return Contents(
        title=f"{len(runs)} runs side by side",
        eyebrow="edgekd report",
        lead=", ".join(named),
        verdict=[],
        tiles=[],
        results=[],
        sections=[section for section in found if section.blocks],
        recipes=[
            (name, (run.path / "recipe.toml").read_text(encoding="utf-8"))
            for name, run in named.items()
        ],
    )


def names(runs: Sequence[Run]) -> list[str]:
    """Return a name for each run that no other has: its recipe's, or else its id, or its path."""
    by_name = [run.manifest.name for run in runs]
    by_id = [run.manifest.id for run in runs]
    for found in (by_name, by_id):
        if len(set(found)) == len(runs):
            return found
    return [str(run.path) for run in runs]


def _overview(named: Mapping[str, Run], tables: Mapping[str, Sequence[Row]]) -> Table:
    lines = []
    for name, run in named.items():
        found, manifest = headline(run), run.manifest
        files = [row for row in tables[name] if row.kind == "artifact"]
        timed = [row.latency_p50_ms for row in files if row.latency_p50_ms and not row.emulated]
        lines.append(
            (
                name,
                manifest.student.name if manifest.student else fmt.MISSING,
                ", ".join(dict.fromkeys(one.name for one in manifest.teachers)) or fmt.MISSING,
                spread(found.student),
                spread(found.baseline),
                fmt.points(found.gain.mean) if found.gain else fmt.MISSING,
                fmt.size(min((row.size_bytes for row in files if row.size_bytes), default=None)),
                fmt.milliseconds(min(timed, default=None)),
            )
        )
    head = (
        "run", "student", "teacher", "accuracy", "without a teacher", "gain", "smallest file",
        "fastest file",
    )  # fmt: skip
    note = "Accuracy is of the students on the test split, mean and deviation over seeds."
    return Table("", head, lines, note, frozenset({1, 2}))


def _files(table: Sequence[Row]) -> Table:
    found = results(table)
    head = ("name", "device", *found.columns)
    lines = [(one.name, one.device or fmt.MISSING, *one.cells) for one in found.rows]
    return Table("", head, lines, found.note, frozenset({1}))


def _same_data(runs: Sequence[Run]) -> str:
    """Warn where the accuracies of the runs cannot be compared."""
    if len({run.manifest.data_sha256 for run in runs}) == 1:
        return "All were scored on the same samples."
    return "They were scored on different data or splits: their accuracies cannot be compared."


def _tradeoff(tables: Mapping[str, Sequence[Row]]) -> list[Block]:
    found = tradeoff.chooser(tables)
    return [] if found is None else [found]


def _training(named: Mapping[str, Run]) -> list[Block]:
    lines = {name: run.metrics() for name, run in [*named.items()][:MOST_LINES]}
    spec = curves.of_runs(lines)
    note = "One line a seed. The axis does not start at 0."
    return [] if spec is None else [Figure("Validation accuracy", note, spec, wide=True)]


def _differences(named: Mapping[str, Run]) -> list[Block]:
    """Return the keys in which the recipes differ and that one of them sets."""
    flat = {
        name: dict(_flat(run.recipe.model_dump(mode="json", exclude_none=True)))
        for name, run in named.items()
    }
    given = dict.fromkeys(
        key
        for run in named.values()
        for key, _ in _flat(run.recipe.model_dump(mode="json", exclude_defaults=True))
    )
    keys = [key for key in given if key != "name"]
    lines = [
        (key, *(_cut(values.get(key, fmt.MISSING)) for values in flat.values()))
        for key in keys
        if len({values.get(key, fmt.MISSING) for values in flat.values()}) > 1
    ]
    if not lines:
        return [Facts("", [("Recipes", "They differ in nothing but their names.")])]
    head = ("key", *flat)
    return [Table("", head, lines, "", frozenset(range(1, len(head))))]


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield the values of nested tables, by their paths."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list) and any(isinstance(inner, Mapping) for inner in value):
        for number, inner in enumerate(value):
            yield from _flat(inner, f"{path}.{number}")
    else:
        yield path, str(value)


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."
