"""Phones, and whatever runs Android's adbd: by the system's adb, always with a serial number."""

from __future__ import annotations

import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgekd.errors import DeviceGoneError, EdgekdError, MissingDeviceError, TransportError
from edgekd.transports import lock
from edgekd.transports.base import Completed
from edgekd.transports.processes import run_process
from edgekd.transports.reach import Reach
from edgekd.transports.shell import ShellTransport

#: The one folder of a phone that adb's user may write to and run programs from.
FOLDER = "/data/local/tmp"
_LOCK = f"{FOLDER}/edgekd.lock"
_STEP = 30.0

#: What adb says of a device that cannot be used: why, what to do, and whether it is there at all.
_STATES: dict[str, tuple[str, str, type[EdgekdError]]] = {
    "unauthorized": (
        "does not trust this computer",
        "Unlock it and confirm the question on its screen; if none comes: adb kill-server.",
        TransportError,
    ),
    "authorizing": (
        "is still asking whether to trust this computer",
        "Unlock it and confirm the question on its screen.",
        TransportError,
    ),
    "no permissions": (
        "may not be opened by this user",
        "Linux needs a udev rule: apt-get install android-sdk-platform-tools-common,"
        " then plug it in again.",
        TransportError,
    ),
    "offline": (
        "is offline",
        "Plug it in again, or switch USB debugging off and on.",
        MissingDeviceError,
    ),
}
_BOOTED_ELSE = ("is in the state {state}", "Start it into Android: adb reboot.", MissingDeviceError)


@dataclass(frozen=True)
class Attached:
    """A line of ``adb devices -l``."""

    serial: str
    state: str
    model: str = ""

    @property
    def usable(self) -> bool:
        """Whether commands can be run there."""
        return self.state == "device"

    def __str__(self) -> str:
        """Return it for a list."""
        return f"{self.serial} ({self.model or self.state})"


def parse_devices(text: str) -> list[Attached]:
    r"""Read what ``adb devices -l`` prints.

    >>> parse_devices("List of devices attached\nR5CT  device usb:1-1 model:Pixel_8\n")
    [Attached(serial='R5CT', state='device', model='Pixel_8')]
    """
    found = []
    for line in text.partition("List of devices attached")[2].splitlines():
        match = re.match(r"(\S+)\s+(no permissions|\S+)", line)
        if match:
            model = re.search(r"\smodel:(\S+)", line)
            found.append(Attached(match[1], match[2], model[1] if model else ""))
    return found


class AdbTransport(ShellTransport):
    """A device behind adbd.

    Args:
        reach: its serial number, which may be missing where one device only is attached; its
            interpreter, folder and variables, and the port of the adb server, if need be.
        say: is told that another edgekd is waited for.
        wait: seconds that it is waited for.

    Raises:
        MissingDeviceError: there is no such device, it is offline, or there is no adb here.
        TransportError: it does not trust this computer; there are several; adb does not start;
            another edgekd does not let it go.
    """

    no_python = (
        "Measure with a native program: --binary PATH --binary-sha256 HEX,"
        " or bring an interpreter along: --bundle (experimental)."
    )

    def __init__(
        self, reach: Reach, *, say: lock.Say | None = None, wait: float = lock.WAIT
    ) -> None:
        """Find the device, connect, and take the lock."""
        self._port = reach.adb_port
        self._reached = False
        self.serial = self._find(reach.serial or reach.address)
        self.merged = "shell_v2" not in self._ask("features")
        self._reached = True
        base = reach.folder or FOLDER
        super().__init__(self.serial, reach, base=base, at=_LOCK, say=say, wait=wait)

    def _client(self) -> list[str]:
        """Return the words that every command of adb begins with.

        Raises:
            DeviceGoneError: the device's own adb server has ended; MissingDeviceError: it had
                before anything was done.
        """
        if self._port is None:
            return ["adb"]
        # A client that finds no server starts one, which nobody would end.
        try:
            socket.create_connection(("127.0.0.1", self._port), timeout=_STEP).close()
        except OSError as error:
            kind = DeviceGoneError if self._reached else MissingDeviceError
            raise kind(
                f"its adb server on port {self._port} does not answer: {error}",
                hint="Is it an emulated phone? Bring it up again: edgekd devices up NAME",
            ) from error
        return ["adb", "-P", str(self._port)]

    def _run(self, argv: Sequence[str], *, timeout: float = _STEP) -> Completed:
        client = self._client()
        try:
            return run_process([*client, *argv], timeout=timeout)
        except TransportError as error:
            raise MissingDeviceError(
                "adb is not installed, by which the device is reached",
                hint="Install it: apt-get install adb, or Android's platform-tools.",
            ) from error

    def _ask(self, *words: str) -> str:
        return self._run(["-s", self.serial, *words]).stdout.strip()

    def _list(self) -> list[Attached]:
        done = self._run(["devices", "-l"])
        if done.returncode != 0 or done.timed_out:
            detail = _reason(done) or "it does not answer"
            raise TransportError(
                f"the adb server does not start: {detail}",
                hint="Try: adb kill-server; adb start-server. Another program may have its port.",
            )
        return parse_devices(done.stdout)

    def _find(self, serial: str | None) -> str:
        """Return the serial number of the device to use."""
        attached = self._list()
        if serial is None:
            return _only(attached)
        known = {device.serial: device for device in attached}
        if ":" in serial and not (serial in known and known[serial].usable):
            # A device of the network: adb forgets those that were away.
            self._run(["disconnect", serial])
            self._run(["connect", serial])
            known = {device.serial: device for device in self._list()}
        if serial not in known:
            others = ", ".join(str(device) for device in known.values()) or "none"
            raise MissingDeviceError(
                f"adb knows no device {serial}",
                hint=f"Attached: {others}. Plug it in, and allow USB debugging on it.",
            )
        return _usable(known[serial]).serial

    def _argv(self, command: str, *, first: bool = False) -> list[str]:
        return [*self._client(), "-s", self.serial, "shell", command]

    def _lost(self, completed: Completed, *, first: bool) -> EdgekdError:
        detail = _reason(completed)
        if not first:
            state = self._run(["-s", self.serial, "get-state"])
            now = "it is back already" if state.stdout.strip() == "device" else _reason(state)
            text = "; ".join(part for part in (detail, now) if part)
            return DeviceGoneError(f"{self.serial} is gone: the connection broke ({text})")
        return MissingDeviceError(
            f"{self.serial} has no shell that answers" + (f": {detail}" if detail else "")
        )

    def _send(self, source: Path, remote: str, timeout: float) -> Completed:
        self._look()
        words = ["-s", self.serial, "push", str(source.absolute()), remote]
        return self._copied(self._run(words, timeout=timeout))

    def _fetch(self, remote: str, target: Path, timeout: float) -> Completed:
        self._look()
        words = ["-s", self.serial, "pull", remote, str(target.absolute())]
        return self._copied(self._run(words, timeout=timeout))

    def _copied(self, done: Completed) -> Completed:
        """Return how a copy ended; adb complains on either stream.

        Raises:
            DeviceGoneError: the device vanished.
        """
        if done.returncode != 0 and self._ask("get-state") != "device":
            raise self._lost(done, first=False)
        return Completed(done.returncode, "", done.stderr + done.stdout, done.timed_out)

    def facts(self) -> dict[str, str]:
        """Return its serial number, system, machine, model, Android's version, and ABI.

        Raises:
            DeviceGoneError: it vanished.
        """
        return {"transport": "adb", "serial": self.serial, **super().facts()}


def _only(attached: Sequence[Attached]) -> str:
    """Return the one device there is.

    Raises:
        MissingDeviceError: there is none, or it cannot be used.
        TransportError: there are several.
    """
    if not attached:
        raise MissingDeviceError(
            "no device is attached to adb",
            hint="Plug it in, and allow USB debugging on it: Settings, Developer options.",
        )
    if len(attached) > 1:
        raise TransportError(
            f"{len(attached)} devices are attached: {', '.join(str(one) for one in attached)}",
            hint="Say which: --serial SERIAL",
        )
    return _usable(attached[0]).serial


def _usable(device: Attached) -> Attached:
    """Return the device.

    Raises:
        EdgekdError: it is not to be used as it is.
    """
    if device.usable:
        return device
    text, hint, kind = _STATES.get(device.state, _BOOTED_ELSE)
    raise kind(f"{device.serial} {text.format(state=device.state)}", hint=hint)


def _reason(done: Completed) -> str:
    """Return the line in which adb says what was wrong."""
    lines = [line.strip() for line in (done.stderr + "\n" + done.stdout).splitlines()]
    wrong = [line for line in lines if "error" in line or "cannot" in line or "failed" in line]
    # What begins a command's output is a mark of ours, and no reason.
    named = wrong or [line for line in lines if line and not line.startswith("edgekd-")]
    return named[-1].removeprefix("adb: ").removeprefix("error: ") if named else ""
