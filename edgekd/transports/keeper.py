"""This side of the keeper: the shell that runs on a device as long as a transport lives."""

from __future__ import annotations

import queue
import subprocess
import tempfile
import threading
import time
from collections.abc import Sequence
from typing import IO

from edgekd.errors import TransportError
from edgekd.transports.base import Completed
from edgekd.transports.processes import GRACE, end

#: Seconds that the keeper has for an answer; an emulated board is slow.
_PATIENCE = 30.0
#: Seconds that it has to remove everything when it is let go.
_FAREWELL = 30.0


class KeeperGoneError(Exception):
    """The keeper has ended, or does not answer.

    Args:
        completed: how the process that leads to it ended, with what it complained.
    """

    def __init__(self, completed: Completed) -> None:
        """Store how it ended."""
        super().__init__(completed.stderr)
        self.completed = completed


class Keeper:
    """A keeper that was started.

    Args:
        argv: the command of this machine that starts it.
        mark: what begins each of its lines.
        timeout: seconds to wait for it.

    Attributes:
        told: what it said of the device: ``folder``, ``lock``, ``home``, ``system``, ``machine``,
            ``python``; those that it does not know are empty.

    Raises:
        KeeperGoneError: it ended before it was ready.
        TransportError: there is no such program here, or no folder to work in there.
    """

    def __init__(self, argv: Sequence[str], mark: str, *, timeout: float) -> None:
        """Start it, and wait until it is ready."""
        self._mark = mark
        self._silent = False
        self._complaints = tempfile.TemporaryFile()
        try:
            self._process = subprocess.Popen(
                list(argv),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._complaints,
                start_new_session=True,
            )
        except OSError as error:
            self._complaints.close()
            raise TransportError(f"cannot run {argv[0]}: {error}") from error
        self._lines: queue.Queue[str | None] = queue.Queue()
        # A thread, and no select: it is the same on every system, and sleeps while nothing is said.
        threading.Thread(target=self._listen, args=(self._process.stdout,), daemon=True).start()
        self.told: dict[str, str] = {}
        try:
            self._greet(time.monotonic() + timeout)
        except BaseException:
            self.close()
            raise

    def _listen(self, output: IO[bytes]) -> None:
        start = self._mark.encode() + b" "
        with output:
            for line in output:
                # A device may print its message of the day in between.
                if line.startswith(start):
                    text = line[len(start) :].decode("utf-8", "surrogateescape")
                    self._lines.put(text.rstrip("\r\n"))
        self._lines.put(None)

    def _greet(self, deadline: float) -> None:
        while (answer := self._next(deadline))[0] != "ready":
            if answer[0] == "nofolder":
                raise TransportError(
                    f"no folder to work in can be made on the device: {answer[1]}",
                    hint="Name one that is there and has room: folder, in your devices.toml.",
                )
            self.told[answer[0]] = answer[1]

    def _next(self, deadline: float) -> tuple[str, str]:
        try:
            line = self._lines.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            self._silent = True
            self._lines.put(None)  # a late answer must not be taken for that of a later question
            raise KeeperGoneError(Completed(-1, "", self._complained(), timed_out=True)) from None
        if line is None:
            self._lines.put(None)  # for whoever asks next
            raise KeeperGoneError(self._ended())
        word, _, rest = line.partition(" ")
        return word, rest

    def _ended(self) -> Completed:
        try:
            code = self._process.wait(GRACE)
        except subprocess.TimeoutExpired:
            return Completed(-1, "", self._complained(), timed_out=True)
        return Completed(code, "", self._complained())

    def _complained(self) -> str:
        if self._complaints.closed:
            return ""
        self._complaints.seek(0)
        return self._complaints.read().decode("utf-8", "replace")

    @property
    def gone(self) -> Completed | None:
        """How it ended, or None while it lives."""
        return None if self._process.poll() is None else self._ended()

    def ask(self, word: str, *, timeout: float = _PATIENCE) -> tuple[str, str]:
        """Say a word; return the answer's first word and the rest.

        Raises:
            KeeperGoneError: it has ended, or does not answer.
        """
        stdin = self._process.stdin
        try:
            if stdin is None or stdin.closed:
                raise BrokenPipeError
            stdin.write(word.encode("utf-8", "surrogateescape") + b"\n")
            stdin.flush()
        except OSError as error:
            raise KeeperGoneError(self._ended()) from error
        return self._next(time.monotonic() + timeout)

    def close(self) -> None:
        """Let it go: it ends what still runs there, removes the folder and frees the lock."""
        stdin = self._process.stdin
        if stdin is not None and not stdin.closed:
            try:
                stdin.close()
            except OSError:
                pass  # it is gone already
        try:
            self._process.wait(GRACE if self._silent else _FAREWELL)
        except BaseException as error:  # a second Ctrl-C must not leave ssh behind
            end(self._process)
            self._process.wait()
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
        finally:
            self._complaints.close()
