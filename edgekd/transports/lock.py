"""One edgekd at a time on a device, by a lock that lies on the device.

The lock is a symbolic link to nowhere (`LOCK`), which the keeper on the device makes: that is one
atomic step on every file system, and what it points at says who holds it. It is stale, and taken
over, where the keeper that made it no longer lives (number and beginning of the process, and of
the machine, are compared on the device, by its own clock), or where the edgekd that it belongs to
ran on this host and has ended or given it up.
"""

from __future__ import annotations

import getpass
import itertools
import os
import platform
import re
import time
import uuid
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Protocol

from edgekd.errors import TransportError

#: Where the lock lies on most devices.
LOCK = "/tmp/edgekd.lock"  # noqa: S108 - known to all users of the device on purpose
#: Seconds that another edgekd is waited for.
WAIT = 600.0
_INTERVAL = 0.5
#: What was in the way is being cleared away: asked again at once, this often.
_MOMENT = 0.02
_MOVES = 100

Say = Callable[[str], None]

_numbers = itertools.count(1)
#: Those who may hold a lock in this process.
_living: set[str] = set()


class Asked(Protocol):
    """What the keeper of a device answers."""

    def ask(self, word: str) -> tuple[str, str]:
        """Say a word; return the answer's first word and the rest."""
        ...


def new_owner() -> str:
    """Return a name for a holder of locks: ``user@host/process/beginning/machine/number``.

    It lives until `forget`.
    """
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as in some containers
        user = str(os.getuid()) if hasattr(os, "getuid") else "someone"
    who = re.sub(r"[^\w.@-]", "_", f"{user}@{platform.node()}")
    me = os.getpid()
    owner = f"{who}/{me}/{_began(me)}/{_machine()}/{next(_numbers)}"
    _living.add(owner)
    return owner


def forget(owner: str) -> None:
    """Say that this one holds no lock any more."""
    _living.discard(owner)


def acquire(keeper: Asked, *, where: str, lock: str, wait: float, say: Say | None) -> None:
    """Take the lock of a device, or wait for it.

    Args:
        keeper: the keeper on the device.
        where: the device, for messages.
        lock: the path of the lock on the device, for messages.
        wait: seconds to wait where another edgekd has it.
        say: is told once that it waits, and for whom.

    Raises:
        TransportError: the other one did not end in time, or no lock can be made.
    """
    deadline = time.monotonic() + wait
    word, told, taken, moved = "try", False, set[str](), 0
    while True:
        answer, rest = keeper.ask(word)
        word = "try"
        if answer == "mine":
            return
        if answer == "error":
            raise TransportError(f"{where}: the lock {lock} cannot be made: {rest}")
        if answer == "again" and moved < _MOVES:
            moved += 1
            time.sleep(_MOMENT)
            continue
        if answer == "busy" and rest not in taken and abandoned(rest):
            taken.add(rest)
            word = f"take {rest}"
            continue
        if time.monotonic() >= deadline:
            raise TransportError(
                f"{where} is in use by the edgekd of {_holder(rest)}",
                hint=f"Wait longer (--wait SECONDS). If that one is gone: rm {lock} on the device.",
            )
        if answer == "busy" and say is not None and not told:
            told = True
            say(f"{where}: waiting for the edgekd of {_holder(rest)} to finish")
        time.sleep(min(_INTERVAL, max(0.0, deadline - time.monotonic())))


def abandoned(content: str) -> bool:
    """Say whether a lock belongs to an edgekd of this host that is gone, or gave it up."""
    match = re.search(r" owner=(\S+)", content)
    parts = match[1].split("/") if match else []
    if match is None or len(parts) != 5 or parts[3] != _machine() or not parts[1].isdigit():
        return False
    process = int(parts[1])
    if process == os.getpid():
        return match[1] not in _living
    return _began(process) != parts[2]


def _holder(content: str) -> str:
    """Say for a person who holds a lock."""
    owner = re.search(r" owner=([^/\s]+)/(\d+)", content)
    since = re.search(r" since=(\S+)", content)
    if owner is None:
        return "someone else"
    text = f"{owner[1]} (process {owner[2]}"
    return text + (f", since {since[1]})" if since else ")")


def _began(process: int) -> str:
    """Return when a process of this host began, ``?`` where that is not told, "" if it is gone."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[19]
    except FileNotFoundError:
        if Path("/proc/self/stat").exists():
            return ""
    except (OSError, IndexError):
        return "?"
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return ""
    except OSError:
        pass
    return "?"


@cache
def _machine() -> str:
    """Return what tells this host, as it runs now, from others, and one container from another."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}:{Path('/proc/self/ns/pid').stat().st_ino}"
    except OSError:
        return f"{uuid.getnode():x}"
