"""Which layers of a student learn, and keeping the others still."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from torch import nn

from edgekd.errors import RecipeError, UnknownNameError
from edgekd.recipe import StageSpec


def frozen_layers(student: nn.Module, spec: StageSpec, where: str) -> list[str]:
    """Return the names of all modules and parameters that a stage leaves as they are.

    Args:
        student: the network.
        spec: the stage.
        where: its key path.

    Raises:
        RecipeError: a name is no module or parameter; the closest are named.
    """
    names = [name for name, _ in student.named_modules() if name]
    names += [name for name, _ in student.named_parameters()]
    faults = []
    for key in ("freeze", "only"):
        for name in getattr(spec, key):
            if name not in names:
                error = UnknownNameError("layer of the student", name, names)
                faults.append(f"{key}: {error.message}. {error.hint}")
    if faults:
        raise RecipeError(where, faults, hint="What there is: edgekd layers RECIPE")
    if spec.only:
        # What holds a learning layer is not still itself.
        return [
            name
            for name in names
            if not any(_inside(name, part) or _inside(part, name) for part in spec.only)
        ]
    return [name for name in names if _named(name, spec.freeze)]


def _inside(name: str, part: str) -> bool:
    """Say whether a name is a part of the network or inside it.

    >>> _inside("layer1.conv", "layer1"), _inside("layer10.conv", "layer1")
    (True, False)
    """
    return name == part or name.startswith(f"{part}.")


def _named(name: str, parts: Sequence[str]) -> bool:
    return any(_inside(name, part) for part in parts)


@contextmanager
def frozen(student: nn.Module, names: Sequence[str]) -> Iterator[None]:
    """Keep parameters from learning, and give back afterwards which of them learned before.

    Args:
        student: the network.
        names: of modules and parameters; modules are kept in eval mode by the loop.
    """
    still = [
        parameter
        for name, parameter in student.named_parameters()
        if name in names and parameter.requires_grad
    ]
    for parameter in still:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in still:
            parameter.requires_grad_(True)


def set_still(student: nn.Module, names: Sequence[str]) -> None:
    """Put frozen modules in eval mode: BatchNorm keeps its statistics, dropout is off."""
    modules = dict(student.named_modules())
    for name in names:
        if name in modules:
            modules[name].training = False
