"""Channels taken out of networks, held against the same done by hand."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from edgekd.errors import ModelError
from edgekd.models.build import build
from edgekd.models.count import macs
from edgekd.models.prunable import FIXED, MIXED, OUTPUT
from edgekd.models.prune import KEPT, prune
from edgekd.models.shrink import shrink

pytest.importorskip("torch_pruning")

IMAGE = (1, 8, 8)


def network(name: str, shape: tuple[int, ...] = IMAGE, **options: Any) -> nn.Module:
    torch.manual_seed(0)
    return lively(build(name, options, num_classes=5, input_shape=shape))


def lively(model: nn.Module) -> nn.Module:
    """Give BatchNorm statistics and scales that a trained network might have."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            assert module.running_mean is not None and module.running_var is not None
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2.0)
            nn.init.uniform_(module.weight, 0.2, 2.0)
            nn.init.normal_(module.bias)
    return model.eval()


def two_layers() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Conv2d(4, 2, 3),
        nn.Flatten(),
        nn.Linear(2 * 4 * 4, 3),
    )


def test_two_layers_by_hand() -> None:
    model = lively(two_layers())
    with torch.no_grad():
        for channel, scale in enumerate((3.0, 0.1, 2.0, 0.2)):  # 1 and 3 are worth least
            model[0].weight[channel].fill_(scale)
            model[1].weight[channel] = scale
            model[3].weight[:, channel] = torch.randn(2, 3, 3) * scale
    whole = copy.deepcopy(model)
    found = prune(model, IMAGE, amount=0.5, keep=["3"])
    assert found.left == {"0": (2, 4)}
    assert found.whole == {"3": KEPT, "5": OUTPUT}
    left = [0, 2]
    assert torch.equal(model[0].weight, whole[0].weight[left])
    for name in ("weight", "bias", "running_mean", "running_var"):
        assert torch.equal(getattr(model[1], name), getattr(whole[1], name)[left])
    assert torch.equal(model[3].weight, whole[3].weight[:, left])
    assert torch.equal(model[5].weight, whole[5].weight)
    assert (model[0].out_channels, model[1].num_features, model[3].in_channels) == (2, 2, 2)
    x = torch.randn(3, *IMAGE)
    middle = torch.relu(whole[1](whole[0](x)))
    middle[:, [1, 3]] = 0
    assert torch.allclose(model(x), whole[5](whole[4](whole[3](middle))), atol=1e-5)


def test_a_channel_behind_flatten_takes_its_pixels_along() -> None:
    model = lively(two_layers())
    with torch.no_grad():
        model[3].weight[0] *= 100
        model[5].weight[:, :16] *= 100
    whole = copy.deepcopy(model)
    found = prune(model, IMAGE, amount=0.5, keep=["0"])
    assert found.left == {"3": (1, 2)}
    assert torch.equal(model[5].weight, whole[5].weight[:, :16])
    assert model[5].in_features == 16


@pytest.mark.parametrize(("criterion", "gone"), [("l1", 0), ("l2", 1), ("bn", 2), ("taylor", 3)])
def test_each_criterion_takes_what_it_holds_least_of(criterion: Any, gone: int) -> None:
    model = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2))
    with torch.no_grad():
        #                 sum 3, squares 9     4 and 8          6 and 18    5 and 25
        rows = [[3.0, 0.0], [2.0, 2.0], [3.0, 3.0], [5.0, 0.0]]
        model[0].weight.copy_(torch.tensor(rows))
        model[1].weight.copy_(torch.tensor([0.9, 0.9, 0.1, 0.9]))
        model[3].weight.fill_(1.0)
    if criterion == "taylor":
        for parameter in model.parameters():
            parameter.grad = torch.ones_like(parameter)
        model[0].weight.grad[3] = 0.0
        model[1].weight.grad[3] = 0.0
    if criterion in ("l1", "l2"):
        model[1].weight.data.fill_(1.0)
    before = model[0].weight.detach().clone()
    prune(model.eval(), (2,), amount=0.25, criterion=criterion)
    stay = [channel for channel in range(4) if channel != gone]
    assert torch.equal(model[0].weight, before[stay])
    assert all(parameter.grad is None for parameter in model.parameters())


def test_taylor_without_gradients() -> None:
    with pytest.raises(ModelError, match=r"taylor: .* has no gradient"):
        prune(network("mlp", (6,)), (6,), amount=0.5, criterion="taylor")


def test_sums_of_residual_networks_stay_consistent() -> None:
    model = network("resnet20", shortcut="B", width=0.5)
    found = prune(model, IMAGE, amount=0.5)
    # All that a shortcut adds up has the same channels: the stream of each stage.
    for stage, channels in ((1, 4), (2, 8), (3, 16)):
        for block in range(3):
            assert model.get_parameter(f"layer{stage}.{block}.conv2.weight").shape[0] == channels
    assert model.get_parameter("layer2.0.shortcut.0.weight").shape == (8, 4, 1, 1)
    assert model.get_parameter("linear.weight").shape == (5, 16)
    assert all(left * 2 == of for left, of in found.left.values())
    assert found.whole == {"linear": OUTPUT}


def test_padded_shortcuts_leave_the_stream_whole() -> None:
    model = network("resnet20", shortcut="A", width=0.5)
    found = prune(model, IMAGE, amount=0.5)
    assert found.whole == {"linear": OUTPUT, "conv1": FIXED}
    assert model.get_parameter("layer3.2.conv1.weight").shape == (16, 32, 3, 3)


@pytest.mark.parametrize(
    ("name", "shape", "options"),
    [
        ("mobilenetv2", IMAGE, {"width": 0.35, "depth": 0.3, "head": 64}),
        ("ds-cnn", (1, 20, 10), {"width": 0.5, "layers": 2}),
    ],
)
def test_depthwise_layers_follow(name: str, shape: tuple[int, ...], options: Any) -> None:
    model = network(name, shape, **options)
    before = {n: m.groups for n, m in model.named_modules() if isinstance(m, nn.Conv2d)}
    prune(model, shape, amount=0.5)
    for layer, groups in before.items():
        module = model.get_submodule(layer)
        assert isinstance(module, nn.Conv2d)
        if groups > 1:
            assert module.groups == module.in_channels == module.out_channels == groups // 2


def test_heads_of_attention_stay_whole() -> None:
    model = network("vit", depth=1, dim=16, heads=2)
    whole = copy.deepcopy(model)
    found = prune(model, IMAGE, amount=0.5)
    assert found.left == {"blocks.0.mlp.0": (16, 32)}
    assert found.whole == {
        "linear": OUTPUT,
        "blocks.0.mlp.2": MIXED,
        "blocks.0.attention.value": FIXED,
    }
    query = "blocks.0.attention.query.weight"
    assert torch.equal(model.get_parameter(query), whole.get_parameter(query))


@pytest.mark.parametrize("name", ["resnet8", "mobilenetv2", "ds-cnn", "conv1d", "vit", "mlp"])
def test_the_weights_alone_bring_it_back(name: str) -> None:
    options = {"mobilenetv2": {"width": 0.1, "depth": 0.3, "head": 32}, "vit": {"depth": 1}}
    model = network(name, **options.get(name, {}))
    whole = copy.deepcopy(model)
    prune(model, IMAGE, amount=0.4)
    shrink(whole, model.state_dict())
    whole.load_state_dict(model.state_dict())
    assert repr(whole) == repr(model)
    x = torch.randn(3, *IMAGE)
    assert torch.equal(whole(x), model(x))


def test_so_many_macs_go_and_hardly_more() -> None:
    model = network("resnet8")
    total = macs(model, IMAGE)
    prune(model, IMAGE, amount=0.6, of="macs")
    left = macs(model, IMAGE)
    assert total is not None and left is not None
    assert 0.36 < left / total <= 0.4


def test_ranked_over_the_network_the_weak_layer_loses_most() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(6, 20), nn.ReLU(), nn.Linear(20, 20), nn.ReLU(), nn.Linear(20, 2)
    )
    with torch.no_grad():
        model[0].weight[:15] *= 1e-3  # of mean 1, these 15 are far below all others
        model[2].weight[:, :15] *= 1e-3
    found = prune(model, (6,), amount=0.375, scope="network")
    assert found.left == {"2": (20, 20), "0": (5, 20)}


def test_channels_left_are_multiples() -> None:
    found = prune(network("resnet8"), IMAGE, amount=0.6, round_to=8)
    assert set(found.left.values()) == {(8, 16), (16, 32), (32, 64)}
    with pytest.raises(ModelError, match="that is nothing"):
        prune(network("resnet8", width=0.25), IMAGE, amount=0.5, round_to=16)


def test_the_same_twice() -> None:
    one, other = network("resnet8"), network("resnet8")
    torch.manual_seed(1)
    prune(one, IMAGE, amount=0.3)
    torch.manual_seed(2)
    prune(other, IMAGE, amount=0.3)
    assert all(map(torch.equal, one.state_dict().values(), other.state_dict().values()))


def test_modes_and_frozen_parameters_are_as_before() -> None:
    model = network("resnet8").train()
    model.get_submodule("bn1").eval()
    model.get_parameter("conv1.weight").requires_grad_(False)
    prune(model, IMAGE, amount=0.3)
    assert model.training and not model.get_submodule("bn1").training
    assert not model.get_parameter("conv1.weight").requires_grad
    assert model.get_parameter("linear.weight").requires_grad
    assert not any(module._forward_hooks for module in model.modules())


class Opaque(nn.Module):
    """Sizes that its code fixes."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.linear = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.linear(self.conv(x).reshape(-1, 4, 64).mean(2))
        return logits


def test_nothing_to_take_out_is_named() -> None:
    with pytest.raises(ModelError, match="out of GRU: linear gives the network's output") as caught:
        prune(network("gru"), IMAGE, amount=0.5)
    assert caught.value.hint
    with pytest.raises(ModelError, match=r"Opaque: .*conv its size is fixed in the code behind it"):
        prune(Opaque(), IMAGE, amount=0.5)


def test_more_macs_than_there_are_to_take() -> None:
    with pytest.raises(ModelError, match=r"at most \d\d\.\d% of the multiply-accumulates"):
        prune(network("vit", depth=1), IMAGE, amount=0.9, of="macs")


def test_a_layer_to_keep_that_is_none() -> None:
    with pytest.raises(ModelError, match="there is no layer 'layer4'") as caught:
        prune(network("resnet8"), IMAGE, amount=0.5, keep=["layer4"])
    assert "'layer3'" in str(caught.value.hint)
