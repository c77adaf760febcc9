"""From a run to the text of the page."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import altair as alt
import jinja2
import vl_convert

from edgekd import format as fmt
from edgekd.records_exits import ExitCurve
from edgekd.report import charts, curves, exits, facts
from edgekd.report.blocks import Figure, figures_of
from edgekd.report.sections import sections
from edgekd.report.style import Spec
from edgekd.report.tiles import tiles
from edgekd.rundir import Artifact, Run
from edgekd.summary import Row, headline, rows

_FOLDER = Path(__file__).parent


def render(run: Run) -> str:
    """Return the page as HTML that loads nothing from anywhere.

    Raises:
        RunError: an artifact or a measurement cannot be trusted.
    """
    artifacts, measurements = run.artifacts(), run.measurements()
    table = rows(run)
    figures = _figures(table, run.metrics(), run.exit_curves())
    more = sections(run)
    drawn = [*figures, *figures_of(more)]
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html.jinja").render(
        title=run.manifest.name,
        manifest=run.manifest,
        lead=facts.lead(run.manifest),
        tiles=tiles(table, headline(run)),
        rows=[_cells(row) for row in table],
        devices=sorted({row.device for row in table if row.device}),
        figures=figures,
        sections=more,
        charts=len(drawn),
        parity=[_parity(artifact) for artifact in artifacts],
        unknown=facts.not_known(table, artifacts, measurements),
        methods=facts.measured_how(run, measurements),
        provenance=facts.provenance(run, measurements),
        recipe=(run.path / "recipe.toml").read_text(encoding="utf-8"),
        specs=_for_script([figure.spec for figure in drawn]),
        library=_library(),
    )


def _figures(
    table: Sequence[Row], lines: Sequence[dict[str, Any]], curves_of_exits: Sequence[ExitCurve]
) -> list[Figure]:
    devices = sorted({row.device for row in table if row.device})
    found: list[tuple[str, str, Spec | None, bool]] = [
        (
            f"Accuracy against latency on {device}",
            "Up and to the left is better. The tail of a point reaches from p50 to p90.",
            charts.accuracy_against_latency(table, device),
            True,
        )
        for device in devices
    ]
    found += exits.figures(curves_of_exits)
    found += [
        ("Size", "Files to ship in colour.", charts.sizes(table), False),
        (
            "Validation accuracy while training",
            "One line a seed. The axis does not start at 0.",
            curves.validation_accuracy(lines),
            False,
        ),
        (
            "The student's loss by term",
            "Each term times its weight, on the training split.",
            curves.loss_by_term(lines),
            False,
        ),
        (
            "The loss of the others",
            "Not to be compared with the student's: they have other terms.",
            curves.loss_of_others(lines),
            False,
        ),
    ]
    return [
        Figure(title, note, spec, wide) for title, note, spec, wide in found if spec is not None
    ]


def _cells(row: Row) -> dict[str, Any]:
    """Return a row of the table as text."""
    emulated = row.emulated
    return {
        "name": row.name,
        "kind": row.kind,
        "model": row.model,
        "device": row.device or fmt.MISSING,
        "status": row.status if row.status in ("failed", "stale") else "",
        "numbers": [
            fmt.size(row.size_bytes),
            fmt.count(row.parameters),
            fmt.count(row.macs),
            fmt.MISSING if emulated else fmt.milliseconds(row.latency_p50_ms, unit=False),
            fmt.MISSING if emulated else fmt.milliseconds(row.latency_p90_ms, unit=False),
            fmt.size(row.peak_rss_bytes),
            fmt.percent(row.accuracy),
            fmt.percent(row.agreement),
        ],
    }


def _parity(artifact: Artifact) -> dict[str, str]:
    found = artifact.manifest.parity
    return {
        "name": artifact.manifest.name,
        "samples": f"{found.samples:,}",
        "error": f"{found.max_abs_error:.2e}" if found.max_abs_error else "0",
        "agreement": fmt.percent(found.agreement),
        "network": fmt.percent(found.accuracy_model),
        "file": fmt.percent(found.accuracy_file),
        "runtime": found.runtime,
    }


def _for_script(value: Any) -> str:
    """Return JSON that can stand inside a script element, whatever strings it holds."""
    text = json.dumps(value, allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


@lru_cache(maxsize=1)
def _library() -> str:
    """Return Vega, Vega-Lite and Vega-Embed of the version that altair writes for."""
    version = ".".join(alt.SCHEMA_VERSION.split(".")[:2])
    text: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", version)
    return text.replace("</script", "<\\/script")
