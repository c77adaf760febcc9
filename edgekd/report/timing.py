"""The charts of times: how latencies spread, and how they change under load."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from edgekd import format as fmt
from edgekd.records_bench import Soak
from edgekd.report.style import ACCENT, INK, Spec, finish, styles, tooltips

#: Ticks that stand for the samples of a file: its quantiles, evenly spread.
_TICKS = 100


def quantile(ordered: Sequence[float], share: float) -> float:
    """Return a quantile of sorted values, interpolated linearly.

    >>> quantile([1.0, 2.0, 3.0, 4.0], 0.5), quantile([1.0, 2.0], 1.0)
    (2.5, 2.0)
    """
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def distributions(raw: Mapping[str, Sequence[float]]) -> Spec:
    """Draw how the latencies of each file spread: quantiles as ticks, quartiles as a bar.

    Args:
        raw: file -> milliseconds of every inference, none of them empty.
    """
    ordered = {name: sorted(values) for name, values in raw.items()}
    boxes = [_box(name, values) for name, values in ordered.items()]
    ticks = [
        {"name": name, "ms": quantile(values, 0.01 + 0.98 * i / (_TICKS - 1))}
        for name, values in ordered.items()
        for i in range(_TICKS)
    ]
    low, high = min(b["p1"] for b in boxes), max(b["p99"] for b in boxes)
    log = low > 0 and high / low > 8
    scale = (
        alt.Scale(type="log", nice=False, padding=8) if log else alt.Scale(zero=False, padding=8)
    )
    title = "latency, ms" + (" (log scale)" if log else "")
    y = alt.Y("name:N", sort=[*raw], title=None, axis=alt.Axis(labelColor=INK))

    def x(field: str) -> alt.X:
        axis = alt.Axis(tickCount=6, format="~g")
        return alt.X(f"{field}:Q", title=title, scale=scale, axis=axis)

    base = alt.Chart({"values": boxes}).encode(y=y)
    shown = tooltips("name", "inferences", "median", "middle half", "1% to 99%")
    layers: list[Any] = [
        base.mark_rule(color=ACCENT, opacity=0.5).encode(x=x("p1"), x2="p99:Q"),
        alt.Chart({"values": ticks})
        .mark_tick(color=ACCENT, opacity=0.28, thickness=1, size=18)
        .encode(y=y, x=x("ms")),
        base.mark_bar(color=ACCENT, opacity=0.38, height=12).encode(
            x=x("p25"), x2="p75:Q", tooltip=shown
        ),
        base.mark_tick(color=INK, thickness=2, size=18).encode(x=x("p50"), tooltip=shown),
    ]
    return finish(alt.layer(*layers), height=32 * len(raw))


def _box(name: str, values: Sequence[float]) -> dict[str, Any]:
    p1, p25, p50, p75, p99 = (quantile(values, q) for q in (0.01, 0.25, 0.5, 0.75, 0.99))
    return {
        "name": name,
        "inferences": f"{len(values):,}",
        "p1": p1,
        "p25": p25,
        "p50": p50,
        "p75": p75,
        "p99": p99,
        "median": fmt.milliseconds(p50),
        "middle half": f"{fmt.milliseconds(p25)} to {fmt.milliseconds(p75)}",
        "1% to 99%": f"{fmt.milliseconds(p1)} to {fmt.milliseconds(p99)}",
    }


def windows(soaks: Mapping[str, Soak]) -> Spec:
    """Draw the median of every window of a load that went on, over that of the first.

    Args:
        soaks: file -> what was measured.
    """
    values = [
        {
            "series": name,
            "seconds": round((place + 1) * soak.window_seconds, 3),
            "ratio": median / soak.p50_ms[0],
            "median": fmt.milliseconds(median),
            "temperature": _degrees(soak, place),
        }
        for name, soak in soaks.items()
        for place, median in enumerate(soak.p50_ms)
        if soak.p50_ms[0]
    ]
    looks = styles({name: name for name in soaks})
    domain = [*soaks]
    base = alt.Chart({"values": values}).encode(
        x=alt.X("seconds:Q", title="seconds", axis=alt.Axis(tickCount=8, format="~g")),
        y=alt.Y(
            "ratio:Q",
            title="median, over the first window's",
            scale=alt.Scale(zero=False, padding=10),
            axis=alt.Axis(tickCount=5, format=".0%"),
        ),
        color=alt.Color("series:N", scale=alt.Scale(domain=domain, range=[c for c, _ in looks])),
    )
    dashes = alt.StrokeDash(
        "series:N", scale=alt.Scale(domain=domain, range=[dash for _, dash in looks])
    )
    points = base.mark_point(filled=True, size=26, opacity=1)
    shown = tooltips("series", "seconds", "median", "temperature")
    line = base.mark_line(strokeWidth=1.6).encode(strokeDash=dashes)
    return finish(alt.layer(line, points.encode(tooltip=shown)), height=220)


def _degrees(soak: Soak, place: int) -> str:
    known = soak.temperature_c[place] if place < len(soak.temperature_c) else None
    return fmt.MISSING if known is None else f"{known:.0f} °C"
