"""Files that are either whole or not there: temporary file, fsync, rename.

Every write of edgekd goes through here, so that a killed process, a full disk or a read-only
folder never leaves something half-written under a name that another stage would read.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgekd.errors import OutputExistsError, StorageError

#: Marks what is being written; swept away by whoever owns the folder, never read.
TEMPORARY_PREFIX = ".edgekd-tmp-"

_REASONS = {
    errno.ENOSPC: ("the disk is full", "Free some space, then run the command again."),
    errno.EDQUOT: ("the disk quota is used up", "Free some space, then run the command again."),
    errno.EROFS: ("the file system is read-only", "Choose another place to write to."),
    errno.EACCES: ("permission denied", "Choose a place you may write to."),
    errno.EPERM: ("operation not permitted", "Choose a place you may write to."),
    errno.EEXIST: ("part of the path is a file, not a folder", "Choose another place."),
    errno.ENOTDIR: ("part of the path is a file, not a folder", "Choose another place."),
}


def sha256_bytes(data: bytes) -> str:
    """Return the SHA-256 of bytes, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal, read in chunks of 1 MiB."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn the operating system's refusals to write ``path`` into a `StorageError`."""
    try:
        yield
    except OSError as error:
        if error.errno not in _REASONS:
            raise
        reason, hint = _REASONS[error.errno]
        raise StorageError(f"cannot write {path}: {reason}", hint=hint) from error


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Give a temporary path beside ``path``; rename it into place when the block succeeds.

    Args:
        path: the final name. Its folder is created.

    Raises:
        StorageError: the disk is full, read-only or not ours; nothing is left behind. Or the name
            is that of a device or a pipe, which a rename would put out of the world.
    """
    path = Path(path)
    temporary: Path | None = None
    if path.exists() and not path.is_file():
        kind = "a folder" if path.is_dir() else "a device or a pipe"
        raise StorageError(f"cannot write {path}: it is {kind}", hint="Name a file.")
    with writing(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(prefix=TEMPORARY_PREFIX, dir=path.parent)
            os.close(handle)
            temporary = Path(name)
            yield temporary
            _sync(temporary)
            # mkstemp makes private files; a result is as readable as the umask allows.
            temporary.chmod(0o666 & ~_umask())
            temporary.replace(path)
            _sync(path.parent)
        finally:
            if temporary is not None:
                temporary.unlink(missing_ok=True)


def atomic_write(path: Path, data: bytes | str) -> None:
    """Write a whole file or nothing. Text is written as UTF-8.

    Raises:
        StorageError: the disk is full, read-only or not ours.
    """
    payload = data.encode() if isinstance(data, str) else data
    with atomic_file(path) as temporary:
        temporary.write_bytes(payload)


@contextmanager
def new_directory(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Give a staging folder beside ``path``; rename it into place when the block succeeds.

    Args:
        path: the final name.
        overwrite: replace what stands there, after the new folder is whole.

    Raises:
        OutputExistsError: ``path`` exists, is not an empty folder, and ``overwrite`` is off.
        StorageError: the disk is full, read-only or not ours; nothing is left behind.
    """
    path = Path(path)
    if not overwrite:
        refuse_existing(path)
    staging: Path | None = None
    with writing(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            staging = Path(tempfile.mkdtemp(prefix=TEMPORARY_PREFIX, dir=path.parent))
            yield staging
            for file in staging.rglob("*"):
                if file.is_file():
                    _sync(file)
            staging.chmod(0o777 & ~_umask())
            _replace_directory(staging, path)
            _sync(path.parent)
        finally:
            if staging is not None and staging.exists():
                shutil.rmtree(staging, ignore_errors=True)


@contextmanager
def process_lock(path: Path, *, wait: bool) -> Iterator[bool]:
    """Hold a lock among processes; the system frees it when the holder dies.

    Args:
        path: the lock file; its folder is created, and it stays behind, empty.
        wait: wait for the lock instead of giving up.

    Yields:
        Whether the lock is ours.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        yield _lock(handle, wait=wait)
    finally:
        os.close(handle)


def _lock(handle: int, *, wait: bool) -> bool:
    try:
        import fcntl
    except ImportError:  # Windows has no fcntl: nothing is locked there
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    return True


def refuse_existing(path: Path) -> None:
    """Raise `OutputExistsError` unless ``path`` is free or an empty folder."""
    if path.is_dir() and not any(path.iterdir()):
        return
    if path.exists() or path.is_symlink():
        raise OutputExistsError(
            f"{path} exists already; nothing was overwritten",
            hint="Choose another place, or remove it first.",
        )


def _replace_directory(staging: Path, path: Path) -> None:
    """Rename ``staging`` to ``path``; what stood there goes only after it is out of the way."""
    if not path.exists():
        staging.replace(path)
        return
    old = Path(tempfile.mkdtemp(prefix=TEMPORARY_PREFIX, dir=path.parent))
    path.replace(old / "old")
    staging.replace(path)
    shutil.rmtree(old, ignore_errors=True)


def _sync(path: Path) -> None:
    """Ask the kernel to put a file or a folder's entries on the disk."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except PermissionError:  # Windows cannot open folders; the rename itself is still atomic.
        return
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some file systems cannot sync folders
            raise
    finally:
        os.close(handle)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
