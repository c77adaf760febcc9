"""A run while it is being made: its folder, its log, its checkpoints."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from edgekd import provenance
from edgekd.data.split import Dataset
from edgekd.errors import RunError, TamperedError
from edgekd.recipe import Recipe
from edgekd.records import RunManifest
from edgekd.rundir import (
    Run,
    atomic_write,
    refuse_existing,
    runs_root,
    sha256_bytes,
    write_record,
)
from edgekd.storage import process_lock, writing


@dataclass(frozen=True)
class Session:
    """A run in the making.

    Attributes:
        path: its folder.
        recipe: the resolved recipe.
        dataset: the loaded data.
        manifest: as written when the run began.
        also: takes every line of the log, after it was written.
    """

    path: Path
    recipe: Recipe
    dataset: Dataset
    manifest: RunManifest
    also: Callable[[dict[str, Any]], None] | None = None

    def checkpoint(self, phase: str, seed: int) -> Path:
        """Return where the checkpoint of a network stands."""
        return self.path / "checkpoints" / f"{phase}-{seed}.pt"

    def pruned_file(self, seed: int) -> Path:
        """Return where a pruned student's first weights stand while the run is being made."""
        return self.path / "checkpoints" / f"pruned-{seed}.safetensors"

    def energy_file(self, phase: str, name: str, seed: int) -> Path:
        """Return where the energy that a training used stands while the run is being made."""
        stem = re.sub(r"[^\w.-]+", "-", f"{phase}-{name}-{seed}")
        return self.path / "checkpoints" / f"{stem}.energy.json"

    def energy_files(self) -> list[Path]:
        """Return those that stand there, in the order in which the trainings ended."""
        found = self.path.glob("checkpoints/*.energy.json")
        return sorted(found, key=lambda path: (path.stat().st_mtime_ns, path.name))

    def log(self, line: dict[str, Any]) -> None:
        """Append a line to ``metrics.jsonl``, in place of an earlier one for the same epoch.

        A process killed between the line and the checkpoint of an epoch trains that epoch again.
        """
        path = self.path / "metrics.jsonl"
        same = ("phase", "seed", "epoch")
        kept = [
            old
            for old in Run(self.path, self.manifest).metrics()
            if any(old.get(key) != line[key] for key in same)
        ]
        atomic_write(path, "".join(json.dumps(item) + "\n" for item in [*kept, line]))
        if self.also is not None:
            self.also(line)


def new_path(recipe: Recipe, out: Path | None) -> Path:
    """Choose the folder of a new run.

    Raises:
        OutputExistsError: ``out`` is taken.
    """
    if out is not None:
        refuse_existing(out)
        return out
    stem = f"{recipe.name}-{datetime.now(timezone.utc):%Y%m%d-%H%M%S}"
    path = runs_root() / stem
    number = 2
    while path.exists():
        path = runs_root() / f"{stem}-{number}"
        number += 1
    return path


def begin(path: Path, recipe: Recipe, load: Callable[[], Dataset]) -> Session:
    """Load the data, then make the folder of a run, marked as incomplete.

    Nothing is written before the data is known to be good.

    Raises:
        DataError: the data cannot be used.
        StorageError: the folder cannot be written.
    """
    dataset = load()
    text = recipe.to_toml()
    with writing(path):
        path.mkdir(parents=True, exist_ok=True)
    atomic_write(path / "recipe.toml", text)
    manifest = RunManifest(
        status="incomplete",
        id=path.name,
        name=recipe.name,
        recipe_sha256=sha256_bytes(text.encode()),
        data_sha256=dataset.sha256,
        classes=dataset.classes,
        splits={name: len(part) for name, part in dataset.splits.items()},
        preprocess=dataset.preprocess,
        sample_shape=dataset.sample_shape,
        provenance=provenance.collect(seed=recipe.seed),
    )
    write_record(path / "manifest.json", manifest)
    return Session(path, recipe, dataset, manifest)


def reopen(run: Run, load: Callable[[Recipe], Dataset]) -> Session:
    """Open an interrupted run to go on with it.

    Raises:
        TamperedError: its recipe was edited since.
        RunError: the data is no longer what the run began with.
    """
    text = (run.path / "recipe.toml").read_bytes()
    if sha256_bytes(text) != run.manifest.recipe_sha256:
        raise TamperedError(
            f"{run.path / 'recipe.toml'} was changed since the run began",
            hint="A resumed run keeps its recipe. Start a new run for the changed one.",
        )
    dataset = load(run.recipe)
    if dataset.sha256 != run.manifest.data_sha256:
        raise RunError(
            f"the data of {run.path} has changed since the run began",
            hint="Put the data back, or start a new run.",
        )
    return Session(run.path, run.recipe, dataset, run.manifest)


@contextmanager
def run_lock(path: Path) -> Iterator[None]:
    """Let one process at a time work on a run; the system frees it when the process dies.

    Raises:
        RunError: another process works on it.
    """
    with process_lock(path / "checkpoints" / ".lock", wait=False) as ours:
        if not ours:
            raise RunError(f"another process is working on {path}", hint="Wait for it to end.")
        yield
