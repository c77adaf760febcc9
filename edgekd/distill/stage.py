"""``edgekd distill``: from a recipe to a whole run directory."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch

from edgekd.data.load import load_dataset
from edgekd.distill import session as sessions
from edgekd.distill.making import Accelerator, look, make
from edgekd.distill.progress import Progress
from edgekd.distill.session import run_lock
from edgekd.distill.teacher import effective_train
from edgekd.errors import MissingDeviceError, RunError
from edgekd.recipe import Recipe
from edgekd.records import Finding
from edgekd.rundir import Run


def distill(
    recipe: Recipe | str | Path = "digits",
    *,
    overrides: Sequence[str] = (),
    out: str | Path | None = None,
    resume: str | Path | None = None,
    accelerator: Accelerator | None = None,
    seed: int | None = None,
    progress: Progress | None = None,
) -> Run:
    """Train a compact student from its teacher.

    Args:
        recipe: a `Recipe`, a TOML file, or the name of a built-in recipe.
        overrides: ``key.path=value`` each, for a file or a built-in recipe.
        out: the folder of the run; default: a new one under ``runs``.
        resume: an interrupted run to go on with; its own recipe holds.
        accelerator: where to train, instead of the recipe's choice.
        seed: one student with this seed, instead of the recipe's seeds.
        progress: who watches.

    Returns:
        The whole run.

    Raises:
        RecipeError: the recipe has faults; all are named.
        DataError: the data cannot be used.
        ModelError: a network cannot be built or loaded.
        TrainingError: a loss is not finite.
        OutputExistsError: ``out`` is taken.
        StorageError: the disk is full or read-only.
        MissingDeviceError: the accelerator is not there.
    """
    progress = progress or Progress()
    if resume is not None:
        run = Run.open(resume, allow_incomplete=True)
        if run.manifest.status == "complete":
            progress.message(f"{run.path} is complete already; nothing to do")
            return Run.open(run.path)
        _check_accelerator(accelerator or run.recipe.train.accelerator)
        progress.run(run.path)
        with run_lock(run.path):
            going_on = sessions.reopen(run, lambda found: load_dataset(found.data))
            progress.message(f"resuming {run.path}")
            return make(going_on, accelerator, progress)
    extra = [] if seed is None else [f"seed={seed}", f"train.seeds=[{seed}]"]
    if not isinstance(recipe, Recipe):
        recipe = Recipe.load(recipe, [*overrides, *extra], options=True)
    elif overrides or extra:
        raise RunError("overrides and seed go with a recipe's file or name, not with a Recipe")
    effective_train(recipe, recipe.teacher[0])
    _check_accelerator(accelerator or recipe.train.accelerator)
    path = sessions.new_path(recipe, None if out is None else Path(out))
    resolved = recipe
    begun = sessions.begin(path, recipe, lambda: load_dataset(resolved.data))
    progress.run(path)
    with run_lock(path):
        return make(begun, accelerator, progress)


def examine(
    recipe: Recipe | str | Path = "digits",
    *,
    overrides: Sequence[str] = (),
    accelerator: Accelerator | None = None,
    seed: int | None = None,
    progress: Progress | None = None,
) -> list[Finding]:
    """Let the doctor look at a distillation, and train and write nothing.

    Args and errors are those of `distill`. A teacher that the recipe trains is looked at
    untrained, unless an earlier run has trained it.

    Returns:
        What was found.
    """
    extra = [] if seed is None else [f"seed={seed}", f"train.seeds=[{seed}]"]
    if not isinstance(recipe, Recipe):
        recipe = Recipe.load(recipe, [*overrides, *extra], options=True)
    effective_train(recipe, recipe.teacher[0])
    _check_accelerator(accelerator or recipe.train.accelerator)
    resolved = recipe
    with tempfile.TemporaryDirectory(prefix="edgekd-dry-run-") as folder:
        session = sessions.begin(Path(folder) / "run", recipe, lambda: load_dataset(resolved.data))
        return look(session, accelerator, progress or Progress())


def _check_accelerator(wanted: str) -> None:
    if wanted == "cuda" and not torch.cuda.is_available():
        raise MissingDeviceError(
            "accelerator 'cuda': PyTorch finds no CUDA device here",
            hint="Use --accelerator cpu, or install a CUDA build of PyTorch.",
        )
