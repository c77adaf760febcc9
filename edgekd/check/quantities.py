"""The numbers that a check knows: units, keys in a budget, and what holds by default."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from edgekd import format as fmt

Kind = Literal["bytes", "milliseconds", "fraction", "count", "difference", "text"]


@dataclass(frozen=True)
class Quantity:
    """One number that limits can be set for.

    Attributes:
        name: its key in a budget, and in verdicts.
        kind: what it is counted in.
        on_device: it depends on the device.
        relative: its key under ``[relative]``; None: it is not held against a baseline.
        default: the relative limit where a budget has none: a factor, or a drop of a fraction.
        room: a difference from the baseline that never fails, in the number's own unit.
        headroom: what a proposed limit leaves: a factor, or a drop of a fraction.
    """

    name: str
    kind: Kind
    on_device: bool = False
    relative: str | None = None
    default: float | None = None
    room: float = 0.0
    headroom: float = 1.0

    @property
    def least(self) -> bool:
        """A limit must be reached, not kept below."""
        return self.kind == "fraction"


#: Memory is handed out in pages of 4 KiB, and repeats to 0.01 MB: less is no growth.
_PAGES = 4 * 4096.0

#: In the order in which they are checked.
QUANTITIES = (
    Quantity("size_bytes", "bytes", relative="size_bytes", default=1.05, headroom=1.05),
    Quantity("parameters", "count", relative="parameters", headroom=1.05),
    Quantity("macs", "count", relative="macs", headroom=1.05),
    Quantity("operator_count", "count", relative="operator_count", headroom=1.0),
    Quantity("operators", "text", relative="new_operators"),
    Quantity("oldest_runtime", "text", relative="newer_runtime"),
    Quantity("fp32_parity", "difference", headroom=4.0),
    Quantity(
        "latency_ms_p50",
        "milliseconds",
        on_device=True,
        relative="latency_ms_p50",
        default=1.03,
        headroom=1.5,
    ),
    Quantity(
        "instructions",
        "count",
        on_device=True,
        relative="instructions",
        default=1.01,
        headroom=1.02,
    ),
    Quantity(
        "peak_rss_bytes",
        "bytes",
        on_device=True,
        relative="peak_rss_bytes",
        default=1.10,
        room=_PAGES,
        headroom=1.2,
    ),
    Quantity(
        "anonymous_bytes",
        "bytes",
        on_device=True,
        relative="anonymous_bytes",
        default=1.05,
        room=_PAGES,
        headroom=1.1,
    ),
    Quantity(
        "accuracy",
        "fraction",
        on_device=True,
        relative="accuracy_drop",
        default=0.005,
        headroom=0.005,
    ),
    Quantity(
        "agreement",
        "fraction",
        on_device=True,
        relative="agreement_drop",
        default=0.01,
        headroom=0.01,
    ),
)

BY_NAME = {quantity.name: quantity for quantity in QUANTITIES}

#: Key under ``[relative]`` -> the number it is about.
RELATIVE = {q.relative: q.name for q in QUANTITIES if q.relative is not None}

#: Facts that are read out of a model file.
OF_FILE = ("parameters", "macs", "operator_count", "operators", "oldest_runtime")

#: The number that throttling and other work on the device change most.
LATENCY = "latency_ms_p50"

#: The key under ``[relative]`` of a difference in milliseconds that never fails. It is no limit of
#: its own: it belongs to that of ``latency_ms_p50``, where files take turns.
LATENCY_FLOOR = "latency_floor_ms"

#: What it is where a budget does not say: that of `edgekd.bench.duel_request.DuelSettings`.
LATENCY_FLOOR_MS = 0.005

#: Stored milliseconds vary by this much from run to run; less is not worth a warning.
STORED_LATENCY = 1.10


def defaults() -> Iterator[tuple[str, float]]:
    """Yield (number, relative limit) of all that hold where a budget has no relative limits."""
    for quantity in QUANTITIES:
        if quantity.default is not None:
            yield quantity.name, quantity.default


def shown(metric: str, value: float) -> str:
    """Return a number as people read it, with its unit.

    >>> shown("size_bytes", 92_160), shown("accuracy", 0.974), shown("macs", 2_760_000)
    ('92.2 KB', '97.40%', '2.76M')
    """
    kind = BY_NAME[metric].kind
    if kind == "fraction":
        return fmt.percent(value)
    if kind == "milliseconds":
        return fmt.milliseconds(value)
    if kind == "difference":
        return fmt.significant(value)
    return fmt.size(value) if kind == "bytes" else fmt.count(value)


def shown_apart(metric: str, value: float, limit: float) -> tuple[str, str]:
    """Return two numbers so that they read differently if they are different.

    >>> shown_apart("size_bytes", 84_001, 84_002)
    ('84,001 bytes', '84,002 bytes')
    """
    pair = shown(metric, value), shown(metric, limit)
    if pair[0] != pair[1] or value == limit:
        return pair
    kind = BY_NAME[metric].kind
    if kind in ("fraction", "difference"):
        return f"{value:.9g}", f"{limit:.9g}"
    unit = {"milliseconds": " ms", "bytes": " bytes"}.get(kind, "")
    return f"{value:,.12g}{unit}", f"{limit:,.12g}{unit}"
