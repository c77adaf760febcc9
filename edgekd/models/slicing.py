"""The leading channels of a wider network's tensors, for a narrower one.

Leading slices fit one another along a chain: the first outputs of one layer are the first inputs
of the next, whatever stands between them channel by channel (BatchNorm, activations, depthwise
convolutions, a shortcut that adds). They do not where channels are regrouped on the way: heads of
attention of another size, grouped convolutions, concatenations. There, and because the sums now
lack terms, a sliced network is a start and no solution.

Choosing channels by their norm instead (H. Li et al., "Pruning Filters for Efficient ConvNets",
ICLR 2017) needs the same choice on both sides of every shortcut, so a map of the whole graph.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

#: Modules whose first axis stacks several matrices, and how many.
_STACKED: tuple[tuple[type[nn.Module], int], ...] = (
    (nn.GRU, 3),
    (nn.LSTM, 4),
    (nn.RNN, 1),
    (nn.MultiheadAttention, 3),
)


def leading(network: nn.Module, name: str, wider: Tensor) -> Tensor | None:
    """Return the leading part of a wider tensor that fits a tensor of a network.

    Channels are the first two axes of linear and convolution weights and of recurrent ones (gate
    by gate), and the last axis of everything else: norms with their statistics, embeddings,
    positions. All other axes have to be equal.

    Args:
        network: the narrower network.
        name: of the tensor in its state dict.
        wider: the tensor to slice.

    Returns:
        a view of ``wider``; None where its other axes differ, or it is narrower.
    """
    target = network.state_dict(keep_vars=True)[name].shape
    owner = network.get_submodule(name.rpartition(".")[0])
    if wider.ndim != len(target) or any(
        have < want for have, want in zip(wider.shape, target, strict=True)
    ):
        return None
    stacked = next((count for kind, count in _STACKED if isinstance(owner, kind)), None)
    channels = {0, 1} if stacked or isinstance(owner, nn.Linear | _ConvNd) else {wider.ndim - 1}
    if isinstance(owner, _ConvNd) and owner.groups > 1 and wider.shape[1:2] not in ((), (1,)):
        return None
    pairs = enumerate(zip(wider.shape, target, strict=True))
    if any(have != want for axis, (have, want) in pairs if axis not in channels):
        return None
    if stacked is None:
        return wider[tuple(slice(want) for want in target)]
    rest = tuple(slice(want) for want in target[1:])
    parts = torch.unflatten(wider, 0, (stacked, -1))
    return parts[(slice(None), slice(target[0] // stacked), *rest)].flatten(0, 1)
