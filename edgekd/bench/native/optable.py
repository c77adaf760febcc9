"""The table of operators that TFLite's profilers print.

Versions differ in columns and in blanks; the header line says which column is where::

    [node type]   [start]   [first]  [avg ms]     [%]   [cdf%]  [mem KB] [times called]  [Name]
        CONV_2D     0.000     6.107     6.107  0.153%   0.320%     0.000              1  [conv]:4

``[avg ms]`` is the mean of one call, ``[%]`` the share of all calls of the operator. A delegate
that profiles its own operators lists them instead of itself.

Source: ``tsl/util/stats_calculator.cc`` in openxla/xla, ``tflite/profiling/profile_summarizer.cc``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from edgekd.records_bench import OperatorTime

#: A table whose shares add up to less than this was cut off.
_MOST = 0.9
_SECTION = "Run Order"
_REGULAR = "Operator-wise Profiling Info"
_HEADER = "[node type]"
_AFTER = ("[first]", "[avg ms]")
#: Node type, blanks, numbers, the name.
_ROW = re.compile(
    r"^\s*(?:INFO:\s*)?(?P<kind>\S.*?)\s+(?P<numbers>(?:-?[\d.]+%?\s+){5,7})(?P<name>\S.*)$"
)
_NAME = re.compile(r"^\[(.*)\](:\d+)?$")
_TOTAL = re.compile(r"Timings \(microseconds\): count=\d+ (?:curr=(\d+)|[^\n]*avg=([\d.e+]+))")


@dataclass(frozen=True)
class Row:
    """One operator of a table: its type, its name, calls in all, mean of a call, share."""

    kind: str
    name: str
    calls: int
    call_ms: float
    share: float


@dataclass(frozen=True)
class OpTable:
    """A table of operators; ``total_ms`` is the sum of all, where it is told."""

    rows: tuple[Row, ...]
    total_ms: float | None = None


def parse(text: str) -> OpTable | None:
    """Return the last table of a run in a text, or None where there is none.

    Args:
        text: what a program printed; the table of the initialisation, which
            ``benchmark_model`` prints too, does not count.
    """
    begin = text.rfind(_REGULAR)
    if begin < 0 and _REGULAR not in text and "Profiling Info for Benchmark Init" in text:
        return None
    part = text[max(begin, 0) :]
    part = part[part.find(_SECTION) :] if _SECTION in part else ""
    lines = part.splitlines()[1:]
    starts = [index for index, line in enumerate(lines) if _HEADER in line]
    if not starts or not all(name in lines[starts[0]] for name in _AFTER):
        return None
    rows = []
    for line in lines[starts[0] + 1 :]:
        row = _row(line, lines[starts[0]])
        if row is None:
            break
        rows.append(row)
    if not rows:
        return None
    total = _TOTAL.search(part)
    microseconds = None if total is None else float(total.group(1) or total.group(2))
    return OpTable(tuple(rows), None if microseconds is None else microseconds / 1e3)


def operators(table: OpTable, runs: int = 1) -> tuple[OperatorTime, ...]:
    """Return the operators of a table, in the order they run.

    Args:
        table: the table.
        runs: inferences that its calls and its total add up.
    """
    parts = [row.call_ms * max(row.calls, 1) for row in table.rows]
    # Means are printed to the microsecond, shares to 1/100,000: those of short ones are exacter.
    if table.total_ms and sum(row.share for row in table.rows) > _MOST:
        parts = [row.share * table.total_ms for row in table.rows]
    whole = sum(parts)
    return tuple(
        OperatorTime(
            name=row.name,
            kind=row.kind,
            calls=max(1, round(row.calls / runs)),
            mean_ms=part / runs,
            share=part / whole if whole else 0.0,
        )
        for row, part in zip(table.rows, parts, strict=True)
    )


def _row(line: str, header: str) -> Row | None:
    match = _ROW.match(line)
    if match is None:
        return None
    columns = re.findall(r"\[([^\]]+)\]", header)[1:-1]
    numbers = match["numbers"].split()
    if len(numbers) != len(columns):
        return None
    try:
        values = {
            name: float(number.rstrip("%")) for name, number in zip(columns, numbers, strict=True)
        }
        named = _NAME.match(match["name"].strip())
        return Row(
            kind=match["kind"].removeprefix("Delegate/"),
            name=match["name"].strip() if named is None else named[1] + (named[2] or ""),
            calls=int(values["times called"]),
            call_ms=values["avg ms"],
            share=values["%"] / 100,
        )
    except (KeyError, ValueError):
        return None
