"""This machine as a device."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from edgekd.errors import TransportError
from edgekd.transports.base import Completed


class LocalTransport:
    """Runs every command in a fresh process of this machine; files are used where they lie."""

    def __init__(self) -> None:
        """Make the folder."""
        self._folder = tempfile.TemporaryDirectory(prefix="edgekd-")
        self.python = sys.executable

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
        try:
            process = subprocess.Popen(
                list(argv),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                encoding="utf-8",
                errors="replace",
                start_new_session=True,
            )
        except OSError as error:
            raise TransportError(f"cannot run {argv[0]}: {error}") from error
        with process:
            try:
                stdout, stderr = process.communicate(timeout=timeout)
            except subprocess.TimeoutExpired:
                _end(process)
                stdout, stderr = process.communicate()
                return Completed(process.returncode, stdout, stderr, timed_out=True)
            except BaseException:  # Ctrl-C: the process has its own group and did not get it
                _end(process)
                process.wait()
                raise
        return Completed(process.returncode, stdout, stderr)

    def get(self, remote: str, target: Path) -> None:
        """Copy a file.

        Raises:
            TransportError: there is no such file.
        """
        try:
            shutil.copyfile(remote, target)
        except OSError as error:
            raise TransportError(f"cannot fetch {remote}: {error}") from error

    def close(self) -> None:
        """Remove the folder."""
        self._folder.cleanup()


def _end(process: subprocess.Popen[str]) -> None:
    """Kill a process and all that it started."""
    if hasattr(os, "killpg"):
        try:
            os.killpg(process.pid, signal.SIGKILL)
            return
        except ProcessLookupError:
            pass
    process.kill()
