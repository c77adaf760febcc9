"""``edgekd devices``."""

from __future__ import annotations

from typing import Annotated

import typer

from edgekd.cli.output import DebugFlag, JsonFlag, QuietFlag, running

app = typer.Typer(help="List and show devices.", no_args_is_help=True)


@app.command("list")
def list_(json: JsonFlag = False, quiet: QuietFlag = False, debug: DebugFlag = False) -> None:
    """List the known devices."""
    with running(json=json, quiet=quiet, debug=debug) as output:
        from edgekd.bench.devices import device_names, load_device
        from edgekd.cli.render import device_table
        from edgekd.cli.schemas import DevicesOutput

        devices = [load_device(name) for name in device_names()]
        output.result(DevicesOutput(devices=tuple(d.model_dump(mode="json") for d in devices)))
        output.show(device_table(devices))


@app.command("show")
def show(
    name: Annotated[str, typer.Argument(help="A device, or a TOML file.")],
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Print the profile of a device."""
    with running(json=json, quiet=quiet, debug=debug) as output:
        from edgekd.bench.devices import load_device
        from edgekd.cli.schemas import DevicesOutput
        from edgekd.toml import dump_toml

        device = load_device(name).model_dump(mode="json", exclude_none=True)
        output.result(DevicesOutput(devices=(device,)))
        output.line(dump_toml(device).rstrip("\n"))
