"""The charts of the results, as Vega-Lite specifications."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import altair as alt

from edgekd import format as fmt
from edgekd.report.style import ACCENT, INK, MUTED, Spec, finish, tooltips
from edgekd.summary import Row


def sizes(rows: Sequence[Row]) -> Spec | None:
    """Draw the size of each network and file as a bar, in the order of the table."""
    seen: dict[str, Row] = {}
    for row in rows:
        if row.size_bytes is not None and row.kind != "baseline":
            seen.setdefault(row.name, row)
    if not seen:
        return None
    largest = max(row.size_bytes or 0 for row in seen.values())
    values = [
        {
            "name": row.name,
            "kind": "file" if row.kind == "artifact" else "network",
            "bytes": row.size_bytes,
            "size": fmt.size(row.size_bytes),
            "share": fmt.percent((row.size_bytes or 0) / largest, 1) if largest else fmt.MISSING,
        }
        for row in seen.values()
    ]
    base = alt.Chart({"values": values}).encode(
        y=alt.Y("name:N", sort=None, title=None, axis=alt.Axis(labelColor=INK)),
        # Room at the right for the longest bar's label, on a phone too.
        x=alt.X("bytes:Q", axis=None, scale=alt.Scale(domain=[0, largest * 1.35 or 1])),
    )
    bars = base.mark_bar(height=14, cornerRadiusEnd=2).encode(
        color=alt.Color(
            "kind:N",
            scale=alt.Scale(domain=["file", "network"], range=[ACCENT, MUTED]),
            legend=None,
        ),
        tooltip=tooltips("name", "size", "share"),
    )
    text = base.mark_text(align="left", dx=6, color=MUTED).encode(text="size:N")
    return finish(alt.layer(bars, text), height=30 * len(seen))


def bars(values: Mapping[str, tuple[float, str]]) -> Spec:
    """Draw a bar for each name, in the order given, with its value beside it.

    Args:
        values: name -> number from 0 on, and the number as text.
    """
    rows = [{"name": name, "value": v, "shown": text} for name, (v, text) in values.items()]
    largest = max((value for value, _ in values.values()), default=0.0) or 1.0
    base = alt.Chart({"values": rows}).encode(
        y=alt.Y("name:N", sort=None, title=None, axis=alt.Axis(labelColor=INK)),
        # Room at the right for the longest bar's label, on a phone too.
        x=alt.X("value:Q", axis=None, scale=alt.Scale(domain=[0, largest * 1.4])),
    )
    drawn = base.mark_bar(height=12, cornerRadiusEnd=2).encode(tooltip=tooltips("name", "shown"))
    text = base.mark_text(align="left", dx=6, color=MUTED).encode(text="shown:N")
    return finish(alt.layer(drawn, text), height=24 * max(len(rows), 1))
