"""Memory layouts, and the layers whose gradient overruns its buffer on some processors."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from edgekd.distill.layout import channels_first, overruns, set_layout


@pytest.mark.parametrize(
    ("layer", "found"),
    [
        (nn.Conv2d(4, 8, 1, stride=2), True),
        (nn.Conv2d(1, 8, 1, stride=(1, 2)), True),
        (nn.Conv2d(8, 8, 1, stride=2), False),
        (nn.Conv2d(4, 8, 1), False),
        (nn.Conv2d(4, 8, 3, stride=2), False),
        (nn.Conv1d(4, 8, 1, stride=2), False),
    ],
)
def test_only_narrow_strided_pointwise_convolutions_overrun(layer: nn.Module, found: bool) -> None:
    assert overruns(layer) == found


@pytest.mark.parametrize("channels", [1, 4])
def test_they_get_their_inputs_channels_first_and_compute_the_same(channels: int) -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(channels, 8, 1, stride=2)
    x = torch.randn(3, 6, 6, channels).permute(0, 3, 1, 2)  # channels last in memory
    expected = torch.einsum("oi,nihw->nohw", layer.weight[:, :, 0, 0], x[:, :, ::2, ::2])
    expected = expected + layer.bias[:, None, None]
    strides = []
    layer.register_forward_hook(lambda _m, given, _o: strides.append(given[0].stride()))
    with channels_first([nn.Sequential(layer)]):
        assert torch.allclose(layer(x), expected, atol=1e-6)
    assert strides == [(36 * channels, 36, 6, 1)]
    assert not layer._forward_pre_hooks


def test_weights_of_the_others_lie_channels_last() -> None:
    network = nn.Sequential(nn.Conv2d(4, 8, 3), nn.Conv2d(4, 8, 1, stride=2))
    set_layout(network, torch.channels_last)
    assert network[0].weight.stride() == (36, 1, 12, 4)
    assert network[1].weight.stride() == (4, 1, 1, 1)
