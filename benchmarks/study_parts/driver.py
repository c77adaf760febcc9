"""Training what is missing: some cells at a time, each in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.checkpoint import whole_rows
from benchmarks.speed.turns import REPOSITORY, environment
from benchmarks.study_parts.cells import Cell, Setting

ROWS = "rows.jsonl"

#: Seconds that an interrupted cell has to end; it goes on from its last whole epoch.
GRACE = 20.0

Row = dict[str, Any]


def read_rows(folder: Path, setting: Setting) -> dict[str, Row]:
    """Return the rows of this setting by the names of their cells.

    A line that a kill cut short is left out.
    """
    rows = whole_rows(folder / ROWS)
    return {row["name"]: row for row in rows if row["setting"] == setting.sha256}


def ready(
    waiting: Sequence[Cell], running: Iterable[Cell], done: Iterable[str], setting: Setting
) -> Cell | None:
    """Return the first cell that can be trained now.

    A student waits for its teacher, and while another one fills the cache that both read.

    Args:
        waiting: cells in the order of the plan.
        running: those in training.
        done: names of those that have a row.
        setting: of the study.
    """
    finished, caches = set(done), {cell.cache for cell in running if cell.cache}
    for cell in waiting:
        teacher = cell.teacher_cell(setting)
        if teacher is not None and teacher.name not in finished:
            continue
        if cell.cache not in caches:
            return cell
    return None


def train_missing(
    cells: Sequence[Cell],
    setting: Setting,
    folder: Path,
    *,
    jobs: int,
    seconds: float | None,
    tell: Callable[[str], None],
) -> bool:
    """Train the cells that have no row yet.

    Args:
        cells: the plan.
        setting: of the study.
        folder: of the study: rows, answers, teachers, logs and what is in training.
        jobs: cells at a time, one thread each.
        seconds: then end, what is in training too; a later call goes on with it. None: no limit.
        tell: takes a line of progress.

    Returns:
        All cells have a row.
    """
    ends = None if seconds is None else time.monotonic() + seconds
    done = read_rows(folder, setting)
    waiting = [cell for cell in cells if cell.name not in done]
    running: dict[Cell, subprocess.Popen[str]] = {}
    tell(f"{len(cells) - len(waiting)} of {len(cells)} cells are there")
    try:
        while waiting or running:
            if ends is not None and time.monotonic() > ends:
                tell("time is up")
                return False
            while len(running) < jobs and (cell := ready(waiting, running, done, setting)):
                waiting.remove(cell)
                running[cell] = _start(cell, setting, folder)
            if not running:
                return False  # what they wait for has failed
            for cell in [cell for cell, process in running.items() if process.poll() is not None]:
                row = _finish(cell, running.pop(cell), folder, tell)
                if row is not None:
                    done[cell.name] = row
            time.sleep(0.05)
    finally:
        _stop(running.values())
    return all(cell.name in done for cell in cells)


def _start(cell: Cell, setting: Setting, folder: Path) -> subprocess.Popen[str]:
    (folder / "logs").mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "benchmarks.study_parts.train", "--folder", str(folder)]
    command += ["--cell", json.dumps(asdict(cell)), "--setting", setting.to_json()]
    with (
        (folder / "logs" / f"{cell.name}.log").open("a") as log,
        (folder / "logs" / f"{cell.name}.row").open("w") as out,
    ):
        return subprocess.Popen(
            command, cwd=REPOSITORY, env=_environment(), stdout=out, stderr=log, text=True
        )


def _environment() -> Mapping[str, str]:
    # Two cells of one thread each beat one of two: the networks are small.
    return {**environment(), "OMP_NUM_THREADS": "1"}


def _finish(
    cell: Cell, process: subprocess.Popen[str], folder: Path, tell: Callable[[str], None]
) -> Row | None:
    """Note the row of a cell that has ended; None where it failed."""
    out = folder / "logs" / f"{cell.name}.row"
    if process.returncode:
        tell(f"{cell.name}: failed, see {out.with_suffix('.log')}")
        return None
    row: Row = json.loads(out.read_text(encoding="utf-8").splitlines()[-1])
    with (folder / ROWS).open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")
        file.flush()
        os.fsync(file.fileno())
    out.unlink()
    tell(f"{cell.name}: {row['test_accuracy']:.2%} in {row['wall_seconds']:.0f} s")
    return row


def _stop(processes: Iterable[subprocess.Popen[str]]) -> None:
    """End the cells that are in training; what they have of whole epochs stays."""
    found = list(processes)
    for process in found:
        process.terminate()
    for process in found:
        try:
            process.wait(GRACE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
