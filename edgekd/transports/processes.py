"""Processes of this machine: each in a group of its own, so that all of it can be ended."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Any

from edgekd.errors import TransportError
from edgekd.transports.base import Completed

#: Seconds that a process has to end by itself once its other side was told to.
GRACE = 5.0


def run_process(
    argv: Sequence[str],
    *,
    timeout: float,
    stdin: IO[Any] | None = None,
    stdout: IO[Any] | None = None,
    environment: Mapping[str, str] | None = None,
    stop: Callable[[], None] | None = None,
) -> Completed:
    """Run a command and wait for it.

    Args:
        argv: the program and its arguments.
        timeout: seconds after which it is killed, with all that it started.
        stdin: a file to read from; None: nothing.
        stdout: a file to write to; None: the output is returned, as UTF-8 text.
        environment: its variables; None: those of this process.
        stop: called before it is killed, to end what it started elsewhere; it then has
            `GRACE` seconds to end by itself.

    Raises:
        TransportError: there is no such program, or it may not be run.
    """
    try:
        process = subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL if stdin is None else stdin,
            stdout=subprocess.PIPE if stdout is None else stdout,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
            env=environment,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        raise TransportError(f"cannot run {argv[0]}: {error}") from error
    timed_out = False
    with process:
        try:
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            timed_out = True
            out, err = _stop(process, stop)
        except BaseException:  # Ctrl-C: the process has its own group and did not get it
            _stop(process, stop)
            raise
    return Completed(process.returncode, out or "", err or "", timed_out)


def _stop(process: subprocess.Popen[str], stop: Callable[[], None] | None) -> tuple[str, str]:
    """End a process; return what it printed by then."""
    try:
        if stop is not None:
            stop()
            return process.communicate(timeout=GRACE)
    except subprocess.TimeoutExpired:
        pass
    finally:
        end(process)
    try:
        return process.communicate(timeout=GRACE)
    except subprocess.TimeoutExpired as error:
        # Somebody else holds its output open: a daemon, or the ssh that carries its connection.
        return _text(error.stdout), _text(error.stderr)


def _text(output: str | bytes | None) -> str:
    return output.decode("utf-8", "replace") if isinstance(output, bytes) else output or ""


def end(process: subprocess.Popen[Any]) -> None:
    """Kill a process and all that it started; one that has ended is left alone."""
    if process.returncode is not None:
        return
    if hasattr(os, "killpg"):
        try:
            os.killpg(process.pid, signal.SIGKILL)
            return
        except ProcessLookupError:
            pass
    process.kill()
