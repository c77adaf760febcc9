"""Where the labels of a scatter plot go, so that few of them overlap."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

#: Widths of the plot that labels are placed for, in pixels: on a page, and on a phone.
WIDE, NARROW = 560.0, 180.0
_HEIGHT = 260.0
_LETTER, _LINE, _GAP = 6.6, 14.0, 9.0

#: Room at the left and right of the outermost points.
_MARGIN = 40.0

_NONE = "none"


@dataclass(frozen=True)
class Box:
    """A labelled point, in the units of its axes."""

    x: float
    y: float
    label: str


def place(points: Sequence[Box], log: bool, width: float = WIDE) -> list[str]:
    """Choose ``above``, ``below``, ``left`` or ``right`` for each label, in the order given.

    Args:
        points: the labelled points.
        log: the x axis is logarithmic.
        width: of the plot.

    Returns:
        One place a point; ``none`` where every place is taken: its tooltip must do.

    >>> place([Box(1.0, 0.5, "a"), Box(1.0, 0.5, "b"), Box(9.0, 0.1, "c")], log=False)
    ['above', 'below', 'above']
    """
    xs = _scaled([math.log(point.x) if log else point.x for point in points], width)
    ys = _scaled([-point.y for point in points], _HEIGHT)
    taken = [(x - 5, y - 5, x + 5, y + 5) for x, y in zip(xs, ys, strict=True)]
    places = []
    for x, y, point in zip(xs, ys, points, strict=True):
        long = len(point.label) * _LETTER
        candidates = {
            "above": (x - long / 2, y - _GAP - _LINE, x + long / 2, y - _GAP),
            "below": (x - long / 2, y + _GAP, x + long / 2, y + _GAP + _LINE),
            "left": (x - _GAP - long, y - _LINE / 2, x - _GAP, y + _LINE / 2),
            "right": (x + _GAP, y - _LINE / 2, x + _GAP + long, y + _LINE / 2),
        }
        chosen = _NONE
        for name, box in candidates.items():
            inside = box[0] >= -_MARGIN and box[2] <= width + _MARGIN
            if inside and not any(_overlap(box, other) for other in taken):
                chosen = name
                taken.append(box)
                break
        places.append(chosen)
    return places


def _scaled(values: Sequence[float], size: float) -> list[float]:
    """Spread values over a length; equal values lie in the middle."""
    low, high = min(values), max(values)
    if high == low:
        return [size / 2] * len(values)
    return [(value - low) / (high - low) * size for value in values]


def _overlap(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
