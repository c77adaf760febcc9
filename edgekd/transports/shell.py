"""What ssh and adb have in common: a shell on the device, and files that go there and back."""

from __future__ import annotations

import secrets
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

from edgekd.errors import (
    DeviceGoneError,
    EdgekdError,
    MissingRuntimeError,
    StorageError,
    TransportError,
)
from edgekd.rundir import sha256_file
from edgekd.transports import lock, marks, refusals, scripts
from edgekd.transports.base import Completed
from edgekd.transports.keeper import Keeper, KeeperGoneError
from edgekd.transports.marks import complaint, new_mark, script_line
from edgekd.transports.processes import run_process
from edgekd.transports.reach import Reach

#: Seconds for the first answer, and for a small step.
_CONNECT = 60.0
_STEP = 60.0
#: Bytes a second that the slowest way is good for: decides when a copy is given up.
_SLOWEST = 50_000
_FETCH = 1800.0


class ShellTransport(ABC):
    """A device with a POSIX shell.

    Constructing it connects, takes the lock of the device, and makes a work folder. Subclasses say
    how a command gets there (`_argv`, whose process must pass on standard input and output as
    they are) and what it means when it does not (`_lost`); files then travel through ``cat``.

    Args:
        where: the device, for messages.
        reach: what the user knows of it.
        base: the folder that the work folder is made in; "": the device's own choice.
        at: the lock on the device.
        say: is told that another edgekd is waited for.
        wait: seconds that it is waited for.

    Raises:
        MissingDeviceError: the device cannot be reached at all.
        TransportError: it refuses, or another edgekd does not let it go.
    """

    #: What to do where there is no Python.
    no_python = "Install it there, or say where it is: python, in your devices.toml."
    #: Standard error comes with the output (old Android).
    merged = False

    def __init__(
        self,
        where: str,
        reach: Reach,
        *,
        base: str,
        at: str = lock.LOCK,
        say: lock.Say | None = None,
        wait: float = lock.WAIT,
    ) -> None:
        """Connect, and take the lock."""
        self._where = where
        self._reach = reach
        self._closed = False
        self._keeper: Keeper | None = None
        self._known: dict[str, int] = {}
        self._owner = lock.new_owner()
        mark = new_mark()
        script = script_line(scripts.KEEPER, mark, at, base, self._owner)
        try:
            self._keeper = Keeper(self._argv(script, first=True), mark, timeout=_CONNECT)
            told = self._keeper.told
            lock.acquire(self._keeper, where=where, lock=told["lock"], wait=wait, say=say)
        except KeeperGoneError as error:
            self.close()
            raise self._lost(error.completed, first=self._keeper is None) from error
        except BaseException:
            self.close()
            raise
        self._told = told

    @abstractmethod
    def _argv(self, command: str, *, first: bool = False) -> list[str]:
        """Return the command of this machine that runs a command line in the device's shell.

        Args:
            command: it.
            first: it is the keeper, with which all begins and ends.
        """

    @abstractmethod
    def _lost(self, completed: Completed, *, first: bool) -> EdgekdError:
        """Say why a command did not come to its end.

        Args:
            completed: how the process of this machine ended.
            first: nothing had been heard of the device before.
        """

    def _send(self, source: Path, remote: str, timeout: float) -> Completed:
        """Copy a file to a path without odd characters, whose folder may be missing."""
        mark = new_mark()
        argv = self._argv(script_line(scripts.RECEIVE, mark, remote))
        self._look()
        with source.open("rb") as file:
            return self._heard(run_process(argv, timeout=timeout, stdin=file), mark)

    def _fetch(self, remote: str, target: Path, timeout: float) -> Completed:
        """Copy a file from the device; something else may stand before its content."""
        mark = new_mark()
        argv = self._argv(script_line(scripts.SEND, mark, remote))
        self._look()
        with target.open("xb") as file:
            return self._heard(run_process(argv, timeout=timeout, stdout=file), mark)

    @property
    def folder(self) -> str:
        """The work folder on the device."""
        return self._told["folder"]

    @property
    def python(self) -> str:
        """The interpreter that the user names, else ``python3``.

        Raises:
            MissingRuntimeError: there is none.
        """
        given = self._reach.python
        if given is not None:
            return self._told["home"] + given[1:] if given.startswith("~/") else given
        if not self._told["python"]:
            raise MissingRuntimeError(f"{self._where} has no python3", hint=self.no_python)
        return "python3"

    def put(self, source: Path) -> str:
        """Copy a file to the device, unless it has this content already.

        Returns:
            its path there: the work folder, the hash of the content, and its name.

        Raises:
            TransportError: there is no such file here, or no room there.
            DeviceGoneError: the device vanished.
        """
        path = Path(source)
        try:
            size = path.stat().st_size
            digest = sha256_file(path)
        except OSError as error:
            raise TransportError(f"{source}: there is no such file") from error
        remote = f"{self.folder}/{digest[:16]}/{path.name}"
        if remote in self._known and self._step(scripts.THERE, remote, str(size)).returncode == 0:
            return remote
        part = f"{self.folder}/{digest[:16]}/.part"
        done = self._send(path, part, _STEP + size / _SLOWEST)
        if done.returncode == 0 and not done.timed_out:
            done = self._step(scripts.SETTLE, part, remote, str(size))
        if done.returncode != 0 or done.timed_out:
            self._step(scripts.DISCARD, part)
            raise refusals.not_copied(self._where, path, size, done)
        self._known[remote] = size
        return remote

    def run(self, argv: Sequence[str], *, timeout: float) -> Completed:
        """Run a command on the device, in a process group of its own.

        Raises:
            TransportError: there is no such program there, or it cannot be run.
            DeviceGoneError: the device vanished, or does not answer.
        """
        command = [str(word) for word in argv]
        program, needed = command[0], command[0]
        assigned = [f"{name}={value}" for name, value in self._reach.environment.items()]
        if assigned:
            command = ["env", *assigned, *command]
        if "PATH" in self._reach.environment:
            needed = "env"  # which then finds the program, or not
        words = (self.folder, needed, *command)
        done = self._talk(scripts.RUN, *words, timeout=timeout, program=program)
        if refusals.may_be_unstarted(done, program):
            native = self._step(scripts.NATIVE, program).returncode == 0
            refused = refusals.not_started(
                self._where, program, done, machine=self._told["machine"] if native else None
            )
            if refused is not None:
                raise refused
        return done

    def get(self, remote: str, target: Path) -> None:
        """Bring a file back, whole or not at all.

        Raises:
            TransportError: there is no such file.
            DeviceGoneError: the device vanished.
            StorageError: it cannot be written here.
        """
        found = self._step(scripts.SIZE, remote)
        if found.returncode != 0:
            reason = complaint(found) or "there is no such file"
            raise TransportError(f"cannot fetch {remote}: {reason}")
        size = int(found.stdout)
        goal = Path(target)
        part = goal.with_name(f".edgekd-{secrets.token_hex(4)}.part")
        try:
            done = self._fetch(remote, part, _FETCH)
            if part.exists() and part.stat().st_size > size:
                marks.keep_last(part, size)
            if done.returncode != 0 or part.stat().st_size != size:
                reason = complaint(done) or "it did not come whole"
                raise TransportError(f"cannot fetch {remote}: {reason}")
            part.replace(goal)
        except OSError as error:
            raise StorageError(f"cannot write {goal}: {error.strerror or error}") from error
        finally:
            part.unlink(missing_ok=True)

    def facts(self) -> dict[str, str]:
        """Return system, machine, and what the device says of its model.

        Raises:
            DeviceGoneError: the device vanished.
        """
        lines = self._step(scripts.DESCRIBE).stdout.splitlines()
        pairs = [line.partition("=") for line in lines]
        told = {key: value.strip("\0 ") for key, _, value in pairs}
        told |= {key: self._told[key] for key in ("system", "machine")}
        return {key: value for key, value in told.items() if value}

    def close(self) -> None:
        """End what runs on the device, remove the work folder, free the lock; twice is once.

        Another thread may do it while a command runs.
        """
        if self._closed:
            return
        self._closed = True
        try:
            if self._keeper is not None:
                self._keeper.close()
        finally:
            lock.forget(self._owner)

    def _step(self, script: str, *words: str) -> Completed:
        return self._talk(script, *words, timeout=_STEP)

    def _talk(
        self, script: str, *words: str, timeout: float, program: str | None = None
    ) -> Completed:
        """Run a script there, which may run a program; return the exit code that it tells."""
        mark = new_mark()
        argv = self._argv(script_line(script, mark, *words))
        self._look()
        done = run_process(argv, timeout=timeout, stop=self._stop if program else None)
        return self._heard(done, mark, program)

    def _look(self) -> None:
        """Refuse where the transport is closed, or the device is gone already."""
        if self._closed or self._keeper is None:
            raise TransportError("the transport is closed")
        gone = self._keeper.gone
        if gone is not None:
            raise self._lost(gone, first=False)

    def _stop(self) -> None:
        """Have what runs on the device killed; where that fails, the connection is lost."""
        try:
            if self._keeper is not None:
                self._keeper.ask("stop", timeout=10.0)
        except KeeperGoneError:
            pass

    def _heard(self, done: Completed, mark: str, program: str | None = None) -> Completed:
        """Return what the command itself said, and its own exit code.

        Raises:
            TransportError: there is no such program.
            DeviceGoneError: the line that ends it did not come.
        """
        heard, status = marks.between(done, mark, merged=self.merged)
        if status == marks.MISSING:
            raise TransportError(f"{self._where} has no program {program}")
        if status is not None:
            return heard
        if done.timed_out:
            raise DeviceGoneError(f"{self._where} does not answer any more")
        raise self._lost(done, first=False)
