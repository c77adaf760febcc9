"""Which results of a forward pass a file would hold in 8 bits."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgekd.quantize.fake.calls import calls_of


class Mixed(nn.Module):
    """Modules, functions and operators; a residual; a constant of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.act = nn.ReLU(inplace=True)
        self.linear = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.act(self.norm(self.conv(x)))
        y += F.max_pool2d(y, 3, 1, 1)
        offset = torch.zeros(1).sin()
        return self.linear(y.permute(0, 2, 3, 1).mean((1, 2)) + offset)


def test_names_and_what_is_rounded() -> None:
    calls = calls_of(Mixed(), torch.zeros(2, 1, 6, 6))
    found = [(call.name, call.rounded) for call in calls]
    assert found == [
        ("conv2d", False),  # BatchNorm and ReLU become part of it
        ("batch_norm", False),
        ("relu", True),
        ("add", True),
        ("zeros", False),  # no activation
        ("sin", False),
        ("mean", True),
        ("add", True),
        ("linear", True),
    ]


def test_a_result_with_two_users_is_a_tensor_of_the_file() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 2, 1)

        def forward(self, x: Tensor) -> Tensor:
            y = self.conv(x)
            return y.relu() + y

    calls = calls_of(Twice(), torch.zeros(2, 1, 4, 4))
    assert [(call.name, call.rounded) for call in calls] == [
        ("conv2d", True),
        ("relu", True),
        ("add", True),
    ]


def test_mode_and_input_stay() -> None:
    network, given = Mixed().train(), torch.randn(2, 1, 6, 6)
    before = given.clone()
    calls_of(network, given)
    assert network.training and network.norm.training
    assert torch.equal(given, before)
    assert network.norm.num_batches_tracked == 0
