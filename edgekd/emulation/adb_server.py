"""An adb server of a phone in a box's own: the user's server never hears of the phone.

A serial-less ``adb shell`` of the user's still means the one real phone, and ``adb kill-server``
ends nothing of ours. The server looks at no USB and for no emulators, so that it takes no real
phone away from the user's server.
"""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from edgekd.emulation import host
from edgekd.errors import MissingDeviceError, TransportError

#: adb takes these ports for emulators, and lists them twice.
EMULATOR_PORTS = range(5554, 5586)
#: adb's own default.
USERS_PORT = 5037
_STEP_S = 0.05
_ANSWER_S = 10.0
_OFFLINE = {"ADB_USB": "0", "ADB_MDNS": "0", "ADB_EMU": "0"}


def require() -> str:
    """Return the path of adb.

    Raises:
        MissingDeviceError: this machine has none.
    """
    found = host.find("adb")
    if found is None:
        raise MissingDeviceError(
            "an emulated phone needs adb, which this machine lacks",
            hint="Install it: apt-get install adb",
        )
    return found


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on, none of those that adb gives a meaning."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if port not in EMULATOR_PORTS and port != USERS_PORT:
            return port


def command(port: int) -> list[str]:
    """Return what runs a server in the foreground, on 127.0.0.1."""
    return [require(), "-P", str(port), "nodaemon", "server"]


def environment(home: Path) -> dict[str, str]:
    """Return the variables of the server and of those who ask it.

    Args:
        home: the folder that it keeps its key in, in place of the user's.
    """
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
    return {**kept, **_OFFLINE, "HOME": str(home)}


def connect(
    port: int, serial: str, *, home: Path, patience: float, alive: Callable[[], bool]
) -> None:
    """Let the server find a phone, and wait until a command runs on it.

    Args:
        port: the server's.
        serial: the phone's, ``127.0.0.1:PORT``.
        home: as for `environment`.
        patience: seconds to wait at most.
        alive: whether the server still runs.

    Raises:
        TransportError: it does not answer.
    """
    deadline = time.monotonic() + patience
    said = "the adb server does not answer"
    while time.monotonic() < deadline and alive():
        # A client that finds no server would start one, which nobody would end.
        if _listens(port):
            said = _ask(port, home, "connect", serial)
            # Or else another program has the port, and the server has ended.
            if alive() and _ask(port, home, "-s", serial, "shell", "echo", "edgekd") == "edgekd":
                return
        time.sleep(_STEP_S)
    raise TransportError(f"the phone in a box does not answer on {serial}: {said}")


def _listens(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5):
            return True
    except OSError:
        return False


def _ask(port: int, home: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            [require(), "-P", str(port), *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_ANSWER_S,
            env=environment(home),
            check=False,
        )
    except subprocess.TimeoutExpired:
        return "no answer"
    return (done.stdout or done.stderr).strip()
