"""The rows of the table: which contestants meet, and which ratio has which goal."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.speed.turns import Contestant, Times


@dataclass(frozen=True)
class Row:
    """One ratio of times.

    Attributes:
        name: in the results.
        group: the contestants that took turns.
        over: the contestant above the line.
        under: the contestant below it.
        goal: the largest ratio that will do, or the smallest where ``at_least``; None: no goal.
        at_least: which of the two.
        says: what the ratio is, in words.
    """

    name: str
    group: str
    over: str
    under: str
    goal: float | None
    at_least: bool
    says: str


ROWS = (
    Row(
        "loop",
        "loop",
        "edgekd",
        "by-hand",
        1.03,
        False,
        "edgekd over a loop written by hand, the same distillation step",
    ),
    Row(
        "loop-memory-kept",
        "loop",
        "edgekd",
        "by-hand-memory-kept",
        1.03,
        False,
        "the same, but that loop keeps freed memory as edgekd does (`edgekd.distill.memory`)",
    ),
    Row(
        "cache-large-teacher",
        "cache",
        "cached-large-teacher",
        "student-alone",
        1.10,
        False,
        "distillation with cached answers of a large teacher over the student alone",
    ),
    Row(
        "cache-small-teacher",
        "cache",
        "cached-small-teacher",
        "student-alone",
        1.10,
        False,
        "distillation with cached answers of a small teacher over the student alone",
    ),
    Row(
        "torchdistill-plain",
        "torchdistill",
        "torchdistill",
        "edgekd",
        None,
        True,
        "torchdistill over edgekd, no switches",
    ),
    Row(
        "torchdistill-folded",
        "torchdistill",
        "torchdistill",
        "edgekd-folded",
        1.3,
        True,
        "torchdistill over edgekd with `channels_last` and `fold`",
    ),
    Row(
        "torchdistill-folded-compiled",
        "torchdistill",
        "torchdistill",
        "edgekd-folded-compiled",
        1.3,
        True,
        "torchdistill over edgekd with `channels_last`, `fold` and `compile`",
    ),
    Row(
        "torchdistill-folded-bf16",
        "torchdistill",
        "torchdistill",
        "edgekd-folded-bf16",
        None,
        True,
        "torchdistill over edgekd with `channels_last`, `fold` and `bf16-mixed`",
    ),
    Row(
        "torchdistill-cached",
        "torchdistill",
        "torchdistill",
        "edgekd-cached",
        2.5,
        True,
        "torchdistill over edgekd with `channels_last` and `cache`",
    ),
    Row(
        "torchdistill-cached-compiled",
        "torchdistill",
        "torchdistill",
        "edgekd-cached-compiled",
        2.5,
        True,
        "torchdistill over edgekd with `channels_last`, `cache` and `compile`",
    ),
    Row(
        "torchdistill-cached-bf16",
        "torchdistill",
        "torchdistill",
        "edgekd-cached-bf16",
        None,
        True,
        "torchdistill over edgekd with `channels_last`, `cache` and `bf16-mixed`",
    ),
)


#: Switches of edgekd's recipes against torchdistill.
_LAST = {"channels_last": True}
_SWITCHES: dict[str, dict[str, Any]] = {
    "edgekd-folded": {**_LAST, "fold": True},
    "edgekd-folded-compiled": {**_LAST, "fold": True, "compile": True},
    "edgekd-folded-bf16": {**_LAST, "fold": True, "precision": "bf16-mixed"},
    "edgekd-cached": {**_LAST, "cache": True},
    "edgekd-cached-compiled": {**_LAST, "cache": True, "compile": True},
    "edgekd-cached-bf16": {**_LAST, "cache": True, "precision": "bf16-mixed"},
}


def groups(
    small_teacher: str, torchdistill: str | None, *, compiled: bool
) -> dict[str, list[Contestant]]:
    """Return who takes turns with whom.

    Args:
        small_teacher: a network smaller than the student.
        torchdistill: the interpreter of an environment with torchdistill; None: leave it out.
        compiled: also measure ``torch.compile``, which needs a C++ compiler and half a minute.
    """
    edgekd = Contestant("edgekd", "edgekd")
    found = {
        "loop": [
            Contestant("by-hand", "by-hand"),
            edgekd,
            Contestant("by-hand-memory-kept", "by-hand", {"memory_kept": True}),
        ],
        "cache": [
            Contestant("student-alone", "edgekd", {"alone": True}),
            Contestant("cached-large-teacher", "edgekd", {"cache": True}),
            Contestant(
                "cached-small-teacher", "edgekd", {"cache": True}, {"teacher": small_teacher}
            ),
        ],
    }
    if torchdistill is not None:
        found["torchdistill"] = [
            Contestant("torchdistill", "torchdistill", python=torchdistill),
            edgekd,
            *(
                Contestant(name, "edgekd", switches)
                for name, switches in _SWITCHES.items()
                if compiled or not switches.get("compile")
            ),
        ]
    return found


def judge(row: Row, times: Times) -> dict[str, Any]:
    """Return a row's ratios: one a repetition, of wall-clock and of CPU time, and the medians."""
    ratios = _ratios(times[row.over], times[row.under], "seconds")
    cpu = _ratios(times[row.over], times[row.under], "cpu_seconds")
    median = statistics.median(ratios)
    return {
        "name": row.name,
        "group": row.group,
        "over": row.over,
        "under": row.under,
        "says": row.says,
        "ratio": round(median, 4),
        "lowest": min(ratios),
        "highest": max(ratios),
        "cpu_ratio": round(statistics.median(cpu), 4),
        "ratios": ratios,
        "cpu_ratios": cpu,
        "repetitions": len(ratios),
        "goal": row.goal,
        "at_least": row.at_least,
        "met": _met(row, median),
    }


def _met(row: Row, ratio: float) -> bool | None:
    if row.goal is None:
        return None
    return ratio >= row.goal if row.at_least else ratio <= row.goal


def _ratios(
    over: Sequence[Mapping[str, float]], under: Sequence[Mapping[str, float]], key: str
) -> list[float]:
    return [round(a[key] / b[key], 4) for a, b in zip(over, under, strict=True)]
