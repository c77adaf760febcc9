"""Layers are compared as they were, also where a network writes over them later."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from edgekd.data.load import load_dataset
from edgekd.data.split import Dataset
from edgekd.evaluate.answers import NetworkAnswers
from edgekd.evaluate.layers import similarity
from edgekd.recipe import DataSpec


class Block(nn.Module):
    """A residual block that adds and rectifies in place."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x).add_(x)


class Net(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, width, 3, padding=1)
        self.block1 = Block(width)
        self.block2 = Block(width)
        self.linear = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.block1(self.stem(x))
        before = x.clone()
        self.seen = before
        x = nn.functional.relu_(x)
        x = self.block2(nn.functional.max_pool2d(x, 2))
        return self.linear(x.mean((2, 3)))


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return load_dataset(DataSpec())


def test_layers_of_networks_that_work_in_place(dataset: Dataset) -> None:
    torch.manual_seed(0)
    nets = {"student": Net(4).eval(), "teacher": Net(6).eval()}
    answers = {name: NetworkAnswers(net, lambda data: data) for name, net in nets.items()}
    found = similarity("student", "teacher", answers, dataset, "test", samples=50)
    assert found.samples == 50
    assert found.a_layers == found.b_layers == ("block1", "block2", "output")
    count = len(dataset.splits["test"])
    chosen = np.unique(np.linspace(0, count - 1, 50).round().astype(int))
    inputs = torch.from_numpy(dataset.normalised("test", chosen))
    features = {}
    with torch.no_grad():
        for name, net in nets.items():
            net(inputs)
            x = net.seen.flatten(1).double()
            features[name] = x - x.mean(0)
    x, y = features["student"], features["teacher"]
    expected = (y.T @ x).norm() ** 2 / ((x.T @ x).norm() * (y.T @ y).norm())
    assert found.values[0][0] == pytest.approx(float(expected), abs=1e-4)
    assert not any(module._forward_hooks for net in nets.values() for module in net.modules())


def test_a_network_is_its_own_likeness(dataset: Dataset) -> None:
    torch.manual_seed(0)
    net = NetworkAnswers(Net(4), lambda data: data)
    found = similarity("a", "b", {"a": net, "b": net}, dataset, "validation", samples=20)
    values = np.array(found.values)
    assert np.diag(values) == pytest.approx(np.ones(3))
    assert values == pytest.approx(values.T)
