"""Which layers can be captured, and which of them go together.

Suggestions are a start, made from names and shapes alone: ends of blocks rather than what is
inside them, at the same size and the same relative depth.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from edgekd.data.load import load_for_student
from edgekd.data.split import Dataset
from edgekd.distill.job import example_of
from edgekd.distill.named import build_tutor, named_teachers
from edgekd.distill.recorded import Recorded
from edgekd.distill.taught import inner
from edgekd.errors import RecipeError, RunError
from edgekd.losses.adapters import why_not
from edgekd.losses.mapping import uniform_pairs
from edgekd.models.build import build
from edgekd.models.layers import Shape, block_ends, capturable, without_idle
from edgekd.recipe import ModelSpec, Recipe


@dataclass(frozen=True)
class Layers:
    """The layers of one network.

    Attributes:
        model: its name in the recipe.
        shapes: of what every capturable module gives, without the batch axis, as they run.
    """

    model: str
    shapes: dict[str, Shape]


@dataclass(frozen=True)
class Overview:
    """The layers of a recipe's networks.

    Attributes:
        student: of the student.
        teacher: of the teacher.
        pairs: suggested pairs, the student's layer first; none where nothing fits.
    """

    student: Layers
    teacher: Layers
    pairs: tuple[tuple[str, str], ...]


def overview(recipe: Recipe | str | Path = "digits", *, overrides: Sequence[str] = ()) -> Overview:
    """Build both networks of a recipe, untrained, and look at their layers.

    Args:
        recipe: a `Recipe`, a TOML file, or the name of a built-in recipe.
        overrides: ``key.path=value`` each, for a file or a built-in recipe.

    Raises:
        RecipeError: the recipe has faults; all are named.
        DataError: the data cannot be used.
        ModelError: a network cannot be built.
    """
    if not isinstance(recipe, Recipe):
        recipe = Recipe.load(recipe, overrides, options=True)
    elif overrides:
        raise RunError("overrides go with a recipe's file or name, not with a Recipe")
    if not recipe.teacher:
        raise RecipeError("teacher", ["there is none whose layers could be listed"])
    dataset = load_for_student(recipe)
    spec, first = recipe.student, recipe.teacher[0]
    student, ours = _look(spec, dataset)
    teacher, theirs = (student, ours) if first.follows else _look_at_teacher(recipe, dataset)
    pairs = suggest_pairs(without_idle(student, ours), without_idle(teacher, theirs))
    return Overview(Layers(spec.model, ours), Layers(first.title, theirs), tuple(pairs))


def _look_at_teacher(recipe: Recipe, dataset: Dataset) -> tuple[nn.Module, dict[str, Shape]]:
    """Return the first teacher and its layers; a file of outputs has none."""
    with torch.random.fork_rng():
        tutor = build_tutor(named_teachers(recipe)[0], dataset)
    if isinstance(tutor.model, Recorded):
        return tutor.model, {}
    network = inner(tutor.model)
    return network, capturable(network, example_of(tutor.dataset))


def _look(spec: ModelSpec, dataset: Dataset) -> tuple[nn.Module, dict[str, Shape]]:
    with torch.random.fork_rng():
        model = build(
            spec.model,
            spec.options,
            num_classes=len(dataset.classes),
            input_shape=dataset.sample_shape,
            where="student",
        )
    return model, capturable(model, example_of(dataset))


def suggest_pairs(
    student: Mapping[str, Shape], teacher: Mapping[str, Shape]
) -> list[tuple[str, str]]:
    """Return pairs of layers that an adapter can bring together, in the order they run.

    Transformers and recurrent networks of one length are paired uniformly over their depth. For
    all others, each of the student's blocks takes the teacher's block of the nearest size, then
    of the nearest relative depth; no layer of the teacher is taken twice.

    Args:
        student: shapes by name, as `edgekd.models.layers.capturable` gives them.
        teacher: likewise.

    Example:
        >>> student = {"a.0": (8, 8, 8), "a.1": (16, 4, 4), "a.2": (10,)}
        >>> teacher = {"b.0": (9, 8, 8), "b.1": (9, 8, 8), "b.2": (9, 4, 4), "b.3": (10,)}
        >>> suggest_pairs(student, teacher)
        [('a.0', 'b.1'), ('a.1', 'b.2')]
    """
    ours, theirs = block_ends(student), block_ends(teacher)
    shapes = [student[name] for name in ours] + [teacher[name] for name in theirs]
    if not ours or not theirs:
        return []
    if len({shape[0] for shape in shapes}) == 1 and all(len(shape) == 2 for shape in shapes):
        pairs = uniform_pairs(ours, theirs)
        return list({there: (here, there) for here, there in pairs}.values())
    best: dict[str, tuple[float, int, str]] = {}
    for index, name in enumerate(ours):
        costs = [
            (_distance(student[name], teacher[other], (index + 1) / len(ours), depth), other)
            for depth, other in _with_depth(theirs)
            if _fits(student[name], teacher[other])
        ]
        if costs:
            cost, other = min(costs)
            best[other] = min(best.get(other, (math.inf, 0, "")), (cost, index, name))
    return [(name, other) for other, (_, _, name) in sorted(best.items(), key=lambda i: i[1][1])]


def _with_depth(names: Sequence[str]) -> list[tuple[float, str]]:
    return [((index + 1) / len(names), name) for index, name in enumerate(names)]


def _distance(student: Shape, teacher: Shape, here: float, there: float) -> float:
    """Return how ill two layers go together: first by kind and size, then by depth."""
    kind = 100.0 * (len(student) != len(teacher))
    size = abs(math.log2(_positions(student) / _positions(teacher)))
    return kind + 10.0 * size + abs(here - there)


def _fits(student: Shape, teacher: Shape) -> bool:
    """Say whether there is an adapter that need not make many positions out of one."""
    pooled = _positions(student) == 1 < _positions(teacher)
    return not pooled and why_not(student, teacher) is None


def _positions(shape: Shape) -> int:
    return math.prod(shape[1:]) if len(shape) > 2 else shape[0] if len(shape) == 2 else 1
