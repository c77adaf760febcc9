"""Real disks that fail: a full one and a read-only one, as tmpfs mounts."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


def _mount(folder: Path, options: str) -> None:
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"a tmpfs cannot be mounted here: {done.stderr.strip()}")


def _mounted(folder: Path, options: str) -> Iterator[Path]:
    folder.mkdir()
    try:
        _mount(folder, options)
    except FileNotFoundError:
        pytest.skip("there is no mount command here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1 MiB."""
    yield from _mounted(tmp_path / "small-disk", "size=1m")


@pytest.fixture
def read_only_disk(tmp_path: Path) -> Iterator[Path]:
    """A read-only disk."""
    yield from _mounted(tmp_path / "read-only-disk", "ro,size=64k")
