"""The tables of what corrupted samples showed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.table import Table

from edgekd import format as fmt
from edgekd.cli.output import Output
from edgekd.cli.render import _table as new_table
from edgekd.records_robustness import Robustness, SubjectRobustness

#: The columns behind a model's name, and the width from which on each is shown.
_LEAST = {"clean": 0, "corrupted": 0, "lost": 0, "agree": 66, "errors / teacher's": 78}

#: With more severities than this, accuracies are printed without decimals.
_FEW = 3


def show(record: Robustness, output: Output) -> None:
    """Print what was found: the sums, then every corruption, then what is missing."""
    output.show(summary_table(record, width=output.width))
    for table in corruption_tables(record, width=output.width):
        output.show(table)
    for number, reason in record.unknown.items():
        output.line(f"{number} unknown: {reason}")
    for name, reason in record.skipped.items():
        output.line(f"{name}: not asked: {reason}")


def summary_table(record: Robustness, *, width: int) -> Table:
    """What corruption costs each network and file, over all corruptions and severities."""
    kinds = " and ".join(dict.fromkeys(f"{kind}s" for kind in record.sample_kinds.values()))
    shown = [name for name, least in _LEAST.items() if width >= least]
    table = new_table(
        "model",
        *shown,
        right=range(1, len(shown) + 1),
        title=f"{record.samples} {kinds}, split {record.split}; {len(record.corruptions)} "
        f"corruptions at severity {_levels(record.severities)}",
    )
    for found in record.subjects:
        ratio = found.error_over_teacher
        cells = {
            "clean": fmt.percent(found.clean_accuracy),
            "corrupted": fmt.percent(1 - found.mean_corruption_error),
            "lost": fmt.points(-found.relative_error),
            "agree": fmt.percent(found.mean_agreement),
            "errors / teacher's": fmt.MISSING if ratio is None else f"{ratio:.2f}",
        }
        table.add_row(found.name, *(cells[name] for name in shown))
    return table


def corruption_tables(record: Robustness, *, width: int) -> Iterator[Table]:
    """Yield the accuracies of each corruption: as many networks a table as fit the width."""
    longest = max(len(name) for name in record.corruptions)
    digits = 1 if len(record.severities) <= _FEW else 0
    column = max([*(len(f.name) for f in record.subjects), len(record.severities) * (4 + digits)])
    fitting = max(1, (width - longest) // (column + 2))
    for start in range(0, len(record.subjects), fitting):
        shown = record.subjects[start : start + fitting]
        table = new_table(
            "corruption",
            *(found.name for found in shown),
            right=range(1, len(shown) + 1),
            title=f"accuracy in % at severity {_levels(record.severities)}",
        )
        for name in record.corruptions:
            table.add_row(name, *(_cell(found, name, digits) for found in shown))
        yield table


def _cell(found: SubjectRobustness, corruption: str, digits: int) -> str:
    accuracies = [score.accuracy for score in found.scores if score.corruption == corruption]
    return " ".join(f"{accuracy * 100:{4 + bool(digits)}.{digits}f}" for accuracy in accuracies)


def _levels(severities: Sequence[int]) -> str:
    return ", ".join(map(str, severities))
