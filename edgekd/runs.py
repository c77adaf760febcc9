"""The folder of all runs: finding one, listing them, pointing at the newest."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from edgekd.errors import RunError
from edgekd.recordfile import read_record
from edgekd.records import RunManifest
from edgekd.storage import TEMPORARY_PREFIX, writing


def runs_root() -> Path:
    """Return the folder of all runs: ``$EDGEKD_RUNS``, or ``runs`` in the current folder."""
    return Path(os.environ.get("EDGEKD_RUNS") or "runs")


def is_aside(name: str) -> bool:
    """Say whether a folder or file is not a result: being written, or kept of a failure."""
    return name.startswith(".") or name.endswith(".failed")


def find(ref: str | Path | None) -> Path:
    """Return the folder of the run that ``ref`` names."""
    root = runs_root()
    if ref is None:
        return _latest(root)
    for candidate in (Path(ref), root / ref):
        if (candidate / "manifest.json").is_file():
            return candidate
    known = [path.name for path, _ in list_runs()]
    hint = f"Known runs: {', '.join(known[:5])}." if known else "Make one: edgekd distill"
    raise RunError(f"no run at {ref}: neither a run directory nor an id in {root}", hint=hint)


def _latest(root: Path) -> Path:
    pointer = root / "latest"
    target = root / pointer.read_text().strip() if pointer.is_file() else pointer.resolve()
    if not (target / "manifest.json").is_file():
        raise RunError(f"there is no run in {root} yet", hint="Make one: edgekd distill")
    return target


def set_latest(path: Path) -> None:
    """Point ``runs/latest`` at a run, in one step.

    A symbolic link, or a text file that holds the path where links are not to be had.
    """
    root = runs_root()
    target = os.path.relpath(path.resolve(), root.resolve())
    link = root / f"{TEMPORARY_PREFIX}latest-{os.getpid()}"
    with writing(root / "latest"):
        root.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        try:
            link.symlink_to(target, target_is_directory=True)
        except (OSError, NotImplementedError):
            link.write_text(target)
        link.replace(root / "latest")


def list_runs() -> list[tuple[Path, RunManifest]]:
    """Return every run in the runs folder, newest first; damaged ones are left out."""
    found = []
    for path in runs_root().glob("*/manifest.json"):
        if path.parent.is_symlink() or is_aside(path.parent.name):
            continue
        with contextlib.suppress(RunError):
            found.append((path.parent, read_record(path, RunManifest)))
    return sorted(found, key=lambda item: (item[1].provenance.created, item[1].id), reverse=True)
