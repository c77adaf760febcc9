"""``edgekd devices up`` and ``edgekd devices down``: devices in a box."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from edgekd.cli.output import DebugFlag, JsonFlag, QuietFlag, running

if TYPE_CHECKING:
    from edgekd.bench.devices import Device


def complete_emulated(incomplete: str) -> list[str]:
    """Return the emulated devices whose names begin so."""
    from edgekd.bench.devices import device_names, load_device
    from edgekd.errors import EdgekdError

    try:
        names = [name for name in device_names() if name.startswith(incomplete)]
        return [name for name in names if load_device(name).emulation is not None]
    except EdgekdError:
        return []


def up(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME...",
            help="Emulated devices, or TOML files of some.",
            autocompletion=complete_emulated,
        ),
    ],
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Bring emulated devices up, out of Debian packages, reachable from this machine only.

    Needs root and some packages of Debian; what is missing is named. A device that is up already
    stays as it is.
    """
    with running(json=json, quiet=quiet, debug=debug) as output:
        from shlex import quote

        from edgekd.bench.devices import load_device
        from edgekd.cli.schemas import BoxesUpOutput
        from edgekd.emulation import boxes, state

        devices = [_emulated(load_device(name, say=output.say)) for name in names]
        for device in devices:
            if device.emulation is not None:
                boxes.up(device.name, device.emulation, say=output.say)
        states = [found for device in devices if (found := state.read(device.name)) is not None]
        output.result(BoxesUpOutput(devices=tuple(states)))
        for found in states:
            output.line(f"{found.device} is up on 127.0.0.1:{found.port}")
            output.say(f"measure on it:  edgekd benchmark --device {found.device}")
            if found.ssh_config:
                output.say(f"log in:         ssh -F {quote(found.ssh_config)} {found.address}")
            if found.serial:
                server = f" -P {found.adb_port}" if found.adb_port else ""
                output.say(f"log in:         adb{server} -s {found.serial} shell")
            output.say(f"take it down:   edgekd devices down {found.device}")


def down(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME]...", help="Emulated devices.", autocompletion=complete_emulated
        ),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All that are up.")] = False,
    roots: Annotated[
        bool,
        typer.Option(
            "--roots", help="With --all: also remove the root file systems they are made of."
        ),
    ] = False,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Take emulated devices down and clear away what they left, also after a crash.

    Only what edgekd started is ended. The root file systems stay for the next time.
    """
    with running(json=json, quiet=quiet, debug=debug) as output:
        from edgekd.cli.schemas import BoxesDownOutput
        from edgekd.emulation import boxes, state
        from edgekd.errors import EdgekdError

        if bool(names) == everything or (roots and not everything):
            raise EdgekdError(
                "say which devices to take down",
                hint="edgekd devices down NAME, or edgekd devices down --all [--roots].",
            )
        wanted = state.noted() if everything else tuple(_named(name) for name in names or ())
        ended = tuple(name for name in wanted if boxes.down(name))
        removed = boxes.remove_roots() if roots else False
        output.result(BoxesDownOutput(devices=ended, roots_removed=removed))
        for name in wanted:
            output.line(f"{name} is down" if name in ended else f"{name} was not up")
        if not wanted:
            output.line("no emulated device was up")
        if removed:
            output.line("the root file systems are removed")


def _emulated(device: Device) -> Device:
    from edgekd.bench.devices import device_names, load_device
    from edgekd.errors import UnknownNameError

    if device.emulation is None:
        known = [name for name in device_names() if load_device(name).emulation is not None]
        raise UnknownNameError("emulated device", device.name, known)
    return device


def _named(name: str) -> str:
    """Return the name of a device that has a note, or whose profile is there."""
    from edgekd.bench.devices import load_device
    from edgekd.emulation import state

    # A box whose profile was renamed or removed meanwhile can still be taken down.
    return name if name in state.noted() else _emulated(load_device(name)).name
