"""What a channel is worth, told by the weights of all layers that give or read it.

Each layer's weights are added up channel by channel, and the layers averaged, as in G. Fang et al.,
"DepGraph: Towards Any Structural Pruning", CVPR 2023, https://arxiv.org/abs/2301.12900:

- ``l1``, ``l2``: their absolute values, or their squares (H. Li et al., "Pruning Filters for
  Efficient ConvNets", ICLR 2017, https://arxiv.org/abs/1608.08710);
- ``bn``: the scales of BatchNorm alone (Z. Liu et al., "Learning Efficient Convolutional Networks
  through Network Slimming", ICCV 2017, https://arxiv.org/abs/1708.06519); ``l1`` where there is
  none;
- ``taylor``: how much a loss would change to first order, squared (P. Molchanov et al.,
  "Importance Estimation for Neural Network Pruning", CVPR 2019,
  https://arxiv.org/abs/1906.10771).
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from edgekd.errors import ModelError
from edgekd.models.prunable import Group, Member

Criterion = Literal["l1", "l2", "bn", "taylor"]


def worth(network: nn.Module, group: Group, criterion: Criterion) -> Tensor:
    """Return the importance of every channel of a group, (channels,) float64, of mean 1.

    Args:
        network: what the group is of; for ``taylor`` with the gradients of a loss.
        group: channels that go together.
        criterion: see above.

    Raises:
        ModelError: ``taylor`` without gradients.
    """
    kinds: tuple[type[nn.Module], ...] = (_ConvNd, nn.Linear, _BatchNorm)
    norms = [m for m in group.members if isinstance(network.get_submodule(m.layer), _BatchNorm)]
    if criterion == "bn":
        kinds, criterion = ((_BatchNorm,) if norms else kinds), "l1"
    layers = [m for m in group.members if isinstance(network.get_submodule(m.layer), kinds)]
    total = torch.zeros(group.channels, dtype=torch.float64)
    for member in layers:
        values = _values(network, member, criterion)
        total.index_add_(0, torch.tensor(member.channels), values / len(layers))
    return total / total.mean().clamp_min(torch.finfo(total.dtype).tiny)


def _values(network: nn.Module, member: Member, criterion: str) -> Tensor:
    """Return what a layer's weights say of the channels that it gives or reads."""
    weight = network.get_parameter(f"{member.layer}.weight")
    values = weight.detach()
    if criterion == "taylor":
        if weight.grad is None:
            raise ModelError(
                f"taylor: {member.layer} has no gradient", hint="Compute a loss and its gradients."
            )
        values = values * weight.grad
    rows = values.double().cpu().movedim(member.axis, 0).flatten(1 if values.ndim > 1 else 0)
    rows = rows[list(member.indices)].reshape(len(member.indices), -1)
    if criterion == "taylor":
        return rows.sum(1).square()
    return rows.square().sum(1) if criterion == "l2" else rows.abs().sum(1)
