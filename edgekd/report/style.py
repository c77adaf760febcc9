"""How every chart looks.

Colours are CSS variables (``var(--accent)``), which SVG takes as they are: one specification
serves light, dark and print, and the page's style sheet decides.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import altair as alt

Spec = dict[str, Any]

INK, MUTED, LINE, ACCENT = "var(--ink)", "var(--muted)", "var(--line)", "var(--accent)"
_FONT = "system-ui, -apple-system, 'Segoe UI', sans-serif"

CONFIG: dict[str, Any] = {
    "background": "transparent",
    "font": _FONT,
    "view": {"stroke": None},
    "axis": {
        "labelColor": MUTED,
        "titleColor": MUTED,
        "titleFontWeight": "normal",
        "titleFontSize": 12,
        "labelFontSize": 12,
        "gridColor": LINE,
        "domainColor": LINE,
        "tickColor": LINE,
        "titlePadding": 8,
        "labelPadding": 6,
        "ticks": False,
        "domain": False,
    },
    "axisX": {"grid": False, "domain": True},
    # On a phone, a number that would run into its neighbour is left out; a name never is.
    "axisXQuantitative": {"labelOverlap": "greedy", "labelSeparation": 6},
    "axisY": {"labelLimit": 200},
    "legend": {
        "orient": "top",
        "title": None,
        "labelColor": INK,
        "labelFontSize": 12,
        "symbolType": "stroke",
        "symbolStrokeWidth": 2,
        "symbolOpacity": 1,
        "symbolSize": 140,
        "columnPadding": 9,
        "labelLimit": 260,
        "offset": 6,
        "padding": 0,
    },
    "text": {"color": INK, "fontSize": 12},
    "point": {"color": ACCENT},
    "bar": {"color": ACCENT},
}


#: Colour and dashes of whoever is of a kind; files, and a second of a kind, take the others.
_KINDS = {"teacher": (INK, [1, 0]), "student": (ACCENT, [1, 0]), "baseline": (MUTED, [5, 3])}
_OTHERS = ((MUTED, [2, 2]), (ACCENT, [2, 2]), (INK, [8, 3, 2, 3]), (MUTED, [1, 0]))


def styles(kinds: Mapping[str, str]) -> list[tuple[str, list[int]]]:
    """Return colour and dashes for each name, by its kind; up to seven are told apart.

    Args:
        kinds: name -> kind.
    """
    found: list[tuple[str, list[int]]] = []
    others = 0
    for kind in kinds.values():
        own = _KINDS.get(kind)
        if own is None or own in found:
            own = _OTHERS[others % len(_OTHERS)]
            others += 1
        found.append(own)
    return found


def tooltips(*fields: str) -> list[alt.Tooltip]:
    """Return tooltips for fields of the data."""
    titles = {"series": "curve", "shown": "value", "percent": "accuracy", "share": "of the largest"}
    return [
        alt.Tooltip(
            field=field,
            type="quantitative" if field in ("seed", "epoch") else "nominal",
            title=titles.get(field, field),
        )
        for field in fields
    ]


def whole(field: str, values: Iterable[int], *, title: str | None, ticks: int) -> alt.X:
    """Return an axis of whole numbers, such as epochs: no tick stands between two of them.

    Args:
        field: of the data.
        values: the numbers, at least one.
        title: of the axis.
        ticks: about how many there are where not every number has one.
    """
    known = [*values]
    first, last = min(known), max(known)
    few = [*range(first, last + 1)] if last - first < ticks else None
    more: dict[str, Any] = {"tickCount": ticks} if few is None else {"values": few}
    return alt.X(
        f"{field}:Q",
        title=title,
        scale=alt.Scale(zero=False, nice=False, padding=6),
        axis=alt.Axis(format="d", **more),
    )


def finish(chart: Any, *, height: Any) -> Spec:
    """Return the specification, as wide as its place on the page."""
    spec: Spec = chart.properties(width="container", height=height).to_dict()
    spec["config"] = CONFIG  # instead of altair's theme
    return spec
