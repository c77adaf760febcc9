"""Starting a box, whatever is in it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from edgekd.emulation import host, leftovers
from edgekd.emulation.process import Process, find
from edgekd.errors import TransportError
from edgekd.transports.reach import Reach

_TRIES = 3


def begun(name: str, begin: Callable[[], Reach]) -> Reach:
    """Start a box, again where another program took its port; clear what a failure leaves.

    Args:
        name: the device.
        begin: starts it once.

    Raises:
        EdgekdError: whatever ``begin`` raises.
    """
    for left in reversed(range(_TRIES)):
        try:
            return begin()
        except BaseException as error:  # Ctrl-C as well: nothing stays behind half-started
            said = log(leftovers.private(name))
            leftovers.clear(name)
            # Another program took the port between our look and the start of the server.
            if not left or not isinstance(error, TransportError) or "in use" not in said:
                raise
    raise TransportError(f"{name} found no free port")  # the loop has returned or raised


def launch(
    command: Sequence[str | os.PathLike[str]],
    private: Path,
    *,
    what: str,
    environment: Mapping[str, str] | None = None,
) -> Process:
    """Start the first process of a box; what it prints goes to its log.

    Args:
        command: the program and its arguments.
        private: the box's own folder.
        what: what is started, for messages.
        environment: its variables; None: those of this process.

    Raises:
        TransportError: it ended at once.
    """
    with (private / "log").open("wb") as file:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            cwd="/",
            env=environment,
            start_new_session=True,  # Ctrl-C ends edgekd, not the box
        )
    # It outlives this process: nobody waits for it here.
    process.returncode = 0
    found = find(process.pid)
    if found is None:
        raise TransportError(f"{what} ended at once\n{log(private)}")
    return found


def log(private: Path) -> str:
    """Return the end of what a box has printed; nothing where it has no log."""
    try:
        return host.tail((private / "log").read_text(errors="replace"))
    except OSError:
        return ""
