"""``edgekd report``."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from edgekd.cli.output import DebugFlag, JsonFlag, Output, QuietFlag, running


class Format(str, Enum):
    """What a report is written as."""

    html = "html"
    md = "md"
    json = "json"


def report(
    runs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[RUN ...]", help="Several stand side by side. Default: the newest run."
        ),
    ] = None,
    out: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help="The file to write; - for stdout. Default: report.html in the run, of several in "
            "the folder of runs.",
        ),
    ] = None,
    format: Annotated[
        Format,
        typer.Option(
            help="A page with charts, Markdown with the tables, or JSON with the numbers."
        ),
    ] = Format.html,
    serve: Annotated[
        bool,
        typer.Option(
            "--serve", help="Show the run live while it trains, to this machine only; Ctrl-C ends."
        ),
    ] = False,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Of --serve; 0: any that is free.")
    ] = 8421,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Write one self-contained page with the numbers and the plots."""
    if serve and (out is not None or len(runs or ()) > 1):
        raise typer.BadParameter("shows one run and writes no file", param_hint="--serve")
    with running(json=json, quiet=quiet, debug=debug) as output:
        from edgekd.cli.loading import stage
        from edgekd.cli.schemas import ReportOutput

        if serve:
            _serve(output, runs[0] if runs else None, port)
        elif out == "-":
            text = stage("edgekd.report.stage:text", "report", extra="report")
            typer.echo(text(runs, format.value), nl=False)
        else:
            verb = stage("edgekd.report.stage:report", "report", extra="report")
            path = verb(runs, out=out and Path(out), format=format.value)
            output.result(ReportOutput(path=str(path)))
            output.line(f"report: {path}")


def _serve(output: Output, run: str | None, port: int) -> None:
    """Serve until Ctrl-C."""
    from edgekd.cli.loading import stage

    stage("edgekd.report.stage:require_extra", "report", extra="report")()
    server = stage("edgekd.report.live:server", "report", extra="report")(run, port)
    with server:
        output.line(f"report: http://127.0.0.1:{server.server_port}/")
        try:
            server.serve_forever(poll_interval=0.2)
        except KeyboardInterrupt:
            output.say("ended")
