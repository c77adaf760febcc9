"""Train and score what a plan still lacks: ``python -m benchmarks.evidence train NAME``.

What there is to do follows from what stands on the disk: a whole run is skipped, an unfinished one
goes on from its last epoch, a missing one begins. So the command may be killed at any time, and is
called again until it says that nothing is left.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from benchmarks.evidence.children import INTERRUPTED, Ended, python, run_child
from benchmarks.evidence.places import Places
from benchmarks.evidence.plan import Job, Plan
from benchmarks.evidence.recipes import recipe_of, write_recipe
from benchmarks.evidence.rows import read_rows
from edgekd.errors import RunError
from edgekd.recipe import Recipe
from edgekd.recordfile import read_record
from edgekd.records import RunManifest
from edgekd.storage import process_lock

State = Literal["missing", "unfinished", "trained", "scored", "stale"]
Say = Callable[[str], None]


@dataclass(frozen=True)
class Outcome:
    """What came of a call.

    Attributes:
        done: runs that were brought to their end, by key.
        failed: run -> what went wrong.
        left: runs that still lack something.
    """

    done: tuple[str, ...]
    failed: dict[str, str]
    left: tuple[str, ...]


def run_path(plan: Plan, job: Job, places: Places) -> Path:
    """Return the folder of a run."""
    return places.runs / f"{plan.name}--{job.key}"


def state_of(plan: Plan, job: Job, places: Places) -> State:
    """Say how far a run is; ``stale``: it was made by another recipe than the plan now gives."""
    path = run_path(plan, job, places)
    if not (path / "manifest.json").is_file():
        return "missing"
    # Compared as this edgekd reads them: a key that it has got since has its default in both.
    # The name is beside the point: it is that of the run.
    if Recipe.load(path / "recipe.toml") != recipe_of(plan, job, places):
        return "stale"
    manifest = read_record(path / "manifest.json", RunManifest)
    if manifest.status == "incomplete":
        return "unfinished"
    scored = {row["job"] for row in read_rows(places.rows(plan.name))}
    return "scored" if job.key in scored else "trained"


def train(
    plan: Plan,
    jobs: list[Job],
    places: Places,
    *,
    minutes: float | None = None,
    again: bool = False,
    say: Say = print,
) -> Outcome:
    """Bring runs to their end, one after the other.

    Args:
        plan: the plan.
        jobs: of its runs.
        places: where everything stands.
        minutes: nothing is begun after so many, and what runs then is interrupted.
        again: put stale runs aside and train them anew.
        say: is told what is done.

    Raises:
        RunError: another process trains here.
    """
    deadline = None if minutes is None else time.monotonic() + 60 * minutes
    done: list[str] = []
    failed: dict[str, str] = {}
    with process_lock(places.work / ".lock", wait=False) as ours:
        if not ours:
            raise RunError(f"another process trains in {places.work}", hint="Wait for it to end.")
        for job in jobs:
            state = state_of(plan, job, places)
            if state == "stale" and again:
                _put_aside(run_path(plan, job, places))
                state = "missing"
            if state == "stale":
                failed[job.key] = "made by another recipe; --again trains it anew"
                say(f"{job.key}: {failed[job.key]}")
            if state in ("scored", "stale"):
                continue
            if deadline is not None and time.monotonic() >= deadline:
                say("the time is up")
                break
            say(f"{time.strftime('%H:%M:%S')} {job.key}: {state}")
            fault = _bring_to_end(plan, job, state, places, deadline)
            if fault is None:
                done.append(job.key)
            elif fault:
                failed[job.key] = fault
                say(f"{job.key}: {fault}")
    left = [job.key for job in jobs if state_of(plan, job, places) != "scored"]
    return Outcome(tuple(done), failed, tuple(left))


def _bring_to_end(
    plan: Plan, job: Job, state: State, places: Places, deadline: float | None
) -> str | None:
    """Train where that is needed, then score; return what went wrong, "" if time was up."""
    path = run_path(plan, job, places)
    if state != "trained":
        if state == "missing":
            _clear(path)
            recipe = write_recipe(plan, job, places)
            told = [_from_root(recipe, places), "--out", _from_root(path, places)]
        else:
            told = ["--resume", _from_root(path, places)]
        fault = _child(["edgekd", "distill", *told, "--quiet"], plan, job, places, deadline)
        if fault is not None:
            return fault
    told = ["benchmarks.evidence.score", plan.name, job.key, "--plans"]
    told.append(_from_root(places.plans, places))
    return _child(told, plan, job, places, deadline)


def _child(
    arguments: list[str], plan: Plan, job: Job, places: Places, deadline: float | None
) -> str | None:
    log = places.log(plan.name, job.key)
    ended: Ended = run_child(
        python("-m", *arguments),
        cwd=places.root,
        environment={
            "EDGEKD_RUNS": _from_root(places.runs, places),
            "EDGEKD_EVIDENCE": _from_root(places.work, places),
        },
        log=log,
        deadline=deadline,
    )
    if ended.code == 0:
        return None
    if ended.stopped or ended.code == INTERRUPTED:
        return ""
    last = [line for line in log.read_text(encoding="utf-8").splitlines() if line.strip()]
    return f"exit code {ended.code}: {last[-1] if last else ''} ({_from_root(log, places)})"


def _from_root(path: Path, places: Places) -> str:
    """Return a path as a child in the repository's folder is given it: manifests note commands."""
    full, root = path.absolute(), places.root.absolute()
    return str(full.relative_to(root)) if full.is_relative_to(root) else str(full)


def _clear(path: Path) -> None:
    """Remove what a process left that was killed before it had written its manifest."""
    if path.is_dir() and not (path / "manifest.json").exists():
        shutil.rmtree(path)


def _put_aside(path: Path) -> None:
    """Rename a run; `edgekd runs` takes no notice of what begins with a dot."""
    number = 1
    while (aside := path.with_name(f".{path.name}.{number}")).exists():
        number += 1
    path.rename(aside)
