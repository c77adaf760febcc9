"""The layers of a network: which give tensors as it runs, and which of them end its blocks."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any

import torch
from torch import Tensor, nn

from edgekd.models.modes import evaluating

Shape = tuple[int, ...]

#: Modules that only rearrange, whose output says nothing that their input did not.
_IDLE = (nn.Flatten, nn.Identity, nn.Unflatten, nn.ZeroPad2d, nn.Dropout)


def capturable(model: nn.Module, example: Tensor) -> dict[str, tuple[int, ...]]:
    """Return every module that ran and gave tensors, with their shapes without the batch axis.

    A module with several outputs stands there once for each, as ``name[1]``.

    Args:
        model: the network; its mode is put back.
        example: (N, *sample_shape).
    """
    found: dict[str, tuple[int, ...]] = {}
    handles = []

    def keep(name: str) -> Any:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            if isinstance(output, Tensor):
                found[name] = tuple(output.shape[1:])
            elif isinstance(output, tuple | list):
                found.update(
                    (f"{name}[{index}]", tuple(value.shape[1:]))
                    for index, value in enumerate(output)
                    if isinstance(value, Tensor)
                )

        return hook

    try:
        for name, module in model.named_modules():
            if name:
                handles.append(module.register_forward_hook(keep(name)))
        with evaluating(model), torch.no_grad():
            model(example)
    finally:
        for handle in handles:
            handle.remove()
    return found


def without_idle(model: nn.Module, layers: Mapping[str, Shape]) -> dict[str, Shape]:
    """Return the layers that compute something: no dropout, flattening, padding."""
    idle = {name for name, module in model.named_modules() if isinstance(module, _IDLE)}
    return {name: shape for name, shape in layers.items() if name not in idle}


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
