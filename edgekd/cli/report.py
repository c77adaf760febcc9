"""``edgekd report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgekd.cli.output import DebugFlag, JsonFlag, QuietFlag, running


def report(
    run: Annotated[
        str | None, typer.Argument(metavar="RUN", help="Default: the newest run.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The file to write. Default: report.html in the run.")
    ] = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Write one self-contained page with the numbers and the plots."""
    with running(json=json, quiet=quiet, debug=debug) as output:
        from edgekd.cli.loading import stage
        from edgekd.cli.schemas import ReportOutput

        path = stage("edgekd.report.stage:report", "report", extra="report")(run, out=out)
        output.result(ReportOutput(path=str(path)))
        output.line(f"report: {path}")
