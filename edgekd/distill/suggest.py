"""Which layers can be captured, and which of them go together.

Suggestions are a start, made from names and shapes alone: ends of blocks rather than what is
inside them, at the same size and the same relative depth.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import numpy as np
import torch
from torch import nn

from edgekd.data.load import load_for_student
from edgekd.data.seen import seen_by
from edgekd.data.split import Dataset
from edgekd.distill.features import capturable
from edgekd.errors import RecipeError, RunError
from edgekd.losses.adapters import why_not
from edgekd.losses.mapping import uniform_pairs
from edgekd.models.build import build
from edgekd.recipe import ModelSpec, Recipe

Shape = tuple[int, ...]

#: Modules that only rearrange, whose output says nothing that their input did not.
_IDLE = (nn.Flatten, nn.Identity, nn.Unflatten, nn.ZeroPad2d, nn.Dropout)


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
    found: list[Layers] = []
    candidates: list[dict[str, Shape]] = []
    for spec, where in ((recipe.student, "student"), (recipe.teacher[0], "teacher[0]")):
        model, shapes = _look(spec, seen_by(dataset, spec.input, f"{where}.input"), where)
        found.append(Layers(spec.model, shapes))
        candidates.append(without_idle(model, shapes))
    return Overview(found[0], found[1], tuple(suggest_pairs(*candidates)))


def without_idle(model: nn.Module, layers: Mapping[str, Shape]) -> dict[str, Shape]:
    """Return the layers that compute something: no dropout, flattening, padding."""
    idle = {name for name, module in model.named_modules() if isinstance(module, _IDLE)}
    return {name: shape for name, shape in layers.items() if name not in idle}


def _look(spec: ModelSpec, dataset: Dataset, where: str) -> tuple[nn.Module, dict[str, Shape]]:
    with torch.random.fork_rng():
        model = build(
            spec.model,
            spec.options,
            num_classes=len(dataset.classes),
            input_shape=dataset.sample_shape,
            where=where,
        )
    count = min(2, len(dataset.splits["train"]))
    example = torch.from_numpy(dataset.normalised("train", np.arange(count)))
    return model, capturable(model, example)


def suggest_pairs(
    student: Mapping[str, Shape], teacher: Mapping[str, Shape]
) -> list[tuple[str, str]]:
    """Return pairs of layers that an adapter can bring together, in the order they run.

    Transformers and recurrent networks of one length are paired uniformly over their depth. For
    all others, each of the student's blocks takes the teacher's block of the nearest size, then
    of the nearest relative depth; no layer of the teacher is taken twice.

    Args:
        student: shapes by name, as `edgekd.distill.features.capturable` gives them.
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


def block_ends(layers: Mapping[str, Shape]) -> list[str]:
    """Return the layers that end a block or, for images, a stage.

    Blocks are the outermost modules that hold others and are numbered: ``layer2``, ``blocks.3``,
    ``stages.1``. Where a network has none, its plain layers stand in, without the last one, which
    gives the logits. Of blocks with equal height and width, and of layers with one shape, only
    the last counts.

    Args:
        layers: shapes by name, in the order they run.

    Example:
        >>> block_ends({"conv": (4, 8, 8), "layer1.0.conv1": (4, 8, 8), "layer1.0": (4, 8, 8),
        ...     "layer1": (4, 8, 8), "layer2.0.conv1": (8, 4, 4), "layer2.0": (8, 4, 4),
        ...     "layer2": (8, 4, 4), "linear": (10,)})
        ['layer1', 'layer2']
        >>> block_ends({"1": (32,), "2": (32,), "3": (10,)})
        ['2']
    """
    layers = {name: shape for name, shape in layers.items() if 1 <= len(shape) <= 3}
    parents = {name.rpartition(".")[0] for name in layers}
    numbered = [name for name in layers if name in parents and re.search(r"\d", name)]
    blocks = _outermost(numbered)
    while len(blocks) == 1:  # one module around the whole network is no block of it
        inside = f"{blocks[0]}."
        inner = _outermost([n for n in numbered if re.search(rf"^{re.escape(inside)}.*\d", n)])
        if len(inner) < 2:
            break
        blocks = inner
    if blocks:
        return _last_of_runs(blocks, {n: layers[n][1:] or n for n in blocks}, layers)
    leaves = [name for name in layers if name not in parents]
    return _last_of_runs(leaves, {name: layers[name] for name in leaves}, layers)[:-1]


def _outermost(names: Sequence[str]) -> list[str]:
    return [n for n in names if not any(n.startswith(f"{other}.") for other in names)]


def _last_of_runs(
    names: Sequence[str], keys: Mapping[str, object], layers: Mapping[str, Shape]
) -> list[str]:
    """Keep the last of neighbours with one key; sequences are all kept."""
    return [
        name
        for name, following in zip_longest(names, names[1:])
        if following is None or len(layers[name]) == 2 or keys[name] != keys[following]
    ]
