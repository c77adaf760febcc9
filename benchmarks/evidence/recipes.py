"""The recipe of a run: the plan's, with the overrides of its arm, and with the plan's teacher.

A teacher's training takes over what ``[train]`` says. An override of ``[train]`` that is meant for
the student would so train another teacher, for hours, and compare two things at once. Here every
teacher keeps what the plan's recipe gives it, unless an arm speaks of ``teacher`` itself.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from benchmarks.evidence.places import Places
from benchmarks.evidence.plan import BEST, Arm, Job, Plan
from edgekd.errors import RecipeError
from edgekd.recipe import Recipe, TeacherSpec, TrainSpec, find_recipe
from edgekd.storage import atomic_write
from edgekd.toml import apply_overrides, read_toml

#: Keys of ``[train]`` that decide nothing about a teacher's weights.
_BESIDE = {"accelerator", "threads", "energy", "loggers", "seeds", "baseline"}


def recipe_of(plan: Plan, job: Job, places: Places, *, options: bool = False) -> Recipe:
    """Return the recipe of a run.

    The recipe's own seed stays: it decides the teachers and the views that they are asked about,
    which all seeds share. The job's seed is the student's.

    Args:
        plan: the plan.
        job: the run.
        places: where recipes may stand beside the plans.
        options: also check the options of losses and the like, which imports PyTorch.

    Raises:
        RecipeError: it has faults; all are named.
    """
    arm, fold = plan.arm_of(job.arm), plan.fold_of(job.fold)
    source = _find(arm.recipe or plan.recipe, places)
    common = [*plan.common, *(fold.set if fold else ())]
    raw = read_toml(source)
    faults = apply_overrides(raw, common)
    _hold_teachers(raw, Recipe.from_dict(raw, source=str(source), options=False, faults=faults))
    # One run a seed: its files are exported and scored, and what is lost with it is little. What
    # a student does without a teacher is an arm of its own.
    mine = [*arm.set, f"train.seeds=[{job.seed}]", "train.baseline=false"]
    faults = apply_overrides(raw, mine)
    raw["name"] = f"{plan.name}-{job.key}"
    title = f"{plan.name}, arm {arm.name}"
    return Recipe.from_dict(raw, source=title, options=options, faults=faults)


def write_recipe(plan: Plan, job: Job, places: Places) -> Path:
    """Write the recipe of a run where `edgekd distill` finds it; return the file."""
    path = places.recipe(plan.name, job.key)
    atomic_write(path, recipe_of(plan, job, places).to_toml())
    return path


def faults_of(plan: Plan, places: Places, *, options: bool = False) -> list[str]:
    """Return what is wrong with the arms' recipes, and which would train a teacher unmeant."""
    found: list[str] = []
    marks: dict[str, list[str]] = {}
    for arm in plan.arm:
        job = next(job for job in plan.jobs(arm=arm.name))
        try:
            marks[arm.name] = teacher_marks(recipe_of(plan, job, places, options=options))
        except RecipeError as error:
            found.append(f"arm {arm.name}: {error.message}")
    best = marks.get(BEST, [])
    for arm in plan.arm:
        new = [mark for mark in marks.get(arm.name, []) if mark not in best]
        if new and not _speaks_of_teachers(arm):
            found.append(
                f"arm {arm.name}: would train {len(new)} teacher(s) that {BEST!r} does not have; "
                "own_teacher = true if that is meant"
            )
    return found


def teacher_marks(recipe: Recipe) -> list[str]:
    """Return for each teacher what decides its weights, the data aside."""
    return [
        json.dumps(
            {
                "spec": spec.model_dump(
                    mode="json", exclude={"train", "name", "weight", "view", "cache", "fold"}
                ),
                "train": _training(recipe, spec).model_dump(mode="json", exclude=_BESIDE),
                "seed": recipe.seed,
            },
            sort_keys=True,
        )
        for spec in recipe.every_teacher
    ]


def _find(name: str, places: Places) -> Path:
    beside = places.plans / name
    for path in (beside, places.plans.parent / name):
        if name.endswith(".toml") and path.is_file():
            return path
    return find_recipe(name)


def _speaks_of_teachers(arm: Arm) -> bool:
    keys = {override.partition("=")[0].strip().split(".")[0] for override in arm.set}
    return arm.own_teacher or arm.recipe is not None or bool(keys & {"teacher", "data", "seed"})


def _hold_teachers(raw: dict[str, Any], recipe: Recipe) -> None:
    """Write into every teacher's own table what it takes over from ``[train]``, in place."""
    tables = raw.get("teacher", [])
    tables = tables if isinstance(tables, list) else [tables]
    for table, spec in zip(tables, recipe.teacher, strict=True):
        if spec.model is not None and not spec.given:
            train = _training(recipe, spec)
            kept = train.model_dump(mode="json", exclude=_BESIDE, exclude_none=True)
            missing = set(TrainSpec.model_fields) - _BESIDE - set(kept)
            table["train"] = {**kept, **{name: False for name in missing if _can_be_off(name)}}


def _can_be_off(name: str) -> bool:
    """Say whether a key of ``[train]`` takes ``false`` for nothing, which TOML cannot write."""
    try:
        return getattr(TrainSpec.model_validate({name: False}), name) is None
    except ValidationError:
        return False


def _training(recipe: Recipe, spec: TeacherSpec) -> TrainSpec:
    """Return ``[train]`` with a teacher's overrides."""
    return TrainSpec.model_validate({**recipe.train.model_dump(), **spec.train})
