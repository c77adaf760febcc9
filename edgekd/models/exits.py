"""Early exits: classifiers on what a network computes on the way.

S. Teerapittayanon, B. McDanel, H. Kung, "BranchyNet: Fast Inference via Early Exiting from Deep
Neural Networks", ICPR 2016, https://arxiv.org/abs/1709.01686.

A network keeps its forward pass and its final logits. The exits are modules of it, ``exits.0``,
``exits.1``, ..., that a forward hook on the module before them feeds, so that losses capture their
logits as they capture any layer, and the weights stand in the network's own file.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from edgekd.errors import ModelError, UnknownNameError
from edgekd.models.modes import evaluating

#: What the exits are called in the network.
NAME = "exits"

Head = Literal["linear", "conv"]

_HINT = "Its exits need layers of shape (D,), (L, D) or (C, H, W): edgekd layers"


class Exits(nn.ModuleList):
    """The exits of a network, in the order they stand in it.

    Args:
        heads: one an exit, from what its module gives to logits (N, num_classes).
        at: the names of those modules.
    """

    def __init__(self, heads: Sequence[nn.Module], at: Sequence[str]) -> None:
        """Register the heads."""
        super().__init__(heads)
        self.at = tuple(at)

    def forward(self, x: Tensor) -> Tensor:
        """Return what is given: a network that is an `nn.Sequential` runs all its parts in turn."""
        return x


class Pooled(nn.Module):
    """The mean over all positions: (N, D), (N, L, D) or (N, C, ...) becomes (N, D) or (N, C)."""

    def forward(self, x: Tensor) -> Tensor:
        """Return one vector a sample."""
        if x.ndim == 3:
            x = x.transpose(1, 2).unsqueeze(-1)  # tokens are positions, too
        # Not mean((2, 3)): converters have an operator for this one.
        return x if x.ndim == 2 else nn.functional.adaptive_avg_pool2d(x, 1).flatten(1)


class _Tap:
    """A forward hook that hands what a module gives to the head of an exit.

    An object, not a closure: a deep copy of the network gets taps on its own heads.
    """

    def __init__(self, head: nn.Module) -> None:
        self.head = head

    def __call__(self, _module: nn.Module, _inputs: Any, output: Any) -> None:
        self.head(first(output))


def first(output: Any) -> Any:
    """Return what a module gives; of several outputs the first."""
    return output[0] if isinstance(output, tuple | list) else output


def add_exits(
    model: nn.Module,
    at: Sequence[str],
    head: Head = "linear",
    *,
    num_classes: int,
    input_shape: tuple[int, ...],
) -> nn.Module:
    """Give a network exits, in place.

    ``linear`` is pooling and a linear layer. ``conv`` puts a depthwise separable convolution of
    stride 2 to twice the channels before it, each half of it with BatchNorm and ReLU: the exits of
    "Be Your Own Teacher" (Zhang et al. 2019, https://arxiv.org/abs/1905.08094) shrink their
    features so before they classify.

    Args:
        model: gives logits (N, num_classes).
        at: names of its modules, as in ``model.named_modules()``, in the order they run.
        head: ``linear`` or ``conv``.
        num_classes: length of the logits.
        input_shape: the shape of one sample.

    Returns:
        The network.

    Raises:
        UnknownNameError: there is no such module.
        ModelError: a module does not run before the logits, gives no features that a head takes,
            or the network has something called ``exits`` already.
    """
    if hasattr(model, NAME):
        raise ModelError(
            f"student.exits: the network has a part called {NAME!r} already",
            hint="Rename that part of it.",
        )
    shapes = _shapes(model, at, input_shape)
    if list(shapes) != list(at):
        raise ModelError(
            f"student.exits.at: the layers run in another order: {', '.join(shapes)}",
            hint="Name each once, in the order they run.",
        )
    heads = [_head(head, shape, num_classes, name) for name, shape in shapes.items()]
    model.add_module(NAME, Exits(heads, at))
    for name, module in zip(at, heads, strict=True):
        model.get_submodule(name).register_forward_hook(_Tap(module))
    return model


def exits_of(model: nn.Module) -> tuple[str, ...]:
    """Return the names of the modules after which a network has an exit; none: it has none."""
    found = getattr(model, NAME, None)
    return found.at if isinstance(found, Exits) else ()


def without_exits(model: nn.Module) -> nn.Module:
    """Return a network without its exits: a copy, or itself where it has none."""
    if not exits_of(model):
        return model
    plain = copy.deepcopy(model)
    delattr(plain, NAME)
    for module in plain.modules():
        for key, hook in list(module._forward_hooks.items()):
            if isinstance(hook, _Tap):
                del module._forward_hooks[key]
    return plain


def _head(kind: Head, shape: tuple[int, ...], num_classes: int, name: str) -> nn.Module:
    if len(shape) not in (1, 2, 3) or (kind == "conv" and len(shape) != 3):
        wanted = "maps (C, H, W)" if kind == "conv" else "vectors, tokens or maps"
        raise ModelError(
            f"student.exits.at: {name!r} gives {shape} for a sample; a {kind} head takes {wanted}",
            hint=_HINT,
        )
    channels = shape[-1] if len(shape) < 3 else shape[0]
    if kind == "linear":
        return nn.Sequential(Pooled(), nn.Linear(channels, num_classes))
    return nn.Sequential(
        nn.Conv2d(channels, channels, 3, 2, padding=1, groups=channels, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
        nn.Conv2d(channels, 2 * channels, 1, bias=False),
        nn.BatchNorm2d(2 * channels),
        nn.ReLU(),
        Pooled(),
        nn.Linear(2 * channels, num_classes),
    )


def _shapes(
    model: nn.Module, at: Sequence[str], input_shape: tuple[int, ...]
) -> dict[str, tuple[int, ...]]:
    """Run two samples; return what the modules give without the batch axis, as they run."""
    modules = {name: module for name, module in model.named_modules() if name}
    found: dict[str, tuple[Tensor, int]] = {}
    handles = []

    def keep(name: str) -> Any:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            output = first(output)
            if name in found or not isinstance(output, Tensor):
                raise ModelError(
                    f"student.exits.at: {name!r} runs twice, or gives no tensor",
                    hint="Choose a layer that runs once: edgekd layers",
                )
            found[name] = (output, output._version)

        return hook

    try:
        for name in at:
            if name not in modules:
                raise UnknownNameError("layer of the student", name, modules)
            handles.append(modules[name].register_forward_hook(keep(name)))
        with evaluating(model), torch.no_grad():
            model(torch.zeros(2, *input_shape))
    finally:
        for handle in handles:
            handle.remove()
    for name in at:
        _check_ran(name, found.get(name))
    return {name: tuple(value.shape[1:]) for name, (value, _) in found.items()}


def _check_ran(name: str, kept: tuple[Tensor, int] | None) -> None:
    if kept is None:
        raise ModelError(
            f"student.exits.at: the layer {name!r} does not run in a forward pass",
            hint="Choose a layer that every forward pass goes through: edgekd layers",
        )
    value, version = kept
    if value._version != version:
        # The head's gradient would be that of other numbers.
        raise ModelError(
            f"student.exits.at: the network changes what {name!r} gives in place",
            hint="Choose the layer after it, or take the inplace=True out.",
        )
