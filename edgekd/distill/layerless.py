"""Losses that ask for layers of teachers that have none to show."""

from __future__ import annotations

from pathlib import Path

from edgekd.distill.named import named_teachers
from edgekd.distill.terms import student_terms
from edgekd.errors import RecipeError
from edgekd.recipe import Recipe, TeacherSpec
from edgekd.registry import table
from edgekd.runtimes.kinds import TRANSFORMERS, runtime_of, shown_by


def check_layerless(recipe: Recipe) -> None:
    """Refuse losses that capture layers of a model file or of recorded answers.

    Raises:
        RecipeError: names the losses and those that would work.
        ModelFileError: a teacher's file is missing, damaged or unsupported.
    """
    what = {named.name: _layerless(named.spec) for named in named_teachers(recipe)}
    # Behind a chain, a term that names nobody hears the last assistant, which has layers.
    nearest = [] if recipe.assistant and not recipe.chain.direct else list(what)
    faults = []
    for number, term in enumerate(student_terms(recipe.loss, recipe.train)):
        heard = [term.teacher] if term.teacher is not None else nearest
        for name in heard:
            if term.loss.layers()[1] and what.get(name) is not None:
                faults.append(
                    f"loss[{number}]: {term.name!r} captures layers of the teacher {name!r}, and "
                    f"{what[name]} shows its outputs only"
                )
    if faults:
        raise RecipeError(
            "loss",
            faults,
            hint=f"What works with outputs alone: {', '.join(response_losses())}; or give the "
            "teacher as a PyTorch network.",
        )


def response_losses() -> list[str]:
    """Return the losses that ask for no layers, whatever their options."""
    found = []
    for row in table("loss"):
        try:
            loss = row.load()()
        except TypeError:  # it needs options: which layers
            continue
        if loss.needs_teacher and not any(loss.layers()):
            found.append(row.name)
    return found


def _layerless(spec: TeacherSpec) -> str | None:
    """Return what a teacher is where it has no layers; None where it has."""
    if spec.outputs is not None:
        return "a file of recorded answers"
    if spec.file is None:
        return None
    path = Path(spec.file).expanduser()
    kind = runtime_of(path)
    return None if kind == TRANSFORMERS else shown_by(kind, path)
