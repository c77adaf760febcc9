"""Folding and equalization change no output, and what they leave behind is what they promise."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from edgekd.models.build import build
from edgekd.quantize.fake.equalize import equalize, pairs_in
from edgekd.quantize.fake.fold import fold

Norm = nn.modules.batchnorm._BatchNorm

IMAGES = ("resnet8", "resnet20", "mobilenetv2", "ds-cnn", "conv1d", "vit", "gru", "mlp")


def trained(network: nn.Module) -> nn.Module:
    """Give BatchNorm statistics that are not 0 and 1."""
    torch.manual_seed(1)
    for module in network.modules():
        if isinstance(module, Norm) and module.running_mean is not None:
            assert module.running_var is not None
            nn.init.normal_(module.running_mean, std=0.3)
            nn.init.uniform_(module.running_var, 0.3, 3.0)
            nn.init.uniform_(module.weight, 0.5, 2.0)
            nn.init.normal_(module.bias, std=0.3)
    return network.eval()


def made(name: str) -> nn.Module:
    torch.manual_seed(0)
    options = {"width": 0.25} if name.startswith("resnet") else {}
    return trained(build(name, options, num_classes=10, input_shape=(1, 8, 8), where="student"))


@pytest.mark.parametrize("name", IMAGES)
def test_the_function_stays(name: str) -> None:
    network, inputs = made(name), torch.randn(4, 1, 8, 8)
    changed = copy.deepcopy(network)
    folded = fold(changed, inputs[:2])
    norms = sum(isinstance(module, Norm) for module in network.modules())
    left = sum(isinstance(module, Norm) for module in changed.modules())
    assert folded == norms - left
    if name in ("resnet8", "resnet20", "mobilenetv2", "ds-cnn"):
        assert norms and not left
    assert [n for n, _ in changed.named_modules()] == [n for n, _ in network.named_modules()]
    with torch.no_grad():
        expected, folded_out = network(inputs), changed(inputs)
        torch.testing.assert_close(folded_out, expected, rtol=1e-4, atol=1e-4)
        equalize(changed, inputs[:2])
        # Powers of two: the same bits, wherever sums are added up in the same order.
        torch.testing.assert_close(changed(inputs), folded_out, rtol=1e-6, atol=1e-6)


class Chain(nn.Module):
    """A convolution, a depthwise one, a pointwise one, then ReLU6, which nothing passes."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 6, 3)
        self.depthwise = nn.Conv2d(6, 6, 3, groups=6)
        self.pointwise = nn.Conv2d(6, 5, 1)
        self.last = nn.Conv2d(5, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.depthwise(torch.relu(self.first(x))))
        return self.last(nn.functional.relu6(self.pointwise(y)))


def test_channels_become_alike() -> None:
    torch.manual_seed(0)
    network, inputs = Chain().eval(), torch.randn(3, 1, 8, 8)
    with torch.no_grad():
        sizes = 2.0 ** torch.tensor([0.0, 3.0, 8.0, 1.0, 6.0, 2.0])
        network.first.weight *= sizes.reshape(-1, 1, 1, 1)
        network.first.bias *= sizes
        network.pointwise.weight /= sizes.reshape(1, -1, 1, 1)
        before = network(inputs)
        found = equalize(network, inputs[:2])
        assert torch.equal(network(inputs), before)
    assert found == 2
    given = network.first.weight.abs().flatten(1).amax(1)
    between = network.depthwise.weight.abs().flatten(1).amax(1)
    taken = network.pointwise.weight.abs().amax((0, 2, 3))
    # Rounded to a power of two, both ends of a channel are within a factor of 2.
    for one, other in ((given, between), (between, taken)):
        ratio = one / other
        assert ratio.max() <= 2.001 and ratio.min() >= 0.499


def test_what_is_read_twice_is_no_pair() -> None:
    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Conv2d(2, 2, 1), nn.Conv2d(2, 2, 1)

        def forward(self, x: Tensor) -> Tensor:
            y = self.a(x)
            return self.b(y) + y

    assert pairs_in(Residual().eval(), torch.zeros(2, 2, 4, 4)) == []


def test_a_layer_that_runs_twice_is_left_alone() -> None:
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2)

        def forward(self, x: Tensor) -> Tensor:
            return self.norm(self.conv(self.conv(x)))

    network = trained(Shared())
    assert fold(network, torch.zeros(2, 2, 4, 4)) == 0
    assert isinstance(network.get_submodule("norm"), nn.BatchNorm2d)
