"""Switches for speed give what the plain run gives, within a stated tolerance."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from edgekd.distill.stage import distill
from edgekd.errors import RecipeError
from edgekd.recipe import Recipe
from edgekd.rundir import Run


def student_of(raw: dict[str, Any]) -> tuple[Run, dict[str, torch.Tensor]]:
    run = distill(Recipe.from_dict(raw))
    return run, load_file(run.student_path)


def largest_difference(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> float:
    assert a.keys() == b.keys()
    return max((a[name].float() - b[name].float()).abs().max().item() for name in a)


@pytest.fixture
def convolutional(tiny: dict[str, Any]) -> dict[str, Any]:
    """Two small residual networks, trained for an epoch by SGD, which keeps rounding small."""
    tiny["teacher"] = [{"model": "resnet8", "width": 0.25, "train": {"epochs": 1}}]
    tiny["student"] = {"model": "resnet8", "width": 0.25}
    tiny["train"] |= {"epochs": 1, "optimizer": "sgd", "learning_rate": 0.05}
    tiny["data"]["split"]["train"] = 300
    return tiny


def test_accumulated_batches_are_one_large_batch(tiny: dict[str, Any]) -> None:
    """Equal to 1e-5 without batch statistics, with a short last batch: 300 = 4 x 64 + 44."""
    tiny["data"]["split"]["train"] = 300
    tiny["train"] |= {"optimizer": "sgd", "batch_size": 128, "learning_rate": 0.05}
    tiny["teacher"][0]["train"] |= {"batch_size": 64, "accumulate": 1}
    whole_run, whole = student_of(tiny)
    tiny["train"] |= {"batch_size": 64, "accumulate": 2}
    parts_run, parts = student_of(tiny)
    assert largest_difference(whole, parts) < 1e-5
    steps = [
        [line["step"] for line in run.metrics() if line["phase"] == "student"]
        for run in (whole_run, parts_run)
    ]
    assert steps == [[3, 6, 9]] * 2


def test_channels_last(convolutional: dict[str, Any]) -> None:
    _, plain = student_of(convolutional)
    convolutional["train"]["channels_last"] = True
    convolutional["teacher"][0]["train"]["channels_last"] = False
    _, other = student_of(convolutional)
    assert largest_difference(plain, other) < 2e-3
    assert all(value.is_contiguous() for value in other.values())


def test_folded_teacher(convolutional: dict[str, Any]) -> None:
    _, plain = student_of(convolutional)
    convolutional["teacher"][0]["fold"] = True
    _, other = student_of(convolutional)
    assert largest_difference(plain, other) < 2e-3


def test_a_folded_teacher_has_no_layers_to_capture(convolutional: dict[str, Any]) -> None:
    convolutional["teacher"][0]["fold"] = True
    convolutional["loss"].append({"name": "hint", "layers": [["layer1.0", "layer1.0"]]})
    with pytest.raises(RecipeError, match="folding takes layers away"):
        distill(Recipe.from_dict(convolutional))


def test_mixed_precision(convolutional: dict[str, Any]) -> None:
    """bfloat16 has 8 bits of precision: the losses of the first epoch agree within 5%."""
    plain, _ = student_of(convolutional)
    convolutional["train"]["precision"] = "bf16-mixed"
    convolutional["teacher"][0]["train"]["precision"] = "32-true"
    mixed, weights = student_of(convolutional)
    assert mixed.metrics()[-1]["loss"] == pytest.approx(plain.metrics()[-1]["loss"], rel=0.05)
    assert {value.dtype for value in weights.values()} <= {torch.float32, torch.int64}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*torch.jit.script_method.*:DeprecationWarning")
def test_compiled(convolutional: dict[str, Any], tmp_path: Path) -> None:
    _, plain = student_of(convolutional)
    convolutional["train"]["compile"] = True
    convolutional["teacher"][0]["train"]["compile"] = False
    _, other = student_of(convolutional)
    assert largest_difference(plain, other) < 2e-3
