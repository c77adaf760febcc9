"""The heat map of how alike layers are, as a Vega-Lite specification."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt

from edgekd.records_evaluation import LayerSimilarity
from edgekd.report.blocks import Figure, called
from edgekd.report.style import ACCENT, INK, finish, tooltips

#: The most layers a side of a heat map; of more, so many are picked evenly.
_MOST_LAYERS = 40

#: Up to so many columns the cells of a heat map hold their numbers.
_READABLE = 12


def similarity(found: LayerSimilarity) -> Figure:
    """Draw the CKA of every layer of one network with every layer of the other."""
    rows, columns = _picked(found.a_layers), _picked(found.b_layers)
    values = [
        {
            "a": found.a_layers[row],
            "b": found.b_layers[column],
            "value": found.values[row][column],
            "shown": f"{found.values[row][column]:.2f}",
        }
        for row in rows
        for column in columns
    ]
    base = alt.Chart({"values": values}).encode(
        x=alt.X(
            "b:N",
            sort=None,
            title=called(found.b),
            axis=alt.Axis(labelAngle=0 if len(columns) <= 8 else -60, labelLimit=110, domain=False),
        ),
        y=alt.Y("a:N", sort=None, title=called(found.a), axis=alt.Axis(labelLimit=130)),
    )
    # A colour that follows the style sheet cannot be blended by Vega; its opacity can.
    cells = base.mark_rect(color=ACCENT).encode(
        opacity=alt.Opacity(
            "value:Q", scale=alt.Scale(domain=[0, 1], range=[0.02, 0.6]), legend=None
        ),
        tooltip=tooltips("a", "b", "shown"),
    )
    layers = [cells]
    if len(columns) <= _READABLE:
        layers.append(base.mark_text(color=INK).encode(text="shown:N"))
    thinned = len(rows) < len(found.a_layers) or len(columns) < len(found.b_layers)
    note = (
        f"Linear CKA of the {found.a}'s layers with the {found.b}'s on {found.samples:,} samples: "
        "1 where one is the other, rotated and scaled."
        + (" Of many layers some are shown, evenly picked." if thinned else "")
    )
    spec = finish(alt.layer(*layers), height=30 * len(rows) if len(rows) <= 12 else 14 * len(rows))
    return Figure("", note, spec, wide=True)


def _picked(layers: Sequence[str]) -> list[int]:
    """Return places of layers, evenly spread where there are too many; the last one always."""
    count = len(layers)
    if count <= _MOST_LAYERS:
        return [*range(count)]
    return [round(i * (count - 1) / (_MOST_LAYERS - 1)) for i in range(_MOST_LAYERS)]
