"""Paths as recipes write them: ``~`` and environment variables expanded, and read safely."""

from __future__ import annotations

import os
import re
from pathlib import Path

from edgekd.errors import DataError

_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")

#: How every Git LFS pointer starts (git-lfs, docs/spec.md).
_LFS = b"version https://git-lfs.github.com/spec/"


def expand(path: str | Path) -> Path:
    """Expand ``~``, ``$NAME`` and ``${NAME}``.

    Raises:
        DataError: a variable is not set.
    """
    text = str(path)

    def value(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        if name not in os.environ:
            raise DataError(
                f"{text}: the environment variable {name} is not set",
                hint=f"Set it to the folder that holds your data: export {name}=/path/to/data",
            )
        return os.environ[name]

    expanded = Path(_VARIABLE.sub(value, text))
    try:
        return expanded.expanduser()
    except RuntimeError as error:
        raise DataError(f"{text}: {error}", hint="Write the path out.") from error


def folder(path: str | Path) -> Path:
    """Expand a path and require a folder there that holds something.

    Raises:
        DataError: there is none, or it is empty.
    """
    expanded = expand(path)
    if not expanded.is_dir():
        raise DataError(
            f"no data folder at {expanded}",
            hint="Check data.root; a relative path starts at the current folder.",
        )
    if not any(expanded.iterdir()):
        raise DataError(
            f"the data folder {expanded} is empty",
            hint="Put the data there, or change data.root.",
        )
    return expanded


def read_bytes(path: Path) -> bytes:
    """Read a file of data.

    Raises:
        DataError: it cannot be read, is empty, or is a Git LFS pointer.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(
            f"cannot read {path}: {error.strerror or error}",
            hint="Check that it is there and that you may read it.",
        ) from error
    if not data:
        raise DataError(f"{path} is empty", hint="Fetch or copy it again.")
    if data.startswith(_LFS):
        raise DataError(
            f"{path} is a Git LFS pointer, not the data itself",
            hint="Fetch the data: git lfs pull",
        )
    return data
