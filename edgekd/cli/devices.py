"""``edgekd devices``."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import typer

from edgekd.cli import devices_boxes
from edgekd.cli.output import DebugFlag, JsonFlag, Output, QuietFlag, running

app = typer.Typer(help="Devices: list, show, look at, set up, emulate.", no_args_is_help=True)
app.command("up")(devices_boxes.up)
app.command("down")(devices_boxes.down)

_NOTHING_REACHED = 3


def complete_name(incomplete: str) -> list[str]:
    """Return the devices whose names begin so; a file that cannot be read completes nothing."""
    from edgekd.bench.devices import device_names
    from edgekd.errors import EdgekdError

    try:
        return [name for name in device_names() if name.startswith(incomplete)]
    except EdgekdError:
        return []


class Runtime(str, Enum):
    """Runtimes that can be brought to a device."""

    litert = "litert"
    onnxruntime = "onnxruntime"
    tflite_runtime = "tflite-runtime"


Name = Annotated[
    str, typer.Argument(help="A device, or a TOML file.", autocompletion=complete_name)
]
AddressOption = Annotated[
    str | None,
    typer.Option(metavar="USER@HOST[:PORT]", help="Where it is, for a device reached by ssh."),
]
SerialOption = Annotated[
    str | None, typer.Option(metavar="SERIAL", help="Its serial number, for one reached by adb.")
]


@app.command("list")
def list_(json: JsonFlag = False, quiet: QuietFlag = False, debug: DebugFlag = False) -> None:
    """List the known devices, your own among them."""
    with running(json=json, quiet=quiet, debug=debug) as output:
        from edgekd.bench.config import state_of
        from edgekd.bench.devices import device_names, load_device
        from edgekd.cli.render_devices import device_table
        from edgekd.cli.schemas import DevicesOutput

        devices = [load_device(name, say=output.say) for name in device_names()]
        states = {device.name: state_of(device) for device in devices}
        records = tuple(device.model_dump(mode="json") for device in devices)
        output.result(DevicesOutput(devices=records, states=states))
        output.show(device_table(devices, states))


@app.command("show")
def show(
    name: Name,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Print the profile of a device."""
    with running(json=json, quiet=quiet, debug=debug) as output:
        from edgekd.bench.devices import load_device
        from edgekd.cli.schemas import DevicesOutput
        from edgekd.toml import dump_toml

        device = load_device(name, say=output.say).model_dump(mode="json", exclude_none=True)
        output.result(DevicesOutput(devices=(device,)))
        output.line(dump_toml(device).rstrip("\n"))


@app.command("doctor")
def doctor(
    name: Name,
    address: AddressOption = None,
    serial: SerialOption = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Look at a device: what it is, and what keeps files from being measured on it.

    Nothing is changed there. Exit code 1: something has to be put right first. Exit code 3: it
    cannot be reached.
    """
    with running(json=json, quiet=quiet, debug=debug) as output:
        from edgekd.bench.doctor import doctor as look
        from edgekd.cli.render import finding_table

        report = look(name, address=address, serial=serial, say=output.say)
        output.result(report)
        output.show(finding_table(report.findings))
        if not report.reachable:
            raise typer.Exit(_NOTHING_REACHED)
        if not report.usable:
            raise typer.Exit(1)


@app.command("setup")
def setup(
    name: Name,
    runtime: Annotated[
        list[Runtime] | None,
        typer.Option(
            help="What to install; may be given several times. Default: the first TFLite runtime "
            "of the profile that has a wheel for the device, and onnxruntime."
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")
    ] = False,
    remove: Annotated[
        bool, typer.Option("--remove", help="Take away what an earlier setup installed.")
    ] = False,
    address: AddressOption = None,
    serial: SerialOption = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Bring runtimes to a device that has none, without its network and without its pip.

    Wheels are downloaded here for its processor and Python and unpacked there into a folder of
    edgekd's own. Exit code 1: one of them cannot be imported.
    """
    with running(json=json, quiet=quiet, debug=debug) as output:
        wanted = [one.value for one in runtime] if runtime else None
        _setup(output, name, wanted, address, serial, dry_run=dry_run, remove=remove)


def _setup(
    output: Output,
    name: str,
    wanted: list[str] | None,
    address: str | None,
    serial: str | None,
    *,
    dry_run: bool,
    remove: bool,
) -> None:
    """Plan, install or remove, and say what came of it."""
    import contextlib

    from edgekd.bench import setup as stage
    from edgekd.bench.config import find_reach
    from edgekd.bench.connect import connect
    from edgekd.bench.devices import load_device
    from edgekd.cli.schemas import SetupOutput

    device = load_device(name, say=output.say)
    reach = find_reach(device, address=address, serial=serial)
    with contextlib.closing(connect(device, reach, say=output.say)) as transport:
        if remove:
            gone = stage.remove(transport)
            output.result(SetupOutput(device=device.name, folder=gone, removed=gone is not None))
            output.line(f"removed {gone}" if gone else "there was nothing to remove")
            return
        plan = stage.plan(device, transport, wanted)
        found = {} if dry_run else stage.install(plan, transport, say=output.say)
    broken = {one: state.error for one, state in found.items() if state.error is not None}
    output.result(
        SetupOutput(
            device=device.name,
            folder=plan.folder,
            planned=plan.runtimes,
            skipped=plan.skipped,
            installed={one: s.version or "unknown" for one, s in found.items() if not s.error},
            failed={one: str(error) for one, error in broken.items()},
        )
    )
    for line in plan.lines if dry_run else ():
        output.line(line)
    for one, state in found.items():
        output.line(f"{one}: {state.version if not state.error else 'failed: ' + state.error}")
    if found:
        output.line(f"in {plan.folder}; take it away: edgekd devices setup {name} --remove")
    if broken:
        raise typer.Exit(1)
