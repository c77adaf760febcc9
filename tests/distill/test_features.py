"""Captured layers: what hooks see, what they leave behind, and what in-place code does to them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from edgekd.distill.features import Capture, shapes_of
from edgekd.errors import ModelError, UnknownNameError
from edgekd.models.layers import capturable


class Residual(nn.Module):
    """As torchvision writes it: the sum and the activation change tensors in place."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.bn = nn.BatchNorm2d(3)
        self.relu = nn.ReLU(inplace=True)
        self.head = nn.Linear(3, 5)

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn(self.conv(x))
        out += x
        return self.head(self.relu(out).mean((2, 3)))


def test_in_place_code_does_not_change_what_is_captured() -> None:
    model = Residual().eval()
    x = torch.randn(4, 3, 6, 6)
    expected = model.bn(model.conv(x)).detach()
    capture = Capture(model, ["bn"], "student")
    capture.rehearse(x)
    with capture.hooked():
        model(x)
        assert torch.allclose(capture.take()["bn"], expected)


def test_without_a_rehearsal_it_is_noticed() -> None:
    model = Residual().eval()
    with Capture(model, ["bn"], "student").hooked() as capture:
        model(torch.randn(4, 3, 6, 6))
        with pytest.raises(ModelError, match="in place"):
            capture.take()


def test_gradients_flow_through_copies() -> None:
    model = Residual()
    x = torch.randn(4, 3, 6, 6)
    capture = Capture(model, ["bn"], "student")
    capture.rehearse(x)
    with capture.hooked():
        model(x)
        capture.take()["bn"].square().sum().backward()
    assert model.conv.weight.grad is not None
    assert model.head.weight.grad is None


def test_hooks_come_off_whatever_happens() -> None:
    model = Residual()
    with pytest.raises(ZeroDivisionError), Capture(model, ["bn"], "student").hooked():
        raise ZeroDivisionError
    assert not any(module._forward_hooks for module in model.modules())


def test_several_outputs() -> None:
    model = nn.Sequential(nn.LSTM(4, 6, batch_first=True))
    x = torch.randn(2, 7, 4)

    class First(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = model[0]

        def forward(self, x: Tensor) -> Tensor:
            hidden: Tensor = self.lstm(x)[0]
            return hidden[:, -1]

    net = First()
    assert capturable(net, x) == {"lstm[0]": (7, 6)}
    shapes, logits = shapes_of(net, ["lstm[0]"], x, "teacher")
    assert (shapes, logits) == ({"lstm[0]": (7, 6)}, (6,))
    with pytest.raises(ModelError, match="2 outputs only"):
        shapes_of(net, ["lstm[3]"], x, "teacher")


def test_a_wrong_name_gets_the_closest() -> None:
    with pytest.raises(UnknownNameError, match="layer of the student 'con'") as caught:
        Capture(Residual(), ["con"], "student")
    assert caught.value.close[0] == "conv"


def test_a_layer_that_does_not_run() -> None:
    model = Residual()
    model.idle = nn.Linear(2, 2)
    with Capture(model, ["idle"], "student").hooked() as capture:
        model(torch.randn(1, 3, 6, 6))
        with pytest.raises(ModelError, match="did not run"):
            capture.take()
