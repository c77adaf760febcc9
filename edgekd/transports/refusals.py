"""What a device says when it cannot take a file, or start a program."""

from __future__ import annotations

from pathlib import Path

from edgekd.errors import TransportError
from edgekd.transports.base import Completed
from edgekd.transports.marks import complaint

_FULL = ("No space left", "ENOSPC", "quota exceeded")
#: Exit codes of programs that could not be started. Native code for another processor is taken
#: for a script by execvp, and a shell then stumbles over its first bytes.
_NO_EXEC = (2, 126, 127)
_STARTERS = ("setsid:", "env:")


def not_copied(where: str, path: Path, size: int, done: Completed) -> TransportError:
    """Return the error for a file that did not get there.

    Args:
        where: the device.
        path: the file here.
        size: its size in bytes.
        done: how the step ended that failed.
    """
    reason = complaint(done) or ("it took too long" if done.timed_out else "it did not arrive")
    if any(word in reason for word in _FULL):
        return TransportError(
            f"{where} has no room for {path.name} ({size} bytes)",
            hint="Free some there, or name another folder of it: folder, in your devices.toml.",
        )
    return TransportError(f"cannot copy {path.name} to {where}: {reason}")


def may_be_unstarted(done: Completed, program: str) -> bool:
    """Say whether a command ended as one does whose program could not be started."""
    starters = (*_STARTERS, f"{program}:")
    return done.returncode in _NO_EXEC and complaint(done).startswith(starters)


def not_started(
    where: str, program: str, done: Completed, *, machine: str | None
) -> TransportError | None:
    """Return the error for a program that could not be started; None where it was.

    Args:
        where: the device.
        program: what was to be started.
        done: how that ended.
        machine: the device's processor where the program is native code, else None.
    """
    if machine is not None:
        return TransportError(
            f"{where} cannot run {program}: it was built for another processor",
            hint=f"This one is called {machine}." if machine else None,
        )
    last = complaint(done)
    if last.startswith(_STARTERS):
        return TransportError(f"{where} cannot run {program}: {last}")
    return None
