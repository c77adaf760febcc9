"""How the study writes its numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from benchmarks.markdown import table

Line = Mapping[str, Any]


def name_of(line: Line) -> str:
    """Return what a cell is, its labels aside."""
    arm = "" if line["arm"] == "same" else f", {line['arm']}"
    return f"{line['teacher']}, T = {line['temperature']:g}, augmentation {line['augment']}{arm}"


def ps(line: Line) -> str:
    """Return the p of every seed."""
    return ", ".join("< 0.001" if p < 0.001 else f"{p:.3f}" for p in line["p"])


def level(value: Any) -> str:
    """Return a level of a factor."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def percent(value: float) -> str:
    """Return a fraction in percent."""
    return f"{value:.2%}"


def mean(values: Sequence[float]) -> str:
    """Return the mean, and half the range where there are several."""
    if not values:
        return ""
    spread = (max(values) - min(values)) / 2
    return f"{fmean(values):.2%}" + (f" ± {100 * spread:.2f}" if len(values) > 1 else "")


def tabled(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table, or that there is nothing to put into one yet."""
    return table(heads, rows) if rows else "Not measured yet."
