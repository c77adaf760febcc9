from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import nn

from edgekd.errors import ModelError, UnknownNameError
from edgekd.models.build import build
from edgekd.models.modes import evaluating


@pytest.fixture
def user(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = ModuleType("their_models")
    monkeypatch.setitem(sys.modules, "their_models", module)
    return module


def make(user: ModuleType, factory: Any, **options: Any) -> nn.Module:
    vars(user)["factory"] = factory
    return build("their_models:factory", options, num_classes=3, input_shape=(4,), where="student")


def test_a_factory_gets_only_what_its_signature_takes(user: ModuleType) -> None:
    seen: dict[str, Any] = {}

    def bare() -> nn.Module:
        return nn.Linear(4, 3)

    def some(num_classes: int) -> nn.Module:
        return nn.Linear(4, num_classes)

    def everything(**options: Any) -> nn.Module:
        seen.update(options)
        return nn.Linear(4, 3)

    for factory in (bare, some):
        assert isinstance(make(user, factory), nn.Linear)
    make(user, everything, width=2)
    assert seen == {"width": 2, "num_classes": 3, "input_shape": (4,)}


def test_a_class_is_a_factory(user: ModuleType) -> None:
    class Net(nn.Module):
        def __init__(self, num_classes: int, hidden: int = 5) -> None:
            super().__init__()
            self.layers = nn.Sequential(nn.Linear(4, hidden), nn.Linear(hidden, num_classes))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y: torch.Tensor = self.layers(x)
            return y

    assert make(user, Net, hidden=7).layers[0].out_features == 7  # type: ignore[union-attr,index]


def test_trying_a_network_leaves_it_as_it_was(user: ModuleType) -> None:
    network = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Dropout(0.5))
    network[1].eval()  # put to rest on purpose
    before = {key: value.clone() for key, value in network.state_dict().items()}
    random = torch.get_rng_state()
    model = make(user, lambda: network)
    assert [module.training for module in model.modules()] == [True, True, False, True]
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert torch.equal(random, torch.get_rng_state())


def test_modes_come_back_after_an_error() -> None:
    model = nn.Sequential(nn.Dropout())
    with pytest.raises(RuntimeError), evaluating(model):
        assert not model.training
        raise RuntimeError
    assert model.training


class Pair(nn.Module):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x, x


def needs(width: int) -> nn.Module:
    return nn.Linear(4, width)


@pytest.mark.parametrize(
    ("factory", "options", "message"),
    [
        (lambda: nn.Linear(4, 5), {}, r"gives \(2, 5\) for 2 samples; \(2, 3\) is needed"),
        (lambda: nn.Linear(5, 3), {}, r"fails on samples of shape \(4,\): RuntimeError"),
        (lambda: Pair(), {}, "returns a tuple, not one tensor"),
        (lambda: 3, {}, "returned a int, not a torch.nn.Module"),
        (lambda: 1 / 0, {}, "could not be built: ZeroDivisionError"),
        (needs, {}, "could not be built: TypeError"),
        (needs, {"widht": 3}, "student.widht: unknown option"),
        (needs, {"width": "a"}, "could not be built"),
        (lambda num_classes: nn.Linear(4, 3), {"num_classes": 3}, "set by the data"),
        (nn.Linear(4, 3), {}, "is a Linear, not a factory"),
        (3, {}, "is a int, not a factory"),
    ],
)
def test_factories_that_fail(
    user: ModuleType, factory: Any, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        make(user, factory, **options)
    assert caught.value.message.startswith("student")
    assert caught.value.hint


def test_a_wrong_option_gets_the_closest_right_one(user: ModuleType) -> None:
    with pytest.raises(ModelError) as caught:
        make(user, needs, widht=3)
    assert caught.value.hint == "Did you mean 'width'?"


def test_an_unknown_name() -> None:
    with pytest.raises(UnknownNameError, match="unknown model 'resnet9'"):
        build("resnet9", num_classes=3, input_shape=(3, 32, 32))
