"""Which emulated devices are up, and where: one JSON file a device."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from edgekd.emulation.process import Process
from edgekd.recordbase import Versioned
from edgekd.storage import atomic_write
from edgekd.transports.reach import Reach

_FILE = "state.json"


class State(Versioned):
    """What is known of a device that was brought up.

    Attributes:
        device: the name of its profile.
        kind: what it was built as.
        processes: those that are to be ended; the first one is the box: it is up while that runs.
        private: the folder of this one start, removed by ``down``.
        since: when it was brought up, ISO 8601.
        spec: identifies what it was built from; another one needs a restart.
        ready: it answers; while it starts, it does not yet.
        port: where it listens on 127.0.0.1.
        address: as ssh takes it.
        serial: as adb takes it.
        adb_port: the port of the adb server that knows it.
        ssh_config: the configuration of ssh that knows the address.
        python: the interpreter inside.
        environment: what every command on it gets.
    """

    device: str
    kind: Literal["pi", "phone"]
    processes: tuple[Process, ...]
    private: str
    since: str
    spec: str = ""
    ready: bool = True
    port: int | None = None
    address: str | None = None
    serial: str | None = None
    adb_port: int | None = None
    ssh_config: str | None = None
    python: str | None = None
    environment: dict[str, str] = Field(default_factory=dict)

    def alive(self) -> bool:
        """Whether the box runs: without one of its processes the others end as well."""
        return bool(self.processes) and all(process.alive() for process in self.processes)

    def reach(self) -> Reach:
        """Return how a transport gets there."""
        return Reach(
            address=self.address,
            serial=self.serial,
            adb_port=self.adb_port,
            python=self.python,
            ssh_config=Path(self.ssh_config) if self.ssh_config else None,
            environment=dict(self.environment),
        )


def folder() -> Path:
    """Return the folder that everything of emulated devices is kept in.

    ``EDGEKD_EMULATION``, else ``edgekd/emulation`` under ``XDG_CACHE_HOME`` or ``~/.cache``.
    """
    given = os.environ.get("EDGEKD_EMULATION")
    if given:
        return Path(given).absolute()
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "edgekd" / "emulation"


def device_folder(name: str) -> Path:
    """Return the folder of one device: its state, its lock, what it uses while it is up."""
    return folder() / name


def write(state: State) -> None:
    """Note that a device was brought up.

    Raises:
        StorageError: the file cannot be written.
    """
    atomic_write(device_folder(state.device) / _FILE, state.to_json())


def read(name: str) -> State | None:
    """Return what was noted; None where nothing was, or where it cannot be read."""
    try:
        return State.model_validate_json((device_folder(name) / _FILE).read_bytes())
    except (OSError, ValidationError):
        return None


def forget(name: str) -> None:
    """Remove the note."""
    (device_folder(name) / _FILE).unlink(missing_ok=True)


def noted() -> tuple[str, ...]:
    """Return the devices that have a note, up or not, sorted."""
    return tuple(sorted(path.parent.name for path in folder().glob(f"*/{_FILE}")))


def reach(name: str) -> Reach | None:
    """Return where a device that is up is reached; None where it is down or no emulated one."""
    state = read(name)
    return state.reach() if state is not None and state.ready and state.alive() else None
