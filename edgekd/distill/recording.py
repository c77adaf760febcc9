"""``edgekd record``: what a teacher says of every sample, in a file that can teach in its place."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from edgekd.data.load import load_for_student
from edgekd.data.split import SPLITS
from edgekd.distill import session as sessions
from edgekd.distill.answers_file import Answers, check_suffix, write_answers
from edgekd.distill.evaluate import answers_of
from edgekd.distill.making import make_fabric, torch_settings
from edgekd.distill.named import Named, named_teachers
from edgekd.distill.progress import Progress
from edgekd.distill.session import Session
from edgekd.distill.teacher import obtain_one
from edgekd.distill.tutor import Tutor
from edgekd.errors import ModelError, OutputExistsError, RecipeError, RunError, UnknownNameError
from edgekd.recipe import Recipe, builtin_recipes
from edgekd.rundir import Run, teacher_name


@dataclass(frozen=True)
class Recording:
    """What was written.

    Attributes:
        path: the file.
        teacher: whose answers these are.
        samples: how many, over all splits.
        classes: the names of the outputs, in order.
        top_k: how many classes a sample; 0: all.
    """

    path: Path
    teacher: str
    samples: int
    classes: tuple[str, ...]
    top_k: int


def record(
    source: str | Path | Run | Recipe | None = None,
    *,
    out: str | Path,
    teacher: str | None = None,
    top_k: int = 0,
    overrides: Sequence[str] = (),
    progress: Progress | None = None,
) -> Recording:
    """Write a teacher's answers for all samples of all splits, without augmentation.

    Logits stand in the order of the data's classes. A teacher that a recipe trains is trained now,
    unless an earlier run has done so; that of a run is the one in the run.

    Args:
        source: a run (open, path or id), or a recipe (open, file, or built-in); None: the newest
            run.
        out: the file to write, .npz or .parquet.
        teacher: its name, where there are several.
        top_k: write only the k most probable classes of a sample, with their log-probabilities;
            0: the logits of all.
        overrides: ``key.path=value`` each, for a recipe.
        progress: who watches.

    Raises:
        OutputExistsError: ``out`` is taken.
        RecipeError: the recipe has faults or no teacher.
        RunError: there is no such run.
        UnknownNameError: there is no such teacher.
        DataError: the data cannot be used.
        ModelError: the teacher was recorded itself, and not for all samples.
    """
    path = Path(out)
    if path.exists():
        raise OutputExistsError(f"{path} is there already", hint="Choose another --out.")
    check_suffix(path)
    recipe, run = _find(source, overrides)
    named = _chosen(recipe, run, teacher)
    fabric = make_fabric(recipe.train.model_copy(update={"num_devices": 1}), None)
    with tempfile.TemporaryDirectory(prefix="edgekd-record-") as folder:
        session = sessions.begin(Path(folder) / "run", recipe, lambda: load_for_student(recipe))
        with torch_settings(recipe.train.threads):
            tutor = obtain_one(session, named, fabric, progress or Progress()).tutor
            answers = _answers(session, tutor, fabric.device, top_k)
    write_answers(path, answers)
    return Recording(path, named.name, len(answers.ids), answers.names, top_k)


def _find(
    source: str | Path | Run | Recipe | None, overrides: Sequence[str]
) -> tuple[Recipe, Run | None]:
    """Return the recipe, and the run whose weights hold, if it is one."""
    if isinstance(source, Recipe):
        return source, None
    if isinstance(source, str | Path) and (
        str(source) in builtin_recipes() or Path(source).suffix == ".toml"
    ):
        return Recipe.load(source, overrides, options=True), None
    if overrides:
        raise RunError("overrides go with a recipe; a run keeps its own")
    run = Run.open(source)
    return run.recipe, run


def _chosen(recipe: Recipe, run: Run | None, name: str | None) -> Named:
    """Return one of a recipe's teachers; that of a run has its weights from there."""
    teachers = named_teachers(recipe)
    names = [named.name for named in teachers]
    if name is None and len(names) != 1:
        raise RecipeError(
            "teacher",
            [f"whose answers, of {len(names)} teachers?"],
            hint=f"Name one: --teacher NAME. Teachers: {', '.join(names) or 'none'}.",
        )
    if name is not None and name not in names:
        raise UnknownNameError("teacher", name, names)
    number = 0 if name is None else names.index(name)
    named = teachers[number]
    if run is None or named.spec.model is None:
        return named
    weights = str(run.path / f"{teacher_name(number)}.safetensors")
    return replace(named, spec=named.spec.model_copy(update={"weights": weights}))


def _answers(session: Session, tutor: Tutor, device: torch.device, top_k: int) -> Answers:
    """Ask for all splits, one after the other."""
    dataset = session.dataset
    found = [answers_of(tutor, split, device=device) for split in SPLITS]
    logits = [part for part in found if part is not None]
    if len(logits) < len(SPLITS):
        raise ModelError(
            f"the teacher {tutor.name!r} is recorded itself, and not for all samples",
            hint="Its file can teach as it is.",
        )
    ids = tuple(name for split in SPLITS for name in dataset.splits[split].ids)
    values = np.concatenate(logits)
    if not top_k or top_k >= values.shape[1]:
        return Answers(ids, values, names=dataset.classes)
    soft = torch.from_numpy(values).log_softmax(-1).topk(top_k, dim=-1)
    classes = soft.indices.numpy().astype(np.int32)
    return Answers(ids, soft.values.numpy(), top=classes, names=dataset.classes)
