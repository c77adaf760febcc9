"""A budget out of what was measured: round limits with some room, and what was measured beside."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator

from edgekd.check.quantities import (
    BY_NAME,
    LATENCY,
    LATENCY_FLOOR,
    LATENCY_FLOOR_MS,
    QUANTITIES,
    Quantity,
    shown,
)
from edgekd.check.subject import Item, Subject

_DIGITS = 3

#: Begins the comment that says what was measured; `edgekd.check.update` keeps it true.
MEASURED = "# measured: "

_HEAD = """\
# Limits of `edgekd check`, proposed from {label}.
# Each leaves some room; take away what does not matter. `edgekd check --update` rewrites limits
# from what was measured, keeps comments, and wants a --reason for every limit that it loosens.
"""

_RELATIVE = """
# Against --baseline these hold, until a table of this name says otherwise: factors, and drops of
# fractions; what the baseline does not tell is left out.
# [relative]
"""


def limit_for(quantity: Quantity, value: float) -> float:
    """Return a round limit that leaves some room.

    Args:
        quantity: what was measured.
        value: what came out.

    >>> limit_for(BY_NAME["size_bytes"], 57_123), limit_for(BY_NAME["accuracy"], 0.9684)
    (60000.0, 0.963)
    """
    if quantity.least:
        room = max(value - quantity.headroom, 0.0)
        return math.floor(room * 1000 + 1e-6) / 1000
    wanted = max(value * quantity.headroom, value + quantity.room, 0.0)
    return wanted if quantity.headroom == 1.0 else _round_up(wanted)


def _round_up(value: float) -> float:
    """Round to three digits, never below the value."""
    if value <= 0:
        return 0.0
    step = 10.0 ** (math.floor(math.log10(value)) - _DIGITS + 1)
    # The float of 10 ** n and the division may be a hair off: that is no reason to go up.
    steps = math.ceil(value / step - 1e-9)
    return float(f"{steps * step:.{_DIGITS}g}")


def written(value: float) -> str:
    """Return a limit as TOML.

    >>> written(31500.0), written(0.963), written(1.2e-06)
    ('31_500', '0.963', '1.2e-06')
    """
    if float(value).is_integer() and abs(value) >= 1:
        return f"{int(value):_}"
    return repr(float(value))


def measured(metric: str, value: float) -> str:
    """Return a number with every digit that tells it, for a comment.

    >>> measured("size_bytes", 57123), measured("accuracy", 0.9684)
    ('57,123 bytes', '96.84%')
    """
    kind = BY_NAME[metric].kind
    if kind in ("bytes", "count"):
        return f"{value:,.12g}{' bytes' if kind == 'bytes' else ''}"
    return shown(metric, value)


def proposal(subject: Subject) -> str:
    """Return a budget as TOML text with comments.

    Args:
        subject: a run, files or measurements; only what is known of it gets a limit.
    """
    parts = [_HEAD.format(label=clean(subject.label)), _RELATIVE]
    for quantity in QUANTITIES:
        if quantity.default is not None:
            parts.append(f"# {quantity.relative} = {quantity.default}\n")
        if quantity.name == LATENCY:
            note = "  # milliseconds more that never fail"
            parts.append(f"# {LATENCY_FLOOR} = {LATENCY_FLOOR_MS}{note}\n")
    for item in subject.exported:
        lines = list(_of_file(item))
        if lines:
            parts.append(f"\n[artifact.{_key(item.name)}]\n" + "\n".join(lines) + "\n")
        for device in item.measurements:
            lines = list(_on_device(item, device))
            if lines:
                table = f"[artifact.{_key(item.name)}.device.{_key(device)}]"
                parts.append(f"\n{table}\n" + "\n".join(lines) + "\n")
    return "".join(parts)


def _of_file(item: Item) -> Iterator[str]:
    for quantity in QUANTITIES:
        value = None if quantity.on_device else item.value(quantity.name, None)
        if value is not None and quantity.kind != "text":
            yield from _lines(quantity, value)
    if item.facts.operators:
        names = ", ".join(f'"{clean(name)}"' for name in sorted(item.facts.operators))
        yield f"# operators = [{names}]  # without the first sign: no others are allowed"
    if item.facts.oldest:
        yield f"{MEASURED}it needs {item.facts.oldest}"
        yield f'oldest_runtime = "{item.facts.oldest}"'


def _on_device(item: Item, device: str) -> Iterator[str]:
    for quantity in QUANTITIES:
        if not quantity.on_device or item.trouble(device) is not None:
            continue
        value = item.value(quantity.name, device)
        if value is None or (quantity.name == "peak_rss_bytes" and item.emulated(device)):
            continue
        if quantity.name != LATENCY:
            yield from _lines(quantity, value)
            continue
        found = measured(quantity.name, value)
        yield f"# {quantity.name} = {written(limit_for(quantity, value))}  # {found} on this one"
        yield "# machine: a limit only where the gate measures on the device itself"


def _lines(quantity: Quantity, value: float) -> Iterator[str]:
    yield f"{MEASURED}{measured(quantity.name, value)}"
    yield f"{quantity.name} = {written(limit_for(quantity, value))}"


def _key(name: str) -> str:
    """Return a key as TOML: a plain one, or JSON's string, which is TOML's too but for DEL."""
    if re.fullmatch(r"[A-Za-z0-9_-]+", name):
        return name
    return json.dumps(name, ensure_ascii=False).replace("\x7f", "\\u007f")


def clean(text: str) -> str:
    """Return text on one line, without what a comment cannot hold."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
