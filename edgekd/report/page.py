"""From a report's contents to HTML that loads nothing from anywhere."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import altair as alt
import jinja2
import vl_convert

from edgekd import provenance
from edgekd.report.blocks import Chooser, Figure, figures_of
from edgekd.report.contents import Contents
from edgekd.report.style import CONFIG, Spec

_FOLDER = Path(__file__).parent


def lay_out(contents: Contents, *, live: bool = False) -> str:
    """Return the page as HTML.

    Args:
        contents: what it says.
        live: it is served, and asks its server whether there is something new.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    drawn = figures_of(contents.sections)
    return environment.get_template("page.html.jinja").render(
        it=contents,
        version=provenance.version("edgekd") or "",
        charts=len(drawn),
        data=_for_script(_data(drawn)),
        library=_library() if drawn else "",
        live=live,
    )


def _data(drawn: Sequence[Figure | Chooser]) -> dict[str, Any]:
    """Return what the page's script draws from: one configuration, and the charts in order."""
    return {
        "config": CONFIG,
        "specs": [_bare(figure.spec) for figure in drawn],
        "choices": {
            str(index): [{"key": key, "spec": _bare(spec)} for key, spec in figure.specs.items()]
            for index, figure in enumerate(drawn)
            if isinstance(figure, Chooser)
        },
    }


def _bare(spec: Spec) -> Spec:
    """Leave out the configuration, which is the same for all."""
    return {key: value for key, value in spec.items() if key != "config"}


def _for_script(value: Any) -> str:
    """Return JSON that can stand inside a script element, whatever strings it holds."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


@lru_cache(maxsize=1)
def _library() -> str:
    """Return Vega, Vega-Lite and Vega-Embed of the version that altair writes for."""
    version = ".".join(alt.SCHEMA_VERSION.split(".")[:2])
    text: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", version)
    return text.replace("</script", "<\\/script")
