"""Early exits change nothing of a network, and its parts do together what the whole does."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from edgekd.errors import ModelError, UnknownNameError
from edgekd.models.build import build
from edgekd.models.count import macs, parameters
from edgekd.models.exits import add_exits, exits_of, without_exits
from edgekd.models.parts import Part, cut

SHAPE = (1, 8, 8)

#: Networks with two layers that run one after the other.
ZOO: dict[str, tuple[str, dict[str, Any], tuple[str, str]]] = {
    "resnet8": ("resnet8", {"width": 0.5}, ("layer1", "layer2")),
    "vit": ("vit", {"patch": 2, "dim": 16, "depth": 3, "heads": 2}, ("blocks.0", "blocks.1")),
    "gru": ("gru", {"hidden": 12}, ("layers.0", "layers.1")),
    "mlp": ("mlp", {"hidden": [24, 16]}, ("2", "4")),
    "ds-cnn": ("ds-cnn", {"width": 0.25}, ("features.6", "features.12")),
    "mobilenetv2": ("mobilenetv2", {"width": 0.25, "head": 64}, ("features.3", "features.6")),
}


def network(name: str) -> nn.Module:
    torch.manual_seed(0)
    model, options, _ = ZOO[name]
    return build(model, options, num_classes=10, input_shape=SHAPE)


def with_exits(name: str, head: Any = "linear") -> nn.Module:
    at = ZOO[name][2]
    return add_exits(network(name), at, head, num_classes=10, input_shape=SHAPE)


def exit_logits(model: nn.Module, x: Tensor) -> list[Tensor]:
    found: list[Tensor] = []
    handles = [
        head.register_forward_hook(lambda *given: found.append(given[2]))
        for head in model.get_submodule("exits").children()
    ]
    model(x)
    for handle in handles:
        handle.remove()
    return found


@pytest.mark.parametrize("name", ZOO)
def test_the_final_logits_stay_and_every_exit_gives_logits(name: str) -> None:
    x = torch.randn(3, *SHAPE)
    model, plain = with_exits(name).eval(), network(name).eval()
    assert torch.equal(model(x), plain(x))
    assert exits_of(model) == ZOO[name][2]
    assert [tuple(logits.shape) for logits in exit_logits(model, x)] == [(3, 10)] * 2
    stripped = without_exits(model)
    assert exits_of(stripped) == () and exits_of(model)
    assert list(stripped.state_dict()) == list(plain.state_dict())
    assert not any(module._forward_hooks for module in stripped.modules())
    assert without_exits(plain) is plain


def test_a_linear_head_classifies_the_mean_over_positions() -> None:
    model = with_exits("resnet8").eval()
    x = torch.randn(3, *SHAPE)
    kept: list[Tensor] = []
    handle = model.get_submodule("layer2").register_forward_hook(lambda *g: kept.append(g[2]))
    found = exit_logits(model, x)[1]
    handle.remove()
    linear = model.get_submodule("exits.1.1")
    torch.testing.assert_close(found, kept[0].mean((2, 3)) @ linear.weight.T + linear.bias)


def test_conv_heads_take_maps() -> None:
    model = with_exits("resnet8", "conv")
    assert exit_logits(model, torch.randn(2, *SHAPE))[0].shape == (2, 10)
    with pytest.raises(ModelError, match="takes maps"):
        with_exits("mlp", "conv")


def test_a_copy_feeds_its_own_exits() -> None:
    model = with_exits("resnet8").eval()
    copied = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in copied.get_submodule("exits").parameters():
            parameter.zero_()
    x = torch.randn(2, *SHAPE)
    assert not exit_logits(copied, x)[0].any()
    assert exit_logits(model, x)[0].any()


class _InPlace(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.end = nn.Linear(4, 4), nn.Linear(4, 3)
        self.idle = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x)
        y += 1.0
        logits: Tensor = self.end(y)
        return logits


@pytest.mark.parametrize(
    ("at", "message"),
    [
        (["first"], "in place"),
        (["idle"], "does not run"),
    ],
)
def test_says_why_a_layer_can_have_no_exit(at: list[str], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        add_exits(_InPlace(), at, num_classes=3, input_shape=(4,))


def test_exits_stand_in_the_order_in_which_they_run() -> None:
    with pytest.raises(ModelError, match="another order"):
        add_exits(network("resnet8"), ["layer2", "layer1"], num_classes=10, input_shape=SHAPE)


def test_says_that_there_is_no_such_layer_or_that_the_name_is_taken() -> None:
    with pytest.raises(UnknownNameError, match="layer3x"):
        add_exits(network("resnet8"), ["layer3x"], num_classes=10, input_shape=SHAPE)
    taken = network("resnet8")
    taken.exits = nn.Identity()
    with pytest.raises(ModelError, match="'exits' already"):
        add_exits(taken, ["layer1"], num_classes=10, input_shape=SHAPE)


@pytest.mark.parametrize("name", ZOO)
def test_parts_together_are_the_whole_and_share_no_parameter(name: str) -> None:
    model = network(name).eval()
    one, two = ZOO[name][2]
    parts = [cut(model, b, e, input_shape=SHAPE) for b, e in ((None, one), (one, two), (two, None))]
    x = torch.randn(5, *SHAPE)
    with torch.no_grad():
        states = [x]
        for part in parts:
            states.append(part(states[-1]))
        torch.testing.assert_close(states[-1], model(x), rtol=1e-4, atol=1e-5)
    whole = parameters(model)
    # What stands in no module that could be taken out, as embeddings of positions, stays.
    loose = sum(p.numel() for p in model._parameters.values() if p is not None)
    assert whole <= sum(map(parameters, parts)) <= whole + 2 * loose
    costs = [macs(p, tuple(s.shape[1:])) or 0 for p, s in zip(parts, states, strict=False)]
    assert sum(costs) <= (macs(model, SHAPE) or 0)
    assert all(cost < (macs(model, SHAPE) or 0) for cost in costs)


class _Around(nn.Module):
    """A connection leads around the layer in the middle."""

    def __init__(self) -> None:
        super().__init__()
        self.middle, self.end = nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.end(x + self.middle(x))
        return logits


def test_a_connection_around_the_cut_is_refused() -> None:
    with pytest.raises(ModelError, match="takes more than its output"):
        cut(_Around(), "middle", None, input_shape=(4,))
    assert cut(_Around(), None, "middle", input_shape=(4,))(torch.ones(2, 4)).shape == (2, 4)


class _Curious(nn.Module):
    """Looks inside a module that a part from ``begin`` on does not need."""

    def __init__(self) -> None:
        super().__init__()
        self.begin, self.end = nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.end(self.begin(x * self.begin.in_features))
        return logits


def test_a_network_that_looks_inside_its_modules_keeps_them() -> None:
    model = _Curious().eval()
    part = cut(model, "begin", None, input_shape=(4,))
    assert isinstance(part.network.get_submodule("begin"), nn.Linear)
    x = torch.randn(2, 4)
    torch.testing.assert_close(part(Part(model, None, "begin", (4,))(x)), model(x))
