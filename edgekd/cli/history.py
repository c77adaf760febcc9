"""``edgekd history``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgekd.cli.output import DebugFlag, JsonFlag, Output, QuietFlag, running

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgekd.records_history import Trend


def history(
    artifact: Annotated[
        str | None, typer.Argument(help="The name of a file. Default: every file.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="Only what was measured on it.")] = None,
    metric: Annotated[
        str | None, typer.Option(help="Only this number, as budgets call it: latency_ms_p50.")
    ] = None,
    branch: Annotated[str | None, typer.Option(help="Only checks of this branch.")] = None,
    last: Annotated[int, typer.Option(min=1, help="So many points of each, the newest.")] = 50,
    database: Annotated[
        str | None,
        typer.Option(
            "--history",
            metavar="URL|FILE",
            help="The database. Default: $EDGEKD_HISTORY, else history.sqlite among the runs.",
        ),
    ] = None,
    runs: Annotated[
        Path | None,
        typer.Option("--import", metavar="FOLDER", help="First add what its runs measured."),
    ] = None,
    csv: Annotated[bool, typer.Option("--csv", help="Print one line a point.")] = False,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Show how sizes, latencies and accuracies went from check to check, and where they changed."""
    with running(json=json, quiet=quiet, debug=debug) as output:
        from edgekd.cli.schemas import HistoryOutput
        from edgekd.errors import EdgekdError
        from edgekd.history import import_runs, trends

        if csv and json:
            raise EdgekdError("--csv and --json: one of the two", hint="Leave one out.")
        if runs is not None:
            output.say(f"{import_runs(runs, database)} numbers added")
        found = trends(artifact, device, metric, database, branch=branch, last=last)
        if csv:
            _print_csv(found)
            return
        output.result(HistoryOutput(trends=tuple(found)))
        _show(output, found, database)


def _show(output: Output, found: Sequence[Trend], database: str | None) -> None:
    """Print the trends; of a single one every point."""
    from edgekd.cli import render_history as render
    from edgekd.history.place import place

    if not found:
        output.line(
            f"no such number in {place(database).shown}; every edgekd check adds to it, "
            "edgekd history --import FOLDER what runs have measured"
        )
        return
    blocks = render.blocks_for(output.console(stderr=False).encoding)
    if len(found) == 1:
        output.show(render.points_table(found[0]))
        output.line(render.trend_line(found[0], blocks, width=output.width))
    else:
        for table in render.trends_tables(found, blocks, width=output.width):
            output.show(table)
    for line in render.change_lines(found):
        output.line(line)


def _print_csv(found: Sequence[Trend]) -> None:
    import csv
    import sys

    from edgekd.records_history import Point

    fields = list(Point.model_fields)
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["artifact", "device", "metric", *fields])
    for trend in found:
        for point in trend.points:
            values = [getattr(point, field) for field in fields]
            writer.writerow([trend.artifact, trend.device, trend.metric, *values])
