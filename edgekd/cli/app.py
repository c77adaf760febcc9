"""The application: every command, in the order of a session."""

from __future__ import annotations

from typing import Annotated

import typer

from edgekd.cli import (
    benchmark,
    check,
    devices,
    distill,
    evaluate,
    exits,
    export,
    history,
    inspect,
    layers,
    recipes,
    record,
    report,
    runs,
)

HELP = (
    "From knowledge distillation to on-device inference.\n\n"
    "Every command works without arguments: [bold]edgekd distill[/] runs the built-in recipe on "
    "real data, and the later commands take the newest run.\n\n"
    "Exit codes: 0 done; 1 a check or parity failed; 2 bad usage or bad input; 3 something "
    "needed is missing (an extra, a device, a runtime); 130 interrupted."
)

app = typer.Typer(
    help=HELP,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from edgekd import __version__

        typer.echo(f"edgekd {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Take the options that stand before a command."""


app.command("distill")(distill.distill)
app.command("export")(export.export)
app.command("inspect")(inspect.inspect)
app.command("benchmark")(benchmark.benchmark)
app.command("evaluate")(evaluate.evaluate)
app.command("exits")(exits.exits)
app.command("check")(check.check)
app.command("history")(history.history)
app.command("report")(report.report)
app.command("layers")(layers.layers)
app.command("record")(record.record)
app.add_typer(recipes.app, name="recipes")
app.add_typer(devices.app, name="devices")
app.add_typer(runs.app, name="runs")
