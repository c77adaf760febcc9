"""A script's own words, told apart from whatever a device prints around them."""

from __future__ import annotations

import secrets
import signal
from pathlib import Path

from edgekd.transports.base import Completed
from edgekd.transports.quoting import quote

#: The status of a command whose program is not there.
MISSING = "missing"
#: A shell says 128 + n where signal n ended a process.
_SIGNALS = 128
_BLOCK = 1 << 20


def new_mark() -> str:
    """Return a word that no output holds by chance."""
    return f"edgekd-{secrets.token_hex(8)}"


def script_line(script: str, *words: str) -> str:
    """Return the command line that runs one of `edgekd.transports.scripts`."""
    return "exec " + quote(["sh", "-c", script, "edgekd", *words])


def between(done: Completed, mark: str, *, merged: bool) -> tuple[Completed, str | None]:
    r"""Return what a script said between its marks, and the status that it ended with.

    >>> between(Completed(0, "Welcome!\nm\nhello\n", "note\n\nm 7\n"), "m", merged=False)
    (Completed(returncode=7, stdout='hello\n', stderr='note\n', timed_out=False), '7')

    Args:
        done: how the process of this machine ended.
        mark: the word that begins its output, and its last line on standard error.
        merged: both came as output.

    Returns:
        the command's own exit code (negative: a signal) and words; and its status, which is None
        where the last line did not come.
    """
    stdout = done.stdout.partition(f"{mark}\n")[2]
    before, found, after = (stdout if merged else done.stderr).rpartition(f"\n{mark} ")
    if not found:
        return done, None
    status = after.split()[0]
    code = int(status) if status.isdigit() else -1
    if code - _SIGNALS in signal.valid_signals():
        code = _SIGNALS - code
    if merged:
        return Completed(code, before, done.stderr, done.timed_out), status
    return Completed(code, stdout, before, done.timed_out), status


def complaint(done: Completed) -> str:
    """Return what a step that failed said last; some devices know one stream only."""
    return _last_line(done.stderr) or _last_line(done.stdout)


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""


def keep_last(path: Path, size: int) -> None:
    """Shorten a file to its last ``size`` bytes: a login shell may print before it."""
    whole = path.stat().st_size
    with path.open("r+b") as file:
        position = 0
        while position < size:
            file.seek(whole - size + position)
            block = file.read(_BLOCK)
            file.seek(position)
            file.write(block)
            position += len(block)
        file.truncate(size)
