"""Argument lists as text for a POSIX shell: the one place where anything is quoted."""

from __future__ import annotations

import shlex
from collections.abc import Iterable

from edgekd.errors import TransportError


def quote(argv: Iterable[str]) -> str:
    r"""Return a command line that a POSIX shell splits into exactly these arguments.

    >>> quote(["echo", "it's", "a b", "", "*"])
    'echo \'it\'"\'"\'s\' \'a b\' \'\' \'*\''

    Raises:
        TransportError: an argument holds a NUL, which no program can be given.
    """
    words = list(argv)
    for word in words:
        if "\0" in word:
            raise TransportError(f"an argument may not hold a NUL character: {word!r}")
    return " ".join(shlex.quote(word) for word in words)
