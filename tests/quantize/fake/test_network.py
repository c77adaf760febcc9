"""A network with fake quantization: its ranges, its modes, its file."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from edgekd.errors import ModelError
from edgekd.models.build import build
from edgekd.models.weights import save_weights
from edgekd.quantize.fake.learned import learned_ranges
from edgekd.quantize.fake.network import FakeQuantized
from edgekd.quantize.fake.restore import load_quantized
from edgekd.recipe import QuantizeSpec


@pytest.fixture
def resnet() -> nn.Module:
    torch.manual_seed(0)
    network = build(
        "resnet8", {"width": 0.25}, num_classes=10, input_shape=(1, 8, 8), where="student"
    )
    return network.eval()


@pytest.fixture
def inputs() -> Tensor:
    return torch.from_numpy(np.random.default_rng(0).normal(size=(40, 1, 8, 8))).float()


def test_ranges_are_those_of_the_float_network(resnet: nn.Module, inputs: Tensor) -> None:
    found = FakeQuantized(resnet, inputs[:2], equalize=False)
    found.calibrate(inputs.split(16))
    seen: dict[str, Tensor] = {}
    handles = [
        resnet.get_submodule(name).register_forward_hook(
            lambda _m, _i, output, name=name: seen.__setitem__(name, output)
        )
        for name in ("layer1.0", "layer3.0", "linear")
    ]
    with torch.no_grad():
        resnet(inputs)
    for handle in handles:
        handle.remove()
    assert found.low[0] == inputs.min() and found.high[0] == inputs.max()
    highs = found.high.tolist()
    for output in seen.values():
        assert any(abs(high - output.max().item()) < 1e-4 * abs(high) for high in highs)
    assert found.low[-1].item() == pytest.approx(seen["linear"].min().item(), rel=1e-4)


def test_outputs_are_near_and_on_a_grid(resnet: nn.Module, inputs: Tensor) -> None:
    found = FakeQuantized(resnet, inputs[:2]).eval()
    found.calibrate([inputs])
    with torch.no_grad():
        expected, given = resnet(inputs), found(inputs)
        noise = ((given - expected) ** 2).sum() / (expected**2).sum()
        assert 10 * torch.log10(noise) < -20.0
        steps = given / ((found.high[-1] - found.low[-1]) / 255)
        assert torch.allclose(steps, steps.round(), atol=1e-2)
        with found.acting("nothing"):
            torch.testing.assert_close(found(inputs), expected, rtol=1e-4, atol=1e-4)


def test_ranges_follow_until_they_stand_still(resnet: nn.Module, inputs: Tensor) -> None:
    found = FakeQuantized(resnet, inputs[:2], freeze=0.5)
    found.calibrate([inputs])
    start = found.high.clone()
    found.eval()
    found(inputs * 3)
    assert torch.equal(found.high, start)
    found.train()
    found.set_progress(0.4)
    found(inputs * 3)
    # A moving average of 0.05, towards 3 times the largest input.
    assert found.high[0].item() == pytest.approx(start[0].item() * (0.95 + 0.05 * 3), rel=1e-5)
    moved = found.high.clone()
    found.set_progress(0.5)
    found(inputs * 9)
    assert torch.equal(found.high, moved)


def test_every_weight_gets_a_gradient(resnet: nn.Module, inputs: Tensor) -> None:
    found = FakeQuantized(resnet, inputs[:2]).train()
    found.calibrate([inputs])
    found(inputs).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in found.parameters())
    assert all(p.grad is None for p in resnet.parameters())


def test_batchnorm_that_stays_keeps_its_statistics() -> None:
    network = nn.Sequential(nn.ReLU(), nn.BatchNorm1d(4), nn.Linear(4, 2)).eval()
    found = FakeQuantized(network, torch.zeros(2, 4)).train()
    assert found.folded == 0
    found(torch.randn(8, 4))
    norm = found.network.get_submodule("1")
    assert not norm.training and torch.equal(norm.get_buffer("running_mean"), torch.zeros(4))


def test_another_way_while_training_is_refused() -> None:
    class Fickle(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.linear(x)
            return y.sigmoid() if self.training else y

    found = FakeQuantized(Fickle().eval(), torch.zeros(2, 4)).train()
    with pytest.raises(ModelError, match=r"takes another way .* 'sigmoid'"):
        found(torch.zeros(2, 4))


def test_a_copy_and_a_file_compute_the_same(
    resnet: nn.Module, inputs: Tensor, tmp_path: Path
) -> None:
    found = FakeQuantized(resnet, inputs[:2]).eval()
    found.calibrate([inputs])
    save_weights(found, tmp_path / "qat.safetensors")
    spec = QuantizeSpec(qat=True)
    other = build("resnet8", {"width": 0.25}, num_classes=10, input_shape=(1, 8, 8), where="s")
    again = load_quantized(other, tmp_path / "qat.safetensors", spec, (1, 8, 8))
    with torch.no_grad():
        expected = found(inputs)
        assert torch.equal(again(inputs), expected)
        assert torch.equal(copy.deepcopy(found)(inputs), expected)


class TestLearnedRanges:
    def test_tensors_are_known_by_their_values(self, resnet: nn.Module, inputs: Tensor) -> None:
        found = FakeQuantized(resnet, inputs[:2]).eval()
        found.calibrate([inputs])
        low, high = found.low.clone(), found.high.clone()
        found.low *= 0.5
        found.high *= 0.75
        ranges = learned_ranges(found, [inputs])
        learned = ranges.instead_of(low[3].item() * (1 + 1e-6), high[3].item())
        assert learned == pytest.approx((low[3].item() * 0.5, high[3].item() * 0.75), rel=1e-5)
        assert torch.equal(found.high, high * 0.75)  # looking changes nothing

    def test_others_keep_theirs(self, resnet: nn.Module, inputs: Tensor) -> None:
        found = FakeQuantized(resnet, inputs[:2]).eval()
        found.calibrate([inputs])
        ranges = learned_ranges(found, [inputs])
        high = found.high[3].item()
        given = {"a": (0.0, high), "b": (-0.123, 4.567)}
        assert ranges.applied(given)["b"] == (-0.123, 4.567)
        assert ranges.instead_of(0.0, high * 1.01) is None
