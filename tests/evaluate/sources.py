"""Data for tests, named in recipes by import path."""

from __future__ import annotations

from dataclasses import replace

from edgekd.data.digits import digits
from edgekd.data.split import RawData


def spoken_digits() -> RawData:
    """Return the digits with a column of text, one of many numbers, and one with gaps."""
    raw = digits()
    ids = [name for part in raw.parts.values() for name in part.ids]
    columns = {
        "writer": {name: f"writer {int(name[-2:]) % 3}" for name in ids},
        "length": {name: str(int(name[-4:])) for name in ids},
        "lamp": {name: "on" for name in ids if name.endswith("1")},
    }
    return replace(raw, columns=columns)
