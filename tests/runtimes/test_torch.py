"""PyTorch as a runtime: what a session states and gives, and what it leaves alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import nn

from edgekd.errors import ModelFileError
from edgekd.runtimes.torch import TorchSession, flat_outputs, load


def test_a_linear_layer_against_numpy() -> None:
    torch.manual_seed(0)
    layer = nn.Linear(3, 2)
    session = TorchSession(layer, (3,))
    x = np.array([[1, 2, 3], [-1, 0, 1]], np.float32)
    weight, bias = layer.weight.detach().numpy(), layer.bias.detach().numpy()
    assert np.allclose(session.run([x])[0], x @ weight.T + bias, atol=1e-6)
    assert session.inputs[0].shape == (None, 3)
    assert session.outputs[0].shape == (None, 2)


def test_it_runs_in_eval_and_leaves_the_number_of_threads() -> None:
    before = torch.get_num_threads()
    session = TorchSession(nn.Sequential(nn.Dropout(0.9), nn.Flatten()), (1, 2, 2), threads=2)
    x = np.ones((2, 1, 2, 2), np.float32)
    assert session.run([x])[0].tolist() == [[1.0] * 4] * 2
    assert session.inputs[0].layout == "nchw"
    assert torch.get_num_threads() == before


@dataclass
class Several:
    scores: torch.Tensor
    boxes: torch.Tensor
    anchors: torch.Tensor | None = None


class Pair(NamedTuple):
    first: torch.Tensor
    second: torch.Tensor | None


def test_outputs_get_names() -> None:
    one, two = torch.ones(1), torch.zeros(1)
    assert list(flat_outputs(one)) == ["output"]
    assert list(flat_outputs((one, two))) == ["output_0", "output_1"]
    assert list(flat_outputs({"z": one, "a": two})) == ["a", "z"]
    found = flat_outputs(Several(scores=two, boxes=one))
    assert list(found) == ["boxes", "scores"]
    assert found["scores"] is two
    assert list(flat_outputs(Pair(one, None))) == ["first"]
    assert list(flat_outputs({"states": (one, two), "loss": None})) == ["states_0", "states_1"]
    with pytest.raises(ModelFileError, match="gives str as 'output_1', not a tensor"):
        flat_outputs([one, "text"])
    with pytest.raises(ModelFileError, match="gives NoneType, not tensors"):
        flat_outputs(None)


def test_weights_alone_are_no_model(tmp_path: Path) -> None:
    path = tmp_path / "student.safetensors"
    path.write_bytes(b"x")
    with pytest.raises(ModelFileError, match="weights alone are no model"):
        load(path)
