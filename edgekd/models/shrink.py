"""Making the layers of a network as small as the tensors of its weights.

A pruned network has the code of the whole one and narrower layers. So it is built whole, its layers
are cut down to the shapes in the file of weights, and the weights are loaded: nothing else has to
be kept, and what pruned it is not needed again.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from edgekd.errors import ModelError

_HINT = "Were these weights pruned from the same model, options and number of classes?"


def shrink(network: nn.Module, state: Mapping[str, Tensor]) -> list[str]:
    """Cut the layers of a network down to the shapes of given tensors, in place.

    Values are the leading ones of what was there; load the tensors themselves afterwards. A tensor
    that two modules share stays shared.

    Args:
        network: the whole network.
        state: the tensors of the pruned one, by their names in the state dict; names that the
            network has not got, and those that ``state`` lacks, are passed over.

    Returns:
        the names of the modules that became smaller.

    Raises:
        ModelError: a tensor is larger than the network's or has other axes, or the kind of layer
            cannot be made smaller.
    """
    done: dict[int, nn.Parameter] = {}
    smaller = []
    for name, module in network.named_modules():
        cut = {
            key: tensor
            for key, tensor in [*module._parameters.items(), *module._buffers.items()]
            if tensor is not None and _shape(state, name, key, tensor) != tensor.shape
        }
        for key, tensor in cut.items():
            part = tensor.detach()[tuple(slice(n) for n in _shape(state, name, key, tensor))]
            if isinstance(tensor, nn.Parameter):
                fresh = nn.Parameter(part.clone(), requires_grad=tensor.requires_grad)
                module._parameters[key] = done.setdefault(id(tensor), fresh)
            else:
                module._buffers[key] = part.clone()
        if cut:
            _resize(name, module, {key: tensor.shape for key, tensor in cut.items()})
            smaller.append(name)
    return smaller


def _shape(state: Mapping[str, Tensor], name: str, key: str, tensor: Tensor) -> torch.Size:
    """Return the shape that a tensor is to have."""
    full = f"{name}.{key}".lstrip(".")
    wanted = state[full].shape if full in state else tensor.shape
    if len(wanted) != tensor.ndim or any(
        want > have for want, have in zip(wanted, tensor.shape, strict=True)
    ):
        raise ModelError(
            f"{full} is {tuple(wanted)}, which cannot be a part of {tuple(tensor.shape)}",
            hint=_HINT,
        )
    return wanted


def _resize(name: str, module: nn.Module, before: Mapping[str, torch.Size]) -> None:
    """Set what a layer knows of its own size, after its tensors were cut."""
    if isinstance(module, _ConvNd):
        _resize_convolution(name, module, before)
    elif isinstance(module, nn.Linear):
        module.out_features, module.in_features = module.weight.shape
    elif isinstance(module, _NormBase):
        tensors = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
        module.num_features = next(len(tensor) for tensor in tensors if tensor.ndim)
    elif isinstance(module, nn.LayerNorm):
        module.normalized_shape = tuple(module.weight.shape)
    elif isinstance(module, nn.PReLU):
        module.num_parameters = len(module.weight)
    elif isinstance(module, nn.Embedding):
        module.num_embeddings, module.embedding_dim = module.weight.shape
    elif type(module).__module__.startswith("torch.nn"):
        raise ModelError(f"{name}: a {type(module).__name__} cannot be made smaller", hint=_HINT)


def _resize_convolution(name: str, module: _ConvNd, before: Mapping[str, torch.Size]) -> None:
    """Read channels and groups off the weights: (out, in / groups, ...), transposed (in, out)."""
    first, second = module.weight.shape[:2]
    if module.groups == 1:
        swapped = isinstance(module, _ConvTransposeNd)
        module.in_channels, module.out_channels = (first, second) if swapped else (second, first)
        return
    depthwise = module.groups == module.in_channels and not isinstance(module, _ConvTransposeNd)
    each = module.out_channels // module.groups
    if not depthwise or before.get("weight", module.weight.shape)[1] != second or first % each:
        raise ModelError(f"{name}: a grouped convolution cannot be made smaller", hint=_HINT)
    module.out_channels = first
    module.groups = module.in_channels = first // each
