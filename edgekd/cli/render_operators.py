"""The tables that ``edgekd benchmark --profile-ops`` prints."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.table import Table

from edgekd import format as fmt

if TYPE_CHECKING:
    from edgekd.records import Measurement
    from edgekd.records_bench import OperatorTime

#: So many operators are listed; the rest is one line.
TOP = 15

#: What the columns of numbers and the blanks between all columns take, in characters.
_NUMBERS = 32
#: No type of an operator is longer.
_KIND = 34


def operator_tables(measurements: Sequence[Measurement], *, width: int = 80) -> Iterator[Table]:
    """Yield one table for each measurement that has a profile.

    Args:
        measurements: what was measured.
        width: of the terminal, in characters.
    """
    for found in measurements:
        if found.operators:
            yield _table(f"{found.artifact} @ {found.device}", found.operators, width)


def _table(title: str, operators: Sequence[OperatorTime], width: int) -> Table:
    """Draw the operators, those that take longest first; alike in kind, each is a line."""
    ordered = sorted(operators, key=lambda operator: -operator.share)
    total = sum(operator.mean_ms for operator in operators)
    table = Table(
        box=box.SIMPLE_HEAD,
        title=f"{title}: {len(operators)} operators, {fmt.milliseconds(total)} profiled",
        title_justify="left",
        pad_edge=False,
        padding=(0, 1),
    )
    room = max(width - _NUMBERS, 20)
    kind = min(_KIND, room * 5 // 9)
    for column, most in (("operator", kind), ("name", room - kind)):
        table.add_column(column, no_wrap=True, overflow="ellipsis", max_width=most)
    for column in ("calls", "ms", "share"):
        table.add_column(column, justify="right", no_wrap=True)
    for operator in ordered[:TOP]:
        table.add_row(operator.kind, operator.name, *_numbers([operator]))
    rest = ordered[TOP:]
    if rest:
        table.add_row(f"the other {len(rest)}", "", *_numbers(rest))
    return table


def _numbers(operators: Sequence[OperatorTime]) -> list[str]:
    return [
        str(sum(operator.calls for operator in operators)),
        fmt.milliseconds(sum(operator.mean_ms for operator in operators), unit=False),
        f"{sum(operator.share for operator in operators):.1%}",
    ]
