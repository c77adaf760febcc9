"""This machine as a device."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from edgekd.errors import TransportError
from edgekd.transports import host_lock, lock
from edgekd.transports.base import Completed
from edgekd.transports.processes import run_process
from edgekd.transports.reach import Reach


class LocalTransport:
    """Runs every command in a fresh process of this machine; files are used where they lie.

    Args:
        reach: its interpreter and variables, if need be. With one, the lock of this machine is
            taken (`edgekd.transports.host_lock`); bare, it is not.
        say: is told that another edgekd is waited for.
        wait: seconds that it is waited for.

    Raises:
        TransportError: another edgekd measures on this machine and does not end.
    """

    def __init__(
        self,
        reach: Reach | None = None,
        *,
        say: lock.Say | None = None,
        wait: float = lock.WAIT,
    ) -> None:
        """Take the lock, and make the folder."""
        self._locked = reach is not None and host_lock.hold(say=say, wait=wait)
        given = reach or Reach()
        self.python = given.python or sys.executable
        self._variables = dict(given.environment)
        if self._locked:
            # An edgekd that a command starts is part of this measurement: it must not wait for it.
            self._variables.setdefault(host_lock.VARIABLE, "")
        try:
            self._folder = tempfile.TemporaryDirectory(prefix="edgekd-", dir=given.folder)
        except OSError as error:
            self._unlock()
            raise TransportError(f"no folder to work in can be made: {error}") from error

    @property
    def folder(self) -> str:
        """A temporary folder."""
        return Path(self._folder.name).as_posix()

    def put(self, source: Path) -> str:
        """Return the file's own path: it is on the device already.

        Raises:
            TransportError: there is no such file.
        """
        path = Path(source).resolve()
        if not path.is_file():
            raise TransportError(f"{source}: there is no such file")
        return str(path)

    def run(self, argv: Sequence[str], *, timeout: float) -> Completed:
        """Run a command in a process group of its own, so that all of it can be ended.

        Raises:
            TransportError: there is no such program, or it may not be run.
        """
        environment = {**os.environ, **self._variables}
        return run_process(argv, timeout=timeout, environment=environment)

    def get(self, remote: str, target: Path) -> None:
        """Copy a file.

        Raises:
            TransportError: there is no such file.
        """
        try:
            shutil.copyfile(remote, target)
        except OSError as error:
            raise TransportError(f"cannot fetch {remote}: {error}") from error

    def facts(self) -> dict[str, str]:
        """Return the system and the machine."""
        return {
            "transport": "local",
            "system": platform.system(),
            "machine": platform.machine(),
        }

    def close(self) -> None:
        """Remove the folder, and free the lock."""
        try:
            self._folder.cleanup()
        finally:
            self._unlock()

    def _unlock(self) -> None:
        if self._locked:
            self._locked = False
            host_lock.release()
