"""A teacher is asked about a split once."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from edgekd.data.load import load_dataset
from edgekd.data.split import Dataset
from edgekd.distill import evaluate
from edgekd.distill.evaluate import answers_of, predict
from edgekd.distill.tutor import Tutor
from edgekd.recipe import DataSpec

CPU = torch.device("cpu")


class Counting(nn.Module):
    """Counts how often it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(64, 10)
        self.asked = 0

    def forward(self, inputs: Tensor) -> Tensor:
        self.asked += 1
        logits: Tensor = self.layer(inputs.flatten(1))
        return logits


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load_dataset(DataSpec())


def test_a_teacher_is_asked_once_until_its_weights_change(digits: Dataset) -> None:
    network = Counting()
    tutor = Tutor("wide", network, digits)
    first = answers_of(tutor, "test", device=CPU)
    asked = network.asked
    assert first is not None and asked > 0
    first[:] = 0.0  # what a caller does to its own copy is nobody else's
    again = answers_of(tutor, "test", device=CPU)
    assert network.asked == asked
    np.testing.assert_array_equal(again, predict(network, digits, "test", device=CPU))

    with torch.no_grad():
        network.layer.bias.add_(1.0)
    moved = answers_of(tutor, "test", device=CPU)
    assert again is not None and moved is not None
    np.testing.assert_allclose(moved, again + 1.0, rtol=1e-5, atol=1e-5)


def test_what_is_large_is_not_remembered(digits: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluate, "_REMEMBERED", 0)
    network = Counting()
    tutor = Tutor("wide", network, digits)
    answers_of(tutor, "test", device=CPU)
    asked = network.asked
    answers_of(tutor, "test", device=CPU)
    assert network.asked == 2 * asked
