"""What every transport gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class Completed:
    """A command that has ended.

    Attributes:
        returncode: its exit code; negative: the number of the signal that killed it.
        stdout: what it printed, as text.
        stderr: what it complained, as text.
        timed_out: it was killed because it took too long.
    """

    returncode: int
    stdout: str = ""
    stderr: str = ""
    timed_out: bool = False


class Transport(Protocol):
    """A way to a device.

    Attributes:
        folder: an empty folder on the device for what is copied and made there.
        python: the Python interpreter on the device.
    """

    @property
    def folder(self) -> str:
        """The folder on the device; with ``/`` between its parts."""
        ...

    @property
    def python(self) -> str:
        """The interpreter that runs the agent."""
        ...

    def put(self, source: Path) -> str:
        """Bring a file to the device.

        Returns:
            its path there.

        Raises:
            TransportError: the device could not be reached, or has no room.
        """
        ...

    def run(self, argv: Sequence[str], *, timeout: float) -> Completed:
        """Run a command and wait for it.

        Args:
            argv: the program and its arguments; quoting is the transport's business.
            timeout: seconds after which it is killed, with all that it started.

        Raises:
            TransportError: the device could not be reached, or there is no such program.
        """
        ...

    def get(self, remote: str, target: Path) -> None:
        """Bring a file back.

        Args:
            remote: its path on the device.
            target: where to write it here.

        Raises:
            TransportError: there is no such file, or the device is gone.
        """
        ...

    def facts(self) -> dict[str, str]:
        """Return what the way itself tells of the device, for a record or a person.

        ``transport`` is always there; others are ``address``, ``serial``, ``system`` and
        ``machine`` (as uname says them), ``model``, ``android``.

        Raises:
            TransportError: the device could not be reached.
        """
        ...

    def close(self) -> None:
        """Remove what was left on the device. May be called twice."""
        ...
