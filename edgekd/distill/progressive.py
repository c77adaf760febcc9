"""What is wrong with assistants, generations and stages, said before anything is loaded."""

from __future__ import annotations

from collections.abc import Sequence

from edgekd.distill.chain import assistant_terms, links_of, named_assistants
from edgekd.distill.named import named_teachers
from edgekd.distill.stages import FIXED, stage_train
from edgekd.distill.terms import student_terms
from edgekd.errors import RecipeError, UnknownNameError
from edgekd.recipe import Recipe


def check_progressive(recipe: Recipe) -> list[str]:
    """Say what is wrong with assistants, generations and stages.

    Args:
        recipe: the recipe.

    Returns:
        The names of assistants and generations, which losses may listen to.

    Raises:
        RecipeError: names the key, and the closest name where one is unknown.
    """
    links = links_of(recipe)
    if links or recipe.stage:
        _alone(recipe)
    _chain(recipe, links)
    known = [term.name for term in student_terms(recipe.loss, recipe.train)]
    _assistants(recipe, known)
    _stages(recipe, known)
    return links


def _alone(recipe: Recipe) -> None:
    """Refuse what does not go together with networks that follow one another."""
    scheme = "stages" if recipe.stage else "a chain"
    if recipe.peer:
        raise RecipeError(
            "peer", [f"peers learn beside the student; {scheme} would leave them behind"]
        )
    if any(spec.follows is not None for spec in recipe.teacher):
        raise RecipeError(
            "teacher.follows", [f"a teacher that follows the student does not go with {scheme}"]
        )
    if recipe.synthesis is not None and recipe.assistant:
        raise RecipeError(
            "synthesis", ["assistants would be trained on the data that is not to be used"]
        )


def _chain(recipe: Recipe, links: Sequence[str]) -> None:
    taken = [named.name for named in named_teachers(recipe)]
    both = [name for name in links if name in taken or list(links).count(name) > 1]
    if both:
        raise RecipeError("chain", [f"two networks are called {both[0]!r}"], hint="Rename one.")
    if recipe.chain.direct and not (taken and links):
        raise RecipeError(
            "chain.direct",
            ["there is no chain to compare with, or no teacher to learn from directly"],
            hint="Add [[assistant]] or student.generations; train.baseline has no teacher at all.",
        )


def _assistants(recipe: Recipe, known: Sequence[str]) -> None:
    assistants = named_assistants(recipe)
    before = {named.name for named in named_teachers(recipe)}
    if assistants and not before:
        raise RecipeError(
            "assistant", ["an assistant needs somebody to learn from"], hint="Add [[teacher]]."
        )
    for number, named in enumerate(assistants):
        _known_losses(recipe.assistant[number].losses, known, f"{named.where}.losses")
        learns = any(
            term.loss.needs_teacher and (term.teacher is None or term.teacher in before)
            for term in assistant_terms(recipe, number)
        )
        if named.spec.weights is None and not learns:
            raise RecipeError(
                f"{named.where}.losses",
                [f"{named.name!r} would learn from labels alone"],
                hint="Without losses, an assistant takes those that capture no layers, e.g. kd.",
            )
        before.add(named.name)


def _stages(recipe: Recipe, known: Sequence[str]) -> None:
    names = [stage.name for stage in recipe.stage]
    for number, stage in enumerate(recipe.stage):
        where = f"stage[{number}]"
        if names.index(stage.name) != number:
            raise RecipeError(f"{where}.name", [f"two stages are called {stage.name!r}"])
        if stage.freeze and stage.only:
            raise RecipeError(where, ["freeze and only exclude each other"], hint="Drop one.")
        _known_losses(stage.losses, known, f"{where}.losses")
        fixed = [key for key in stage.train if key in FIXED]
        if fixed:
            hint = "Use stage.epochs." if "epochs" in fixed else "Set it in [train]."
            raise RecipeError(f"{where}.train.{fixed[0]}", ["a stage cannot change it"], hint=hint)
        stage_train(recipe.train, recipe.stage, number)
    used = {name for stage in recipe.stage for name in stage.losses or known}
    idle = [name for name in known if recipe.stage and name not in used]
    if idle:
        raise RecipeError(
            "stage", [f"no stage uses the loss {idle[0]!r}"], hint="Add it to a stage's losses."
        )


def _known_losses(given: Sequence[str], known: Sequence[str], where: str) -> None:
    """Refuse names that are no terms of the recipe; name the closest."""
    faults = []
    for name in given:
        if name not in known:
            error = UnknownNameError("loss of this recipe", name, known)
            faults.append(f"{error.message}. {error.hint}")
    if faults:
        raise RecipeError(where, faults)
