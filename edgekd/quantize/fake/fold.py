"""Folding BatchNorm into convolutions and linear layers in place, so that every name stays.

As in a converted file: the weights that are rounded are those after folding. A folded network
has no batch statistics, which is training with frozen ones from the first step on.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edgekd.quantize.fake.calls import CHANNEL_AXIS, Call, calls_of

_Norm = nn.modules.batchnorm._BatchNorm


def fold(network: nn.Module, example: Tensor) -> int:
    """Fold every BatchNorm that is all that follows a layer, and leave `nn.Identity` for it.

    Args:
        network: changed in place; must be in eval mode.
        example: (N, *sample_shape).

    Returns:
        How many were folded.
    """
    calls = calls_of(network, example)
    owners = {
        id(tensor): module
        for module in network.modules()
        for tensor in (*module._parameters.values(), *module._buffers.values())
        if tensor is not None
    }
    used = [id(tensor) for call in calls for tensor in call.tensors]
    folded = 0
    for call in calls:
        after = call.alone
        if call.name not in CHANNEL_AXIS or after is None or after.name != "batch_norm":
            continue
        layer, norm = _owner(call, owners), _owner(after, owners)
        if layer is None or not isinstance(norm, _Norm) or norm.running_mean is None:
            continue  # functional
        weight = layer._parameters.get("weight")
        axis = CHANNEL_AXIS[call.name]
        if weight is None or used.count(id(weight)) != 1:
            continue  # it runs several times, or its weight is computed
        if weight.shape[axis] != norm.num_features:
            continue  # a transposed convolution in groups
        _into(layer, norm, axis)
        _replace(network, norm)
        folded += 1
    return folded


def _owner(call: Call, owners: dict[int, nn.Module]) -> nn.Module | None:
    found = [owners[id(tensor)] for tensor in call.tensors if id(tensor) in owners]
    return found[0] if found else None


def _into(layer: nn.Module, norm: _Norm, axis: int) -> None:
    """Scale and shift what a layer gives by what BatchNorm would do to it in eval mode."""
    weight, bias = layer.get_parameter("weight"), layer.bias
    mean, variance = norm.get_buffer("running_mean"), norm.get_buffer("running_var")
    with torch.no_grad():
        factor = torch.rsqrt(variance + norm.eps)
        if norm.affine:
            factor = factor * norm.weight
        shift = -mean if not isinstance(bias, Tensor) else bias - mean
        shift = shift * factor
        if norm.affine:
            shift = shift + norm.bias
        along = [-1 if other == axis else 1 for other in range(weight.ndim)]
        layer.weight = nn.Parameter(weight * factor.reshape(along))
        layer.bias = nn.Parameter(shift)


def _replace(network: nn.Module, gone: nn.Module) -> None:
    for parent in list(network.modules()):
        for name, child in parent.named_children():
            if child is gone:
                setattr(parent, name, nn.Identity())
