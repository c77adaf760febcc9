"""What benchmarks write into pages: tables, between markers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def write_between(page: Path, begin: str, end: str, body: str) -> None:
    """Put a text between the markers of a page.

    Args:
        page: the file.
        begin: the marker before it.
        end: the marker behind it.
        body: the text, without a line break around it.

    Raises:
        SystemExit: the page has no such markers.
    """
    text = page.read_text(encoding="utf-8") if page.is_file() else ""
    if begin not in text or end not in text:
        raise SystemExit(f"{page} has no markers {begin} and {end}")
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(end)
    page.write_text(f"{before}{begin}\n{body}\n{end}{after}", encoding="utf-8")


def points(difference: float) -> str:
    """Return a difference of fractions in percentage points, with its sign; none is ``+0.00``.

    >>> points(0.0123), points(-0.000001)
    ('+1.23', '+0.00')
    """
    return f"{round(100 * difference, 2) + 0.0:+.2f}"


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table, without a line break behind it."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
