"""What a box leaves behind, also after a crash, and how it is cleared away."""

from __future__ import annotations

import shutil
from pathlib import Path

from edgekd.emulation import binfmt, host, process, state
from edgekd.errors import MeasurementError

#: Where a process of a box notes itself before anything else, as `/proc/PID/stat` has it.
STAT = "stat"


def private(name: str) -> Path:
    """Return the folder of one start of a device."""
    return state.device_folder(name) / "box"


def clear(name: str) -> bool:
    """End what a device runs, remove its private folder and its note. The caller holds its lock.

    A process is ended only if it is the very one that was started: a number that another process
    has by now is left alone.

    Returns:
        whether there was anything.

    Raises:
        MeasurementError: a process does not end, or something is still mounted.
    """
    noted = state.read(name)
    folder = private(name)
    there = noted is not None or folder.exists()
    started = [*(noted.processes if noted else ()), *_unnoted(folder)]
    if not process.end(dict.fromkeys(started)):
        numbers = ", ".join(str(p.pid) for p in started if p.alive())
        raise MeasurementError(f"{name}: process {numbers} does not end", hint="End it by hand.")
    _remove(folder)
    state.forget(name)
    binfmt.sweep()
    return there


def _unnoted(folder: Path) -> list[process.Process]:
    """Return a process that was started just before edgekd itself was killed."""
    try:
        found = process.from_stat((folder / STAT).read_text())
    except (OSError, ValueError):
        return []
    return [found] if found is not None else []


def _remove(folder: Path) -> None:
    # Mounts stand in the box's own namespace and are gone with it. Should one have reached this
    # machine's, removing the folder would remove what is mounted there.
    for target in mounts(folder):
        host.run([host.find("umount") or "umount", "-l", target], what=f"{target} free", timeout=30)
    if mounts(folder):
        raise MeasurementError(f"{folder}: something is still mounted there; nothing was removed")
    shutil.rmtree(folder, ignore_errors=True)


def mounts(folder: Path) -> list[str]:
    """Return what is mounted at or below a folder in this process's view, deepest first."""
    try:
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
    except OSError:
        return []
    targets = [line.split()[4].replace("\\040", " ") for line in lines]
    top = str(folder)
    found = [t for t in targets if t == top or t.startswith(f"{top}/")]
    return sorted(found, key=len, reverse=True)
