from __future__ import annotations

import torch
from torch import nn

from edgekd.models.count import macs, parameters


def test_one_convolution_by_hand() -> None:
    model = nn.Conv2d(3, 8, 5, stride=2, padding=2, bias=True)
    assert parameters(model) == 8 * 3 * 25 + 8
    # 9x11 strides to 5x6; every output value takes 3 * 5 * 5 products.
    assert macs(model, (3, 9, 11)) == 5 * 6 * 8 * 3 * 25


def test_grouped_convolution_and_linear_by_hand() -> None:
    assert macs(nn.Conv2d(8, 8, 3, padding=1, groups=8), (8, 4, 4)) == 4 * 4 * 8 * 9
    assert macs(nn.Linear(10, 7), (10,)) == 70


def test_a_shared_parameter_counts_once_and_buffers_do_not() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 4))
    model[2].weight = model[0].weight
    assert parameters(model) == 16 + 4 + 8 + 4


def test_what_cannot_be_counted_is_left_open() -> None:
    class Broken(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise RuntimeError

    assert macs(Broken(), (3,)) is None
    assert macs(nn.ReLU(), (3,)) is None


def test_counting_leaves_modes_and_statistics_alone() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
    macs(model, (4,))
    assert model.training
    assert model[1].num_batches_tracked == 0
