"""Files are whole or absent, whatever happens while they are written."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edgekd.errors import OutputExistsError, StorageError
from edgekd.storage import (
    TEMPORARY_PREFIX,
    atomic_file,
    atomic_write,
    new_directory,
    sha256_bytes,
    sha256_file,
)


def leftovers(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob(f"{TEMPORARY_PREFIX}*")]


def test_sha256_of_a_known_text(tmp_path: Path) -> None:
    # FIPS 180-2, appendix B.1
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    (tmp_path / "abc").write_bytes(b"abc")
    assert sha256_bytes(b"abc") == sha256_file(tmp_path / "abc") == known


def test_write_replaces_whole(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file.txt"
    atomic_write(path, "one")
    atomic_write(path, b"two")
    assert path.read_text() == "two"
    assert leftovers(tmp_path) == []


def test_mode_follows_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        atomic_write(tmp_path / "file", "x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640


def test_a_failed_block_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    atomic_write(path, "old")
    with pytest.raises(ValueError, match="boom"), atomic_file(path) as temporary:
        temporary.write_text("half")
        raise ValueError("boom")
    assert path.read_text() == "old"
    assert leftovers(tmp_path) == []


def test_new_directory_is_all_or_nothing(tmp_path: Path) -> None:
    path = tmp_path / "made"
    with pytest.raises(ValueError, match="boom"), new_directory(path) as staging:
        (staging / "a").write_text("a")
        raise ValueError("boom")
    assert not path.exists()
    with new_directory(path) as staging:
        (staging / "a").write_text("a")
    assert (path / "a").read_text() == "a"
    with pytest.raises(OutputExistsError, match="nothing was overwritten"), new_directory(path):
        pytest.fail("the block must not run")
    with new_directory(path, overwrite=True) as staging:
        (staging / "b").write_text("b")
    assert [p.name for p in path.iterdir()] == ["b"]
    assert leftovers(tmp_path) == []


def test_full_disk(small_disk: Path) -> None:
    """A real full disk: 1 MiB of tmpfs."""
    atomic_write(small_disk / "kept", "old")
    with pytest.raises(StorageError, match="disk is full"):
        atomic_write(small_disk / "kept", b"x" * (2 << 20))
    assert (small_disk / "kept").read_text() == "old"
    with (
        pytest.raises(StorageError, match="disk is full"),
        new_directory(small_disk / "folder") as staging,
    ):
        (staging / "big").write_bytes(b"x" * (2 << 20))
    assert sorted(p.name for p in small_disk.iterdir()) == ["kept"]


def test_read_only_disk(read_only_disk: Path) -> None:
    with pytest.raises(StorageError, match="read-only"):
        atomic_write(read_only_disk / "file", "x")
    with pytest.raises(StorageError, match="read-only"), new_directory(read_only_disk / "folder"):
        pytest.fail("the block must not run")


def test_a_file_where_a_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError, match="not a folder"):
        atomic_write(tmp_path / "file" / "inside", "x")


WRITER = """
import sys
from pathlib import Path
from edgekd.storage import atomic_write
path = Path(sys.argv[1])
number = 0
while True:
    number += 1
    atomic_write(path, str(number % 10) * 200_000)
    print(number, flush=True)
"""


def test_sigkill_while_writing(tmp_path: Path) -> None:
    """Killed at a random moment of a stream of writes, the file holds one whole version."""
    path = tmp_path / "file"
    for pause in (0.0, 0.003, 0.011):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(pause)
            process.send_signal(signal.SIGKILL)
        text = path.read_text()
        assert len(text) == 200_000
        assert len(set(text)) == 1


def test_a_device_is_not_replaced(tmp_path: Path) -> None:
    """As root, a rename over /dev/null would take it away from the whole system."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path, kind in ((pipe, "a device or a pipe"), (tmp_path, "a folder")):
        with pytest.raises(StorageError, match=kind):
            atomic_write(path, "text")
    assert pipe.is_fifo()
