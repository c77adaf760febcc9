"""The numbers that a scatter plot can have on its axes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edgekd import format as fmt
from edgekd.summary import Row


@dataclass(frozen=True)
class Axis:
    """A number of a row.

    Attributes:
        key: its name in the page.
        label: what the reader chooses.
        title: of the axis, with the unit.
        value: reads it; None: not known.
        show: writes it.
        format: of the labels, by d3-format.
        more_is_better: of two values the larger is the better one.
        device: it depends on the device.
    """

    key: str
    label: str
    title: str
    value: Callable[[Row], float | None]
    show: Callable[[float | None], str]
    format: str = "~g"
    more_is_better: bool = False
    device: bool = True


def _unless_emulated(value: Callable[[Row], float | None]) -> Callable[[Row], float | None]:
    """Leave out what an emulator's own time and memory are in."""
    return lambda row: None if row.emulated else value(row)


def _millijoules(row: Row) -> float | None:
    return None if row.energy_j is None else row.energy_j * 1000


#: What quality costs. The first that is known is shown first.
COSTS = (
    Axis(
        "latency",
        "latency",
        "median latency, ms",
        _unless_emulated(lambda row: row.latency_p50_ms),
        fmt.milliseconds,
    ),
    Axis(
        "instructions",
        "instructions",
        "instructions",
        lambda row: row.instructions,
        fmt.count,
        "~s",
    ),
    Axis(
        "throughput",
        "samples a second",
        "samples a second",
        _unless_emulated(lambda row: row.per_second),
        fmt.count,
        "~s",
        more_is_better=True,
    ),
    Axis(
        "energy",
        "energy",
        "energy, mJ",
        _unless_emulated(_millijoules),
        lambda value: fmt.joules(None if value is None else value / 1000),
    ),
    Axis(
        "memory",
        "peak memory",
        "peak memory, bytes",
        _unless_emulated(lambda row: row.peak_rss_bytes),
        fmt.size,
        "~s",
    ),
    Axis("size", "size", "size, bytes", lambda row: row.size_bytes, fmt.size, "~s", device=False),
    Axis(
        "parameters",
        "parameters",
        "parameters",
        lambda row: row.parameters,
        fmt.count,
        "~s",
        device=False,
    ),
    Axis(
        "macs",
        "multiply-accumulates",
        "multiply-accumulates",
        lambda row: row.macs,
        fmt.count,
        "~s",
        device=False,
    ),
)

#: What it is held against.
QUALITIES = (
    Axis(
        "accuracy",
        "accuracy",
        "test accuracy",
        lambda row: row.accuracy,
        fmt.percent,
        ".1%",
        more_is_better=True,
    ),
    Axis(
        "agreement",
        "agreement with the teacher",
        "agreement with the teacher",
        lambda row: None if row.kind == "teacher" else row.agreement,
        fmt.percent,
        ".1%",
        more_is_better=True,
    ),
)
