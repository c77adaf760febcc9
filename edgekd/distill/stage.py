"""``edgekd distill``: from a recipe to a whole run directory."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import torch

from edgekd.data.load import load_for_student
from edgekd.distill import energy
from edgekd.distill import session as sessions
from edgekd.distill.chain import named_assistants
from edgekd.distill.following import follows
from edgekd.distill.layerless import check_layerless
from edgekd.distill.loggers import logged
from edgekd.distill.loggers import make as make_loggers
from edgekd.distill.making import Accelerator, make, make_fabric
from edgekd.distill.named import named_teachers
from edgekd.distill.peers import check_peers
from edgekd.distill.progress import Progress
from edgekd.distill.progressive import check_progressive
from edgekd.distill.qat import check_quantize
from edgekd.distill.recorded import check_views
from edgekd.distill.rehearsal import check_networks, look
from edgekd.distill.session import run_lock
from edgekd.distill.starting import check_start
from edgekd.distill.teacher import at_rest
from edgekd.distill.terms import student_terms
from edgekd.errors import MissingDeviceError, RecipeError, RunError
from edgekd.recipe import Recipe
from edgekd.records_distill import Finding
from edgekd.rundir import Run


def distill(
    recipe: Recipe | str | Path = "digits",
    *,
    overrides: Sequence[str] = (),
    out: str | Path | None = None,
    resume: str | Path | None = None,
    accelerator: Accelerator | None = None,
    num_devices: int | None = None,
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
        num_devices: processes that train together, instead of the recipe's number.
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
    progress = (progress if not follows() else None) or Progress()
    if resume is not None:
        run = Run.open(resume, allow_incomplete=True)
        if run.manifest.status == "complete":
            progress.message(f"{run.path} is complete already; nothing to do")
            return Run.open(run.path)
        return _launch(run.recipe, run.path, accelerator, num_devices, progress, resuming=True)
    extra = [] if seed is None else [f"seed={seed}", f"train.seeds=[{seed}]"]
    if not isinstance(recipe, Recipe):
        recipe = Recipe.load(recipe, [*overrides, *extra], options=True)
    elif overrides or extra:
        raise RunError("overrides and seed go with a recipe's file or name, not with a Recipe")
    _check(recipe)
    if num_devices is not None:
        train = recipe.train.model_copy(update={"num_devices": num_devices})
        recipe = recipe.model_copy(update={"train": train})
    # A process that follows is told the folder of its leader.
    path = Path() if follows() else sessions.new_path(recipe, None if out is None else Path(out))
    return _launch(recipe, path, accelerator, num_devices, progress, resuming=False)


def _launch(
    recipe: Recipe,
    path: Path,
    accelerator: Accelerator | None,
    num_devices: int | None,
    progress: Progress,
    *,
    resuming: bool,
) -> Run:
    """Load the data, begin or reopen the run, start the other processes, and train."""
    train = recipe.train
    if num_devices is not None:
        train = train.model_copy(update={"num_devices": num_devices})
    _check_accelerator(accelerator or train.accelerator)
    # A stage of hints does not reach the layers behind them.
    loggers = [] if follows() else make_loggers(path, recipe)
    fabric = make_fabric(train, accelerator, partly=bool(recipe.stage), loggers=loggers)
    with ExitStack() as held:
        if not follows():
            # Before the others start: what is wrong with data or folder is said once.
            dataset = load_for_student(recipe)
            if not resuming:
                check_networks(recipe, dataset)
                sessions.begin(path, recipe, lambda: dataset)
            progress.run(path)
            held.enter_context(run_lock(path))
            if resuming:
                progress.message(f"resuming {path}")
        fabric.launch()
        path = Path(fabric.broadcast(str(path)))
        if follows():
            dataset = load_for_student(recipe)
        run = Run.open(path, allow_incomplete=True)
        session = sessions.reopen(run, lambda _: dataset)
        with logged(session, fabric, progress) as session:
            return make(session, fabric, progress)


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
    _check(recipe)
    _check_accelerator(accelerator or recipe.train.accelerator)
    resolved = recipe
    with tempfile.TemporaryDirectory(prefix="edgekd-dry-run-") as folder:
        session = sessions.begin(Path(folder) / "run", recipe, lambda: load_for_student(resolved))
        return look(session, accelerator, progress or Progress())


def _check(recipe: Recipe) -> None:
    """Say what is wrong with teachers and losses before anything is loaded or trained."""
    names = [named.name for named in named_teachers(recipe)]
    teachers = [named.name for named in at_rest(recipe)]
    names += check_peers(recipe, names)
    names += check_progressive(recipe)
    check_views(recipe.teacher, recipe.train)
    check_layerless(recipe)
    check_quantize(recipe)
    for number, term in enumerate(student_terms(recipe.loss, recipe.train)):
        where = f"loss[{number}]"
        if term.loss.needs_teacher and not names:
            raise RecipeError(where, [f"{term.name!r} needs a teacher"], hint="Add [[teacher]].")
        if term.teacher is not None and term.teacher not in names:
            raise RecipeError(
                f"{where}.teacher",
                [f"there is no teacher {term.teacher!r}"],
                hint=f"Teachers: {', '.join(names)}.",
            )
    check_start(recipe, [*teachers, *(named.name for named in named_assistants(recipe))])
    if recipe.train.energy is not None:
        energy.require(recipe.train.energy)


def _check_accelerator(wanted: str) -> None:
    if wanted == "cuda" and not torch.cuda.is_available():
        raise MissingDeviceError(
            "accelerator 'cuda': PyTorch finds no CUDA device here",
            hint="Use --accelerator cpu, or install a CUDA build of PyTorch.",
        )
