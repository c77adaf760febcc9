"""Signals as small pictures: the range of values in each of some columns."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Columns of a picture, its height, and the height of a channel at least, in pixels.
COLUMNS, HEIGHT = 120, 32

#: What has fewer values in a row is a vector, not a signal; more channels could not be told apart.
_FEWEST, _MOST_CHANNELS = 16, 3

#: A colour that can be seen on light and on dark: an image cannot follow the page's style sheet.
_COLOUR = "#6d8794"


def is_signal(shape: Sequence[int]) -> bool:
    """Return whether samples of a shape are signals: (channels, length), or (channels, 1, length).

    >>> is_signal((1, 8000)), is_signal((3, 8, 8)), is_signal((13,)), is_signal((64, 64))
    (True, False, False, False)
    """
    channels, *rest = shape or (0,)
    lengths = [size for size in rest if size != 1]
    return 0 < channels <= _MOST_CHANNELS and len(lengths) == 1 and lengths[0] >= _FEWEST


def address(sample: NDArray[Any]) -> str:
    """Return the address of a picture of a signal.

    Args:
        sample: (channels, length) or (channels, 1, length), any values.
    """
    sample = sample.reshape(len(sample), -1)
    high = HEIGHT / len(sample)
    paths = [
        _path(channel.tolist(), high * number + high / 2, high / 2 - 1)
        for number, channel in enumerate(sample)
    ]
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {COLUMNS} {HEIGHT}">'
        f'<path d="{"".join(paths)}" stroke="{_COLOUR}" fill="none"/></svg>'
    )
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode("ascii")


def _path(values: Sequence[float], middle: float, height: float) -> str:
    """Draw a vertical stroke for each column, from its least to its largest value."""
    largest = max(map(abs, values)) or 1.0
    parts = []
    for column in range(min(COLUMNS, len(values))):
        columns = min(COLUMNS, len(values))
        first, last = column * len(values) // columns, (column + 1) * len(values) // columns
        here = values[first:last]
        top, bottom = (middle - height * value / largest for value in (max(here), min(here)))
        x = (column + 0.5) * COLUMNS / columns
        parts.append(f"M{x:.1f} {top - 0.3:.1f}V{bottom + 0.3:.1f}")
    return "".join(parts)
