"""Processes told apart for good: a number alone is reused, after a reboot or on a busy machine."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable
from pathlib import Path

from edgekd.recordbase import Record

_PROC = Path("/proc")
_STEP_S = 0.02


class Process(Record):
    """One process of this machine.

    Attributes:
        pid: its number.
        started: when it started, in clock ticks since the machine booted (proc(5), field 22).
        boot: the machine's boot that both were read in.
    """

    pid: int
    started: int
    boot: str

    def alive(self) -> bool:
        """Whether this very process still runs: not another one with its number, no zombie."""
        return find(self.pid) == self


def find(pid: int) -> Process | None:
    """Return the process that has this number now; None where none runs."""
    try:
        stat = (_PROC / str(pid) / "stat").read_text()
        return from_stat(stat)
    except (OSError, ValueError):
        return None


def from_stat(stat: str) -> Process | None:
    """Read a line of ``/proc/PID/stat``; None for a zombie.

    Raises:
        ValueError: it is no such line.
    """
    number, _, rest = stat.partition(" (")
    # The name stands in parentheses and may hold any character, parentheses too.
    fields = rest.rpartition(") ")[2].split()
    if len(fields) < 20:
        raise ValueError(f"no line of /proc/PID/stat: {stat[:60]!r}")
    if fields[0] in ("Z", "X"):
        return None
    return Process(pid=int(number), started=int(fields[19]), boot=boot())


def boot() -> str:
    """Return what names this boot of the machine; empty where the system does not say."""
    try:
        return (_PROC / "sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def end(processes: Iterable[Process], *, patience: float = 3.0) -> bool:
    """End processes, politely at first. One that has ended already, or is another, is left alone.

    Args:
        processes: those to end.
        patience: seconds for each of the two ways.

    Returns:
        whether all of them are gone.
    """
    left = [process for process in processes if process.alive()]
    for number in (signal.SIGTERM, signal.SIGKILL):
        for process in left:
            _signal(process, number)
        left = _wait(left, patience)
        if not left:
            return True
    return False


def _signal(process: Process, number: signal.Signals) -> None:
    try:
        handle = os.pidfd_open(process.pid)
    except (OSError, AttributeError):  # gone; or a Python without it
        if process.alive():
            os.kill(process.pid, number)
        return
    try:
        # The handle stands for one process for good; so ask after opening it.
        if process.alive():
            signal.pidfd_send_signal(handle, number)
    except ProcessLookupError:
        pass
    finally:
        os.close(handle)


def _wait(processes: list[Process], patience: float) -> list[Process]:
    deadline = time.monotonic() + patience
    while True:
        processes = [process for process in processes if process.alive()]
        if not processes or time.monotonic() > deadline:
            return processes
        time.sleep(_STEP_S)
