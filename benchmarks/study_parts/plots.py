"""The plots of the study, as SVG that any page shows, light or dark."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import fmean
from typing import Any

import altair as alt
import vl_convert

from benchmarks.study_parts.cells import AUGMENT, Setting
from benchmarks.study_parts.collect import FACTORS, of

#: Told apart by the colour-blind, on white: Okabe and Ito's palette.
COLOURS = ["#D55E00", "#0072B2", "#009E73"]
SHAPES = ["circle", "square", "triangle-up"]
_TITLES = {"temperature": "temperature", "teacher": "teacher", "augment": "augmentation"}
#: Vega's default fonts are not on every machine; this one comes with the converter.
FONT = "Arial, Helvetica, sans-serif"


def draw(result: Mapping[str, Any]) -> dict[str, str]:
    """Return the plots by name, each an SVG of some kilobytes.

    Args:
        result: of `benchmarks.study_parts.collect.collect`.
    """
    fields = {name: result["setting"][name] for name in Setting.__dataclass_fields__}
    setting = Setting(**fields)
    return {"gain": _svg(_gain(result, setting)), "agreement": _svg(_agreement(result, setting))}


def _gain(result: Mapping[str, Any], setting: Setting) -> Any:
    """Draw the gain over the twin by the level of one factor at a time, a colour a fraction."""
    middle = dict(zip(FACTORS, setting.middle, strict=True))
    orders = {
        "temperature": [f"{heat:g}" for heat in setting.temperatures],
        "teacher": list(setting.teachers),
        "augment": list(AUGMENT),
    }
    panels = []
    for number, factor in enumerate(FACTORS):
        others = {name: value for name, value in middle.items() if name != factor}
        lines = of(result, arm="same", **others)
        values = [
            {
                "labels": line["labels"],
                "level": f"{line[factor]:g}" if factor == "temperature" else line[factor],
                "gain": 100 * (student - twin),
                "mean": 100 * line["gain"],
            }
            for line in lines
            for student, twin in zip(line["student"], line["twin"], strict=True)
        ]
        base = alt.Chart({"values": values}).encode(
            x=alt.X(
                "level:N",
                sort=orders[factor],
                title=_TITLES[factor],
                axis=alt.Axis(labelAngle=0),
                scale=alt.Scale(padding=0.5),
            ),
            color=_colour(setting),
        )
        title = "points over the twin" if number == 0 else None
        dots = base.mark_point(filled=True, size=36, opacity=0.75).encode(
            y=alt.Y("gain:Q", title=title), shape=_shape(setting)
        )
        means = base.mark_line(strokeWidth=1.5).encode(y="mean:Q")
        none = alt.Chart({"values": [{"zero": 0}]}).mark_rule(color="#666666", strokeDash=[4, 3])
        panels.append(
            alt.layer(none.encode(y="zero:Q"), means, dots).properties(width=185, height=210)
        )
    return alt.hconcat(*panels).resolve_scale(y="shared")


def _agreement(result: Mapping[str, Any], setting: Setting) -> Any:
    """Draw accuracy against agreement with the teacher, a panel a fraction, students and twins."""
    panels = []
    for number, labels in enumerate(setting.labels):
        values = []
        for line in of(result, labels=labels, arm="same"):
            values.append(_dot("student", line["agreement"], line["student"]))
            values.append(_dot("twin", line["twin_agreement"], line["twin"]))
        axes = [
            alt.X(
                "agreement:Q",
                title="agreement with the teacher, %",
                scale=alt.Scale(zero=False),
                axis=alt.Axis(tickCount=5),
            ),
            alt.Y(
                "accuracy:Q",
                title="test accuracy, %" if number == 0 else None,
                scale=alt.Scale(zero=False),
                axis=alt.Axis(tickCount=5),
            ),
        ]
        kinds = ["student", "twin"]
        panels.append(
            alt.Chart({"values": values}, title=f"{labels} of the labels")
            .mark_point(filled=True, size=36, opacity=0.75)
            .encode(
                x=axes[0],
                y=axes[1],
                color=alt.Color("kind:N", scale=alt.Scale(domain=kinds, range=COLOURS[:2])),
                shape=alt.Shape("kind:N", scale=alt.Scale(domain=kinds, range=SHAPES[:2])),
            )
            .properties(width=185, height=185)
        )
    return alt.hconcat(*panels)


def _dot(kind: str, agreement: list[float], accuracy: list[float]) -> dict[str, Any]:
    return {
        "kind": kind,
        "agreement": 100 * fmean(agreement),
        "accuracy": 100 * fmean(accuracy),
    }


def _colour(setting: Setting) -> alt.Color:
    scale = alt.Scale(domain=list(setting.labels), range=COLOURS)
    return alt.Color("labels:N", scale=scale, title="labels", sort=list(setting.labels))


def _shape(setting: Setting) -> alt.Shape:
    scale = alt.Scale(domain=list(setting.labels), range=SHAPES)
    return alt.Shape("labels:N", scale=scale, title="labels", sort=list(setting.labels))


def _svg(chart: Any) -> str:
    spec = chart.to_dict()
    spec["config"] = {"background": "white", "font": FONT, "padding": 10}
    text: str = vl_convert.vegalite_to_svg(spec)
    return text
