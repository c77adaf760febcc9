"""What networks take over before they learn: ``[student.start]``, ``[teacher.start]``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from edgekd.data.paths import expand
from edgekd.distill.pruning import check_prune
from edgekd.distill.taught import inner
from edgekd.distill.tutor import Tutor
from edgekd.errors import RecipeError, RunError
from edgekd.models.start import start_from
from edgekd.models.weights import read_state
from edgekd.recipe import Recipe, StartSpec
from edgekd.rundir import Run, sha256_file

#: Stands for the first teacher, unless one is called so.
FIRST = "teacher"


def start_student(
    student: nn.Module, spec: StartSpec | None, tutors: Sequence[Tutor]
) -> str | None:
    """Let a student take weights over, in place.

    Args:
        student: freshly built.
        spec: ``[student.start]``.
        tutors: its teachers; a student without them starts from none.

    Returns:
        what it starts from, in a line; None where it starts from nothing.

    Raises:
        ModelError: nothing fits, or the rule or table does not.
        RunError: the run to start from cannot be used.
    """
    if spec is None:
        return None
    tutor = next((tutor for tutor in tutors if tutor.name == spec.source), None)
    if tutor is None and spec.source == FIRST:
        if not tutors:
            return None
        tutor = tutors[0]
    if tutor is not None:
        what, state = f"teacher {tutor.name}", inner(tutor.model).state_dict()
    elif (path := weights_at(spec.source)) is not None:
        what, state = str(path), _state(path)
    else:  # a teacher by name, and a student without teachers
        return None
    found = start_from(student, state, layers=spec.layers, slice=spec.slice, what=what)
    return f"{what}: {found}"


def start_teacher(teacher: nn.Module, spec: StartSpec) -> str:
    """Let a teacher take weights over, in place, and say from where in a line.

    Raises:
        ModelError: nothing fits, or the rule or table does not.
        RecipeError: there is neither such a run nor such a file.
        RunError: the run to start from cannot be used.
    """
    path = _file(spec, "teacher.start.from")
    found = start_from(teacher, _state(path), layers=spec.layers, slice=spec.slice, what=str(path))
    return f"{path}: {found}"


def start_decides(spec: StartSpec) -> dict[str, Any]:
    """Return all that decides what a teacher takes over: the weights, not where they are."""
    path = _file(spec, "teacher.start.from")
    return {**spec.model_dump(mode="json", exclude={"source"}), "sha256": sha256_file(path)}


def _file(spec: StartSpec, where: str) -> Path:
    path = weights_at(spec.source)
    if path is None:
        raise RecipeError(where, [f"{spec.source!r} is no run and no file of weights"])
    return path


def _state(path: Path) -> dict[str, Tensor]:
    return read_state(path)


def weights_at(source: str) -> Path | None:
    """Return the file of weights that a path or the id of a run names; None: there is none.

    Raises:
        RunError: the run is incomplete or was tampered with.
    """
    path = expand(source)
    if path.is_file():
        return path
    try:
        return Run.open(path if path.exists() else source).student_path
    except RunError as error:
        if type(error) is RunError:
            return None
        raise


def check_start(recipe: Recipe, teachers: Sequence[str]) -> None:
    """Say before training what is wrong with ``[student.start]`` and ``[teacher.start]``.

    Args:
        recipe: the recipe.
        teachers: the names of its teachers.

    Raises:
        DataError: a path names an environment variable that is not set.
        RecipeError: there is nothing of that name to start from, or ``weights`` are given too.
    """
    check_prune(recipe)
    for number, teacher in enumerate(recipe.teacher):
        if teacher.start is not None:
            _file(teacher.start, f"teacher[{number}].start.from")
    spec = recipe.student.start
    if spec is None:
        return
    if recipe.student.weights is not None:
        raise RecipeError(
            "student.start",
            ["the student has weights already"],
            hint="Leave out one of the two; start takes a file of weights, too.",
        )
    if spec.source in teachers or (spec.source == FIRST and teachers):
        return
    if weights_at(spec.source) is None:
        raise RecipeError(
            "student.start.from",
            [f"{spec.source!r} is no teacher, no run and no file of weights"],
            hint=f"Teachers: {', '.join(teachers) or 'none'}.",
        )
