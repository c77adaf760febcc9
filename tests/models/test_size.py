from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from edgekd.models.build import build
from edgekd.models.size import int8_tflite_bytes

#: Sizes of int8 TFLite files that edgekd made, in bytes: litert-torch 0.10.0,
#: ai-edge-quantizer 0.10.0, 10 classes. The constants were fitted to others than these.
FILES: list[tuple[str, dict[str, Any], tuple[int, ...], int]] = [
    ("resnet20", {"width": 0.25}, (1, 28, 28), 29_152),
    ("resnet8", {"width": 0.25}, (1, 8, 8), 11_264),
    ("wideresnet", {"depth": 22, "width": 1.0}, (1, 28, 28), 293_168),
    ("mobilenetv2", {"width": 0.5, "depth": 0.5}, (3, 64, 64), 640_816),
    ("mobilenetv2", {"width": 0.35, "depth": 0.4, "head": 128}, (1, 28, 28), 242_624),
    ("ds-cnn", {"width": 2.0, "layers": 6}, (1, 49, 10), 137_840),
    ("mlp", {"hidden": [32, 16]}, (1, 8, 8), 4_896),
    ("vit", {"depth": 3, "dim": 48}, (3, 32, 32), 84_368),
    ("gru", {"hidden": 128, "layers": 1}, (1, 28, 28), 166_752),
]


@pytest.mark.parametrize(("name", "options", "shape", "size"), FILES)
def test_estimates_are_near_real_files(
    name: str, options: dict[str, Any], shape: tuple[int, ...], size: int
) -> None:
    model = build(name, options, num_classes=10, input_shape=shape)
    assert int8_tflite_bytes(model, shape) == pytest.approx(size, rel=0.09)


def test_the_network_is_left_as_it_was() -> None:
    model = build("resnet8", {"width": 0.25}, num_classes=10, input_shape=(1, 8, 8)).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    int8_tflite_bytes(model, (1, 8, 8))
    assert model.training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_a_linear_layer_by_hand() -> None:
    # The file, 20 weights, 4 biases of 4 bytes, one operator.
    assert int8_tflite_bytes(nn.Linear(5, 4), (5,)) == 1000 + 20 + 16 + 265


def test_a_network_that_does_not_run_has_no_estimate() -> None:
    assert int8_tflite_bytes(nn.Linear(5, 4), (6,)) is None
