"""Layers cut down to the shapes of given weights, and what they then know of their own size."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from edgekd.errors import ModelError
from edgekd.models.shrink import shrink


def test_a_chain_of_every_kind_of_layer_becomes_the_small_one() -> None:
    def network(a: int, b: int) -> nn.Sequential:
        return nn.Sequential(
            nn.Conv2d(1, a, 3),
            nn.BatchNorm2d(a),
            nn.PReLU(a),
            nn.Conv2d(a, a, 3, groups=a),
            nn.ConvTranspose2d(a, b, 2),
            nn.InstanceNorm2d(b, affine=True),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.LayerNorm(b),
            nn.Linear(b, 3),
        )

    small, cut = network(5, 4).eval(), network(8, 6).eval()
    names = shrink(cut, small.state_dict())
    assert names == ["0", "1", "2", "3", "4", "5", "8", "9"]
    assert repr(cut) == repr(small)
    cut.load_state_dict(small.state_dict())
    x = torch.randn(2, 1, 9, 9)
    assert torch.equal(cut(x), small(x))
    assert all(parameter.requires_grad for parameter in cut.parameters())


def test_leading_values_stay_until_weights_are_loaded() -> None:
    wide = nn.Linear(4, 3)
    before = wide.weight.detach().clone()
    shrink(wide, {"weight": torch.zeros(2, 3), "bias": torch.zeros(2), "other": torch.zeros(9)})
    assert torch.equal(wide.weight, before[:2, :3])
    assert (wide.out_features, wide.in_features) == (2, 3)


def test_a_depthwise_convolution_that_gives_two_channels_for_one() -> None:
    small, cut = nn.Conv2d(3, 6, 3, groups=3), nn.Conv2d(5, 10, 3, groups=5)
    shrink(cut, small.state_dict())
    assert repr(cut) == repr(small)


def test_shared_weights_stay_shared() -> None:
    class Tied(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.words = nn.Embedding(7, width)
            self.out = nn.Linear(width, 7, bias=False)
            self.out.weight = self.words.weight

    cut = Tied(6)
    assert shrink(cut, Tied(4).state_dict()) == ["words", "out"]
    assert cut.out.weight is cut.words.weight
    assert (cut.words.embedding_dim, cut.out.in_features) == (4, 4)


def test_equal_shapes_change_nothing() -> None:
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4))
    before = copy.deepcopy(network.state_dict())
    assert shrink(network, before) == []
    assert all(torch.equal(network.state_dict()[name], value) for name, value in before.items())


@pytest.mark.parametrize(
    ("whole", "state", "message"),
    [
        (nn.Linear(2, 2), {"weight": torch.zeros(3, 2)}, r"weight is \(3, 2\), .* of \(2, 2\)"),
        (nn.Linear(2, 2), {"bias": torch.zeros(1, 1)}, r"bias is \(1, 1\), .* of \(2,\)"),
        (nn.GRU(4, 4), nn.GRU(4, 3).state_dict(), "a GRU cannot be made smaller"),
        (
            nn.Conv2d(8, 8, 3, groups=2),
            nn.Conv2d(4, 4, 3, groups=2).state_dict(),
            "a grouped convolution cannot be made smaller",
        ),
    ],
)
def test_what_cannot_be_made_smaller(
    whole: nn.Module, state: dict[str, torch.Tensor], message: str
) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        shrink(whole, state)
    assert caught.value.hint
