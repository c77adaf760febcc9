"""Which teachers a recipe names, and the networks they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from pydantic import ValidationError
from torch import nn

from edgekd.data.seen import seen_by
from edgekd.data.split import Dataset
from edgekd.distill.filed import check_gives, load_filed
from edgekd.distill.recorded import Recorded, load_recorded
from edgekd.distill.taught import Taught
from edgekd.distill.tutor import Tutor
from edgekd.errors import RecipeError
from edgekd.models.build import build
from edgekd.recipe import Recipe, TeacherSpec, TrainSpec


@dataclass(frozen=True)
class Named:
    """One teacher of a recipe; a table with ``copies`` stands for several.

    Attributes:
        name: what losses call it.
        spec: its table.
        where: the key path of that table.
        seed: of its weights.
        train: ``[train]`` with its overrides.
    """

    name: str
    spec: TeacherSpec
    where: str
    seed: int
    train: TrainSpec


def named_teachers(recipe: Recipe) -> list[Named]:
    """Return a recipe's teachers, copies apart, each with a name of its own.

    Raises:
        RecipeError: two have one name, or an override of ``[train]`` is none.
    """
    found: list[Named] = []
    for number, spec in enumerate(recipe.teacher):
        where = f"teacher[{number}]"
        train = effective_train(recipe, spec, where)
        for copy in range(spec.copies):
            name = spec.name or spec.title
            taken = [item.name for item in found]
            if spec.copies > 1:
                name = f"{name}-{copy + 1}"
            elif name in taken and spec.name is None:
                name = f"{name}-{number + 1}"
            if name in taken or not name:
                raise RecipeError(
                    f"{where}.name",
                    [f"two teachers are called {name!r}"],
                    hint="Give each a name of its own.",
                )
            found.append(Named(name, spec, where, recipe.seed + copy, train))
    return found


def effective_train(recipe: Recipe, spec: TeacherSpec, where: str) -> TrainSpec:
    """Return ``[train]`` with a teacher's overrides.

    Raises:
        RecipeError: an override is not a key of ``[train]`` or has a wrong value.
    """
    base = recipe.train.model_copy(update={"seeds": (), "baseline": False})
    return overridden(base, spec.train, f"{where}.train")


def overridden(train: TrainSpec, changes: Mapping[str, Any], where: str) -> TrainSpec:
    """Return ``[train]`` with some of its keys changed.

    Args:
        train: the recipe's.
        changes: by key.
        where: the key path of the changes.

    Raises:
        RecipeError: a change is not a key of ``[train]`` or has a wrong value.
    """
    try:
        return TrainSpec.model_validate({**train.model_dump(), **changes})
    except ValidationError as error:
        faults = [
            f"{where}.{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()
        ]
        raise RecipeError(where, faults) from error


def build_tutor(named: Named, dataset: Dataset) -> Tutor:
    """Build a teacher that gives logits in the data's order: untrained and seeded, or as given.

    Args:
        named: the teacher.
        dataset: the recipe's data.

    Raises:
        ModelError: it cannot be built or loaded, or does not fit the data.
        DataError: recorded answers are damaged or miss samples.
    """
    spec = named.spec
    if spec.outputs is not None:
        return _recorded(named, dataset)
    seen = seen_by(dataset, spec.input, f"{named.where}.input")
    network, classes = _network(named, seen)
    columns = columns_of(classes, dataset.classes, f"{named.where}.classes")
    probabilities = spec.gives == "probabilities"
    plain = columns is None and not probabilities and spec.model is not None
    return Tutor(
        name=named.name,
        model=network if plain else Taught(network, columns, probabilities=probabilities),
        dataset=seen,
        weight=spec.weight,
        view=spec.view,
        cache=spec.cache,
        fold=spec.fold,
    )


def _network(named: Named, seen: Dataset) -> tuple[nn.Module, tuple[str, ...]]:
    """Return a teacher's network, and the names of its outputs where they are not the data's."""
    spec = named.spec
    if spec.model is None:
        filed = load_filed(spec, seen, named.where)
        check_gives(filed.network, spec, seen, named.where)
        return filed.network, filed.classes
    torch.manual_seed(named.seed)
    network = build(
        spec.model,
        spec.options,
        num_classes=len(spec.classes or seen.classes),
        input_shape=seen.sample_shape,
        where=named.where,
    )
    return network, spec.classes


def _recorded(named: Named, dataset: Dataset) -> Tutor:
    spec = named.spec
    answers, sha256 = load_recorded(spec, dataset, named.where)
    theirs = spec.classes or answers.names
    model = Recorded(
        answers,
        dataset,
        columns_of(theirs, dataset.classes, f"{named.where}.classes"),
        outputs=len(theirs or dataset.classes),
        sha256=sha256,
    )
    return Tutor(named.name, model, dataset, weight=spec.weight, view="plain")


def columns_of(theirs: Sequence[str], classes: Sequence[str], where: str) -> tuple[int, ...] | None:
    """Return which of a teacher's outputs stands for each class of the data.

    >>> columns_of(("cat", "dog", "bird"), ("bird", "cat"), "teacher[0].classes")
    (2, 0)

    Args:
        theirs: the names of its outputs, in its order; empty: those of the data.
        classes: of the data.
        where: for messages.

    Raises:
        RecipeError: it does not know a class, or names one twice.
    """
    if not theirs or tuple(theirs) == tuple(classes):
        return None
    faults = [f"it has no output for the class {name!r}" for name in classes if name not in theirs]
    faults += [f"{name!r} stands twice" for name in theirs if list(theirs).count(name) > 1]
    if faults:
        raise RecipeError(where, list(dict.fromkeys(faults)))
    return tuple(list(theirs).index(name) for name in classes)
