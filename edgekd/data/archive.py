"""Tar archives, read as they are: nothing is unpacked, and nothing is written."""

from __future__ import annotations

import lzma
import re
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from edgekd.data.paths import read_bytes
from edgekd.errors import DataError

_NAME = re.compile(r"\.tar(\.(xz|gz|bz2))?$|\.tgz$")
_DAMAGE = (tarfile.TarError, lzma.LZMAError, zlib.error, EOFError, OSError)

#: A compressed archive has no random access, so that what it holds is kept in memory.
_MOST = 4 << 30


def is_archive(path: Path) -> bool:
    """Say whether a path is called as archives are: .tar, .tar.xz, .tar.gz, .tgz, .tar.bz2."""
    return _NAME.search(path.name) is not None


def archives_in(base: Path) -> list[Path]:
    """Return the archives in a folder, sorted by name."""
    return sorted(path for path in base.iterdir() if is_archive(path) and path.is_file())


def members(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the name and the bytes of every file in an archive, in its order.

    Raises:
        DataError: it is damaged, no archive, or holds more than 4 GiB.
    """
    if path.is_file() and path.stat().st_size < 1024:
        read_bytes(path)  # which knows what an empty file and a Git LFS pointer are
    total = 0
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                file = archive.extractfile(member) if member.isfile() else None
                if file is None:
                    continue
                total += member.size
                if total > _MOST:
                    raise DataError(
                        f"{path} holds more than {_MOST >> 30} GiB",
                        hint="Unpack it, and let data.root be the folder.",
                    )
                yield member.name, file.read()
    except _DAMAGE as error:
        raise DataError(
            f"cannot read {path}: {error or 'it ends too early'}", hint="Fetch or copy it again."
        ) from error
