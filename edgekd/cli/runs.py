"""``edgekd runs``."""

from __future__ import annotations

from typing import Annotated

import typer

from edgekd.cli.output import DebugFlag, JsonFlag, QuietFlag, running

app = typer.Typer(help="List and show runs.", no_args_is_help=True)


@app.command("list")
def list_(json: JsonFlag = False, quiet: QuietFlag = False, debug: DebugFlag = False) -> None:
    """List the runs, newest first."""
    with running(json=json, quiet=quiet, debug=debug) as output:
        from edgekd.cli.render import runs_table
        from edgekd.cli.schemas import RunsOutput
        from edgekd.rundir import list_runs, runs_root

        runs = list_runs()
        output.result(RunsOutput(runs={str(path): manifest for path, manifest in runs}))
        if runs:
            output.show(runs_table(runs))
        else:
            output.line(f"no runs in {runs_root()} yet; make one: edgekd distill")


@app.command("show")
def show(
    run: Annotated[
        str | None, typer.Argument(metavar="RUN", help="Default: the newest run.")
    ] = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Print a run's table and verify the hashes of all its files."""
    with running(json=json, quiet=quiet, debug=debug) as output:
        from edgekd.cli.render import gain_line, run_table, summary_table
        from edgekd.cli.schemas import RunOutput
        from edgekd.rundir import Run

        found = Run.open(run, allow_incomplete=True)
        faults = [] if found.manifest.status == "incomplete" else found.verify()
        artifacts, broken = found.check_artifacts()
        faults += broken
        output.result(
            RunOutput(
                path=str(found.path),
                manifest=found.manifest,
                artifacts=tuple(artifact.manifest for artifact in artifacts),
                measurements=tuple(found.measurements()),
                faults=tuple(faults),
            )
        )
        output.show(run_table(found.manifest))
        gain = gain_line(found)
        if gain:
            output.line(gain)
        if found.manifest.status == "incomplete":
            output.line(f"incomplete; go on with it: edgekd distill --resume {found.path}")
            return
        output.show(summary_table(found, width=output.width))
        output.line(f"run: {found.path}")
        page = found.path / "report.html"
        if page.exists():
            output.line(f"report: {page}")
        for fault in faults:
            output.line(f"fault: {fault}")
        if faults:
            raise typer.Exit(1)
        output.line("hashes: all files are as their manifests say")
