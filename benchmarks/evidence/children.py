"""One process for each piece of work: its memory is freed, and a kill loses little.

A child has a session of its own, so that Ctrl-C reaches it once: through here, as the interrupt at
which `edgekd distill` stops with its last epoch kept.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

#: Seconds that a child has to stop after an interrupt before it is killed.
GRACE = 300.0

#: Exit code of a command of edgekd that was interrupted.
INTERRUPTED = 130


@dataclass(frozen=True)
class Ended:
    """How a child ended: its exit code, and whether it was told to stop."""

    code: int
    stopped: bool


class Stop(Exception):
    """Somebody wants this process to end."""


@contextmanager
def stoppable() -> Iterator[None]:
    """Take SIGTERM for Ctrl-C: `Stop` is raised in place of both."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise Stop(signal.Signals(number).name)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run_child(
    command: Sequence[str],
    *,
    cwd: Path,
    environment: Mapping[str, str],
    log: Path,
    deadline: float | None = None,
    grace: float = GRACE,
) -> Ended:
    """Run a command to its end, or interrupt it at the deadline.

    Args:
        command: what to run.
        cwd: where.
        environment: variables beside those of this process.
        log: takes what it prints, after what is there.
        deadline: of `time.monotonic`; None: none.
        grace: seconds from an interrupt to a kill.

    Raises:
        Stop: this process was told to end; the child was interrupted before and has ended.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8") as output:
        output.write(f"--- {time.strftime('%Y-%m-%d %H:%M:%S')} {' '.join(command[1:])}\n")
        output.flush()
        child = subprocess.Popen(
            command,
            cwd=cwd,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            return Ended(child.wait(left), stopped=False)
        except subprocess.TimeoutExpired:
            return Ended(_interrupt(child, grace), stopped=True)
        except (Stop, KeyboardInterrupt):
            _interrupt(child, grace)
            raise
        finally:
            if child.poll() is None:
                child.kill()
                child.wait()


def _interrupt(child: subprocess.Popen[bytes], grace: float) -> int:
    child.send_signal(signal.SIGINT)
    try:
        return child.wait(grace)
    except subprocess.TimeoutExpired:
        child.kill()
        return child.wait()


def python(*arguments: str) -> list[str]:
    """Return a command of this interpreter."""
    return [sys.executable, *arguments]
