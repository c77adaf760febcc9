"""The user's own devices: ``devices.toml``, where addresses and serial numbers belong.

It stands in ``$EDGEKD_CONFIG``, else in ``edgekd`` under ``$XDG_CONFIG_HOME`` or ``~/.config``::

    [devices.raspberrypi5]          # a device that edgekd knows: where it is reached
    address = "pi@pi5.local"

    [devices.lab-phone]             # one of your own, on the base of another
    base = "pixel8"
    serial = "0A1B2C3D"
    cooldown = 20.0

There is no key for a secret: ssh and adb have their own places for those.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekd.emulation import state
from edgekd.errors import MeasurementError, MissingDeviceError, RecipeError
from edgekd.toml import read_toml
from edgekd.transports.reach import Reach

if TYPE_CHECKING:
    from edgekd.bench.devices import Device

#: Keys that say where a device is; all others are of its profile.
REACH_KEYS = ("address", "serial", "python", "folder")
BASE_KEY = "base"

#: Below `Reach.folder`, what `edgekd devices setup` installs; else below the user's home there.
RUNTIME_FOLDER = "edgekd-runtime"
RUNTIME_VARIABLE = "EDGEKD_RUNTIME"

_SECRETS = ("password", "passphrase", "secret", "token", "identity", "key")

#: The one option that each transport is reached by.
_OPTIONS = {"ssh": "address", "adb": "serial"}


@dataclass(frozen=True)
class Entry:
    """What the user's file says of one device.

    Attributes:
        reach: where it is, by `REACH_KEYS`.
        base: the device whose profile it starts from.
        profile: keys of a profile, unchecked.
    """

    reach: Mapping[str, str] = field(default_factory=dict)
    base: str | None = None
    profile: Mapping[str, Any] = field(default_factory=dict)


def path() -> Path:
    """Return where the user's file stands, or would stand."""
    given = os.environ.get("EDGEKD_CONFIG")
    if given:
        return Path(given) / "devices.toml"
    home = os.environ.get("XDG_CONFIG_HOME")
    return (Path(home) if home else Path.home() / ".config") / "edgekd" / "devices.toml"


def entries() -> dict[str, Entry]:
    """Read the user's file; no file, no entries.

    Raises:
        MeasurementError: it is not TOML, or a key that says where a device is cannot be used;
            every such fault is told. Keys of a profile are checked when it is loaded.
    """
    file = path()
    if not file.is_file():
        return {}
    try:
        raw = read_toml(file)
    except RecipeError as error:
        raise _unusable(file, list(error.faults)) from error
    faults = [fault(key, ("devices",)) for key in raw if key != "devices"]
    found = {}
    tables = raw.get("devices", {})
    if not isinstance(tables, dict):
        raise _unusable(file, [*faults, "devices: write a table for each, [devices.NAME]"])
    for name, table in tables.items():
        if not isinstance(table, dict):
            faults.append(f"devices.{name}: write a table, [devices.{name}]")
            continue
        found[name] = _entry(table)
        faults += [f"devices.{name}.{wrong}" for wrong in _faults(table)]
    if faults:
        raise _unusable(file, faults)
    return found


def _entry(table: Mapping[str, Any]) -> Entry:
    own = (*REACH_KEYS, BASE_KEY)
    return Entry(
        reach={key: table[key] for key in REACH_KEYS if key in table},
        base=table.get(BASE_KEY),
        profile={key: value for key, value in table.items() if key not in own},
    )


def _faults(table: Mapping[str, Any]) -> list[str]:
    found = []
    for key in (*REACH_KEYS, BASE_KEY):
        value = table.get(key)
        if key not in table:
            continue
        if not isinstance(value, str) or not value.strip():
            found.append(f"{key}: write it in quotes")
        elif value.startswith("-") or not value.isprintable():
            found.append(f"{key}: {value!r} cannot be one")
    return found


def fault(key: str, known: tuple[str, ...]) -> str:
    """Say that a key is unknown, with the closest one."""
    close = get_close_matches(key, known, n=1)
    if close:
        return f"{key}: unknown key; did you mean {close[0]!r}?"
    if any(word in key.lower() for word in _SECRETS):
        return f"{key}: there is no key for a secret; ssh's own configuration and agent hold it"
    return f"{key}: unknown key"


def _unusable(file: Path, faults: list[str]) -> MeasurementError:
    lines = "\n".join(f"  {line}" for line in faults)
    return MeasurementError(
        f"{file} cannot be used\n{lines}",
        hint="[devices.NAME] takes address, serial, python, folder, base, and keys of a profile.",
    )


def find_reach(device: Device, *, address: str | None = None, serial: str | None = None) -> Reach:
    """Find out where a device is reached.

    An option counts first, then the box of an emulated device that is up, then the user's file.

    Args:
        device: which.
        address: what the user gave as ``--address``.
        serial: what the user gave as ``--serial``.

    Raises:
        MeasurementError: an option does not fit the device's transport, or the user's file cannot
            be used.
        MissingDeviceError: an emulated device is down, or nothing says where the device is.
    """
    _check_options(device, address=address, serial=serial)
    if device.emulation is not None and not (address or serial):
        up = state.reach(device.name)
        if up is None:
            raise MissingDeviceError(
                f"{device.name} is not up", hint=f"Start it: edgekd devices up {device.name}"
            )
        return up
    entry = entries().get(device.name, Entry())
    given = dict(entry.reach)
    given |= {k: v for k, v in (("address", address), ("serial", serial)) if v is not None}
    if device.transport == "ssh" and "address" not in given:
        raise MissingDeviceError(
            f"nothing says where {device.name} is",
            hint=f"Give --address user@host, or write into {path()}:\n"
            f'  [devices.{device.name}]\n  address = "user@host"',
        )
    folder = given.get("folder")
    own = {RUNTIME_VARIABLE: f"{folder.rstrip('/')}/{RUNTIME_FOLDER}"} if folder else {}
    return Reach(**given, environment=own)  # type: ignore[arg-type]


def state_of(device: Device) -> str:
    """Say in a word or two what is known of a device without reaching for it."""
    if device.emulation is not None:
        return "up" if state.reach(device.name) is not None else "down"
    if device.transport == "local":
        return "here"
    if device.transport == "ssh":
        known = "address" in entries().get(device.name, Entry()).reach
        return "address known" if known else "no address"
    return ""


def _check_options(device: Device, *, address: str | None, serial: str | None) -> None:
    """Refuse an option that the device's transport would not heed."""
    if ":" in device.transport:
        return  # somebody's own transport takes what it likes
    right = _OPTIONS.get(device.transport)
    for option, value in (("address", address), ("serial", serial)):
        if value is None or option == right:
            continue
        raise MeasurementError(
            f"{device.name} is reached by {device.transport}, which takes no --{option}",
            hint=f"Give --{right}." if right else "Leave it out.",
        )
