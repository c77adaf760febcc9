"""A device that does not exist: a function answers for it. For tests, yours too."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from edgekd.errors import TransportError
from edgekd.transports.base import Completed
from edgekd.transports.reach import Reach

#: Gets the command and the files on the device, which it may change; gives the answer.
Handler = Callable[[Sequence[str], dict[str, bytes]], Completed]


class FakeTransport:
    """Keeps files in memory and lets a function answer every command.

    ::

        def unplugged(argv, files):
            raise TransportError("the board was unplugged")

        FakeTransport(unplugged).run(["python3", "agent.py"], timeout=1)

    Args:
        handler: answers a command; without one, every command succeeds and prints nothing. A
            `Reach`, which a profile's transport is made with, is none.

    Attributes:
        files: path on the device -> content.
        commands: every command that was run, in order.
        closed: whether `close` was called.
    """

    def __init__(self, handler: Handler | Reach | None = None) -> None:
        """Start with an empty device."""
        self._handler = None if isinstance(handler, Reach) else handler
        self.folder = "/fake"
        self.python = "python3"
        self.files: dict[str, bytes] = {}
        self.commands: list[tuple[str, ...]] = []
        self.closed = False

    def put(self, source: Path) -> str:
        """Keep a copy of the file; return its path there.

        Two files of one name and different content are kept both.

        Raises:
            TransportError: there is no such file.
        """
        try:
            content = Path(source).read_bytes()
        except OSError as error:
            raise TransportError(f"{source}: there is no such file") from error
        name, number = Path(source).name, 1
        remote = f"{self.folder}/{name}"
        while self.files.get(remote, content) != content:
            number += 1
            remote = f"{self.folder}/{number}/{name}"
        self.files[remote] = content
        return remote

    def run(self, argv: Sequence[str], *, timeout: float) -> Completed:
        """Let the function answer.

        Raises:
            TransportError: the transport was closed, or the function raises it.
        """
        if self.closed:
            raise TransportError("the transport is closed")
        self.commands.append(tuple(argv))
        return Completed(0) if self._handler is None else self._handler(argv, self.files)

    def get(self, remote: str, target: Path) -> None:
        """Write a copy of a file.

        Raises:
            TransportError: there is no such file on the device.
        """
        if remote not in self.files:
            raise TransportError(f"cannot fetch {remote}: there is no such file")
        Path(target).write_bytes(self.files[remote])

    def facts(self) -> dict[str, str]:
        """Return that it is none."""
        return {"transport": "fake"}

    def close(self) -> None:
        """Note it."""
        self.closed = True
