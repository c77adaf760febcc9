"""Cross-layer equalization: channels of like size, for the same function.

M. Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction", 2019,
https://arxiv.org/abs/1906.04721. Between two layers with nothing or a ReLU in between, a channel
may leave the first ``s`` times smaller and enter the second ``s`` times larger. One scale then
serves all channels of a tensor better. Here every ``s`` is a power of two, so that in float32 the
network computes the same bits as before.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from edgekd.quantize.fake.calls import Call, calls_of

_LAYERS = (nn.Conv1d, nn.Conv2d, nn.Linear)
_SWEEPS = 20


@dataclass(frozen=True)
class Pair:
    """Two layers, the second of which alone takes what the first gives.

    Attributes:
        first: gives the channels.
        second: takes them; a depthwise convolution hands each on by itself.
    """

    first: nn.Module
    second: nn.Module


def equalize(network: nn.Module, example: Tensor) -> int:
    """Make the channels between layers alike in size, in place.

    Args:
        network: in eval mode, BatchNorm folded.
        example: (N, *sample_shape).

    Returns:
        The number of pairs of layers.
    """
    pairs = pairs_in(network, example)
    for _ in range(_SWEEPS):  # a chain of depthwise layers takes several
        if not any([_equalize(pair) for pair in pairs]):
            break
    return len(pairs)


def pairs_in(network: nn.Module, example: Tensor) -> list[Pair]:
    """Return the pairs of layers between which channels may be scaled.

    Args:
        network: in eval mode, BatchNorm folded.
        example: (N, *sample_shape).
    """
    calls = calls_of(network, example)
    layers: dict[int, nn.Module] = {
        id(m.weight): m for m in network.modules() if isinstance(m, _LAYERS)
    }
    used = [id(tensor) for call in calls for tensor in call.tensors]
    found = []
    for call in calls:
        after = call.alone
        if after is not None and after.name == "relu":
            after = after.alone
        if after is None:
            continue
        first, second = _layer(call, layers), _layer(after, layers)
        if first is None or second is None or not _fit(first, second):
            continue
        if all(used.count(id(layer.weight)) == 1 for layer in (first, second)):
            found.append(Pair(first, second))
    return found


def _layer(call: Call, layers: dict[int, nn.Module]) -> nn.Module | None:
    return next((layers[id(one)] for one in call.tensors if id(one) in layers), None)


def _fit(first: nn.Module, second: nn.Module) -> bool:
    """Say whether the channels of one are those of the other, one by one."""
    if isinstance(first, nn.Linear) or isinstance(second, nn.Linear):
        both = isinstance(first, nn.Linear) and isinstance(second, nn.Linear)
        return both and first.out_features == second.in_features
    groups = getattr(second, "groups", 1)
    whole = groups in (1, _size(second.weight, 0)) and getattr(first, "groups", 1) in (
        1,
        _size(first.weight, 0),
    )
    return whole and _size(first.weight, 0) == getattr(second, "in_channels", 0)


def _size(weight: Tensor | nn.Module, axis: int) -> int:
    return weight.shape[axis] if isinstance(weight, Tensor) else 0


def _equalize(pair: Pair) -> bool:
    """Scale the channels of one pair; say whether any changed."""
    weight, after = pair.first.weight, pair.second.weight
    if not isinstance(weight, Tensor) or not isinstance(after, Tensor):
        return False
    each = getattr(pair.second, "groups", 1) != 1
    axis = 0 if each else 1
    with torch.no_grad():
        given = weight.abs().flatten(1).amax(1)
        taken = after.abs().amax([other for other in range(after.ndim) if other != axis])
        scale = torch.exp2((0.5 * torch.log2(given / taken)).round())
        scale = torch.where((given > 0) & (taken > 0), scale, 1.0)  # a dead channel stays
        weight.div_(scale.reshape(-1, *[1] * (weight.ndim - 1)))
        if isinstance(pair.first.bias, Tensor):
            pair.first.bias.div_(scale)
        after.mul_(scale.reshape([-1 if other == axis else 1 for other in range(after.ndim)]))
    return bool((scale != 1.0).any())
