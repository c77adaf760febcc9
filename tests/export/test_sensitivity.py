"""Which layer costs what, on a network that one layer spoils."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from edgekd.data.split import Dataset
from edgekd.errors import ExportError
from edgekd.export.sensitivity import sensitivity
from edgekd.records_quantize import Sensitivity


class Spoiled(nn.Module):
    """Four layers; between ``wide`` and ``back`` channels differ by a factor of 2^16.

    The factor goes in with the weights of ``wide`` and comes out with those of ``back``: in float
    nothing changes. One scale for all channels leaves the small ones no level at all.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(64, 24)
        self.wide = nn.Linear(24, 24)
        self.back = nn.Linear(24, 24)
        self.head = nn.Linear(24, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x.flatten(1)).relu()
        return self.head(self.back(self.wide(x).relu()).relu())

    def spoil(self) -> None:
        factors = 2.0 ** torch.linspace(-8, 8, 24)[torch.randperm(24)]
        with torch.no_grad():
            self.wide.weight *= factors[:, None]
            self.wide.bias *= factors
            self.back.weight /= factors


@pytest.fixture(scope="module")
def arrays(dataset: Dataset) -> dict[str, np.ndarray]:
    train = dataset.splits["train"].targets
    return {"input": dataset.normalised("train"), "targets": train}


@pytest.fixture(scope="module")
def spoiled(arrays: dict[str, np.ndarray]) -> nn.Module:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = Spoiled()
    x, y = torch.from_numpy(arrays["input"]), torch.from_numpy(arrays["targets"])
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    for _ in range(20):
        for batch in torch.randperm(len(x)).split(64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x[batch]), y[batch]).backward()
            optimizer.step()
    model.spoil()
    return model.eval()


def check(found: Sensitivity, max_drop: float) -> None:
    assert not found.whole.passed
    assert found.whole.accuracy_model is not None and found.whole.accuracy_model > 0.95
    assert {one.layer for one in found.layers[:2]} == {"wide", "back"}
    costs = [one.drop for one in found.layers]
    assert costs == sorted(costs, key=lambda cost: -(cost or 0.0))
    assert found.keep_float is not None and set(found.keep_float) <= {"wide", "back"}
    for parity in (found.proposal, found.verified):
        assert parity is not None and parity.passed
        assert parity.accuracy_file is not None and parity.accuracy_model is not None
        assert parity.accuracy_model - parity.accuracy_file <= max_drop / 100
    assert f"--keep-float {found.keep_float[0]}" in found.command


def test_the_spoiled_layers_are_found_and_kept(
    spoiled: nn.Module, arrays: dict[str, np.ndarray], tmp_path: Path
) -> None:
    place = tmp_path / "sensitivity.json"
    found = sensitivity(spoiled, target="onnx", samples=arrays, out=place)
    check(found, 1.0)
    assert Sensitivity.model_validate(json.loads(place.read_text())) == found


@pytest.mark.slow
def test_the_spoiled_layers_are_found_in_tflite_too(
    spoiled: nn.Module, arrays: dict[str, np.ndarray], tmp_path: Path
) -> None:
    check(sensitivity(spoiled, target="tflite", samples=arrays, out=tmp_path / "one.json"), 1.0)


def test_where_nothing_is_lost_nothing_is_kept(
    arrays: dict[str, np.ndarray], tmp_path: Path
) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    found = sensitivity(
        model, target="onnx", samples=arrays, max_drop=100.0, out=tmp_path / "one.json"
    )
    assert found.keep_float == () and found.command == "" and found.verified is None
    assert found.layers[0].layer == "1"


def test_what_has_no_cost_is_refused(spoiled: nn.Module) -> None:
    with pytest.raises(ExportError, match="give --quantize"):
        sensitivity(spoiled, target="onnx", quantize="none", input_shape=(1, 8, 8))
