"""What a benchmark program tells of one file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from edgekd.errors import MeasurementError

#: How many lines of a program's output an error quotes.
_TAIL_LINES = 5


@dataclass(frozen=True)
class Figures:
    """Figures of one run of a program; times are milliseconds, and None where it prints none.

    Attributes:
        n: timed inferences.
        mean_ms: their mean, which every program prints.
        load_ms: reading the file and preparing it.
        first_ms: the first inference.
        min_ms: the fastest.
        max_ms: the slowest.
        p5_ms: the 5th percentile.
        p50_ms: the median.
        p90_ms: the 90th percentile.
        p95_ms: the 95th.
        p99_ms: the 99th.
        warmup_runs: untimed inferences.
        raw_ms: one time an inference, in order; empty where the program keeps them to itself.
        memory_mb: what the program says of its own memory, by the program's own names.
    """

    n: int
    mean_ms: float
    load_ms: float | None = None
    first_ms: float | None = None
    min_ms: float | None = None
    max_ms: float | None = None
    p5_ms: float | None = None
    p50_ms: float | None = None
    p90_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    warmup_runs: int | None = None
    raw_ms: tuple[float, ...] = ()
    memory_mb: tuple[tuple[str, float], ...] = ()


def found(pattern: str, text: str) -> float | None:
    """Return the number in the last match of a pattern with one group, or None.

    The last: programs print the warm-up in the same words before.
    """
    value = None
    for match in re.finditer(pattern, text):
        try:
            value = float(match.group(1))
        except ValueError:  # "1.2.3", half a line
            value = None
    return value


def scaled(value: float | None, factor: float) -> float | None:
    """Return a value times a factor, None for None."""
    return None if value is None else value * factor


def checked(figures: Figures, program: str) -> Figures:
    """Return figures that can be true.

    Raises:
        MeasurementError: no inference was timed, a time is not positive, or they contradict one
            another.
    """
    ordered = [
        figures.min_ms,
        figures.p5_ms,
        figures.p50_ms,
        figures.p90_ms,
        figures.p95_ms,
        figures.p99_ms,
        figures.max_ms,
    ]
    known = [value for value in ordered if value is not None]
    times = [*known, figures.mean_ms, *figures.raw_ms]
    good = figures.n > 0 and all(0 <= value < float("inf") for value in times)
    # Programs print six digits: the same sample may be rounded two ways.
    slack = 1e-4
    grows = all(low <= high * (1 + slack) for low, high in pairwise(known))
    if not good or not grows:
        raise MeasurementError(f"{program} printed figures that contradict one another: {figures}")
    return figures


def no_figures(program: str, text: str) -> MeasurementError:
    """Return the error for output without a result; it quotes the end."""
    return MeasurementError(
        f"{program} printed no result that is known{tail(text)}",
        hint="Its output may be of another version: report it, with what it printed.",
    )


def tail(text: str) -> str:
    """Return the last lines of a program's output, indented for an error."""
    lines: Sequence[str] = [line.rstrip() for line in text.splitlines() if line.strip()]
    return "".join(f"\n  | {line}" for line in lines[-_TAIL_LINES:])
