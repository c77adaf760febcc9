"""A teacher that starts from given weights learns on, and is kept by what those weights are."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file, save_file

from edgekd.distill.stage import distill
from edgekd.errors import DataError, ModelError, RecipeError
from edgekd.recipe import Recipe, TeacherSpec
from edgekd.rundir import Run, runs_root

#: Too small to move a weight by more than rounding.
STILL = 1e-9


@pytest.fixture
def weights(tiny_run: Run, tmp_path: Path) -> Path:
    """What the tiny run's teacher learned, as a file of weights."""
    return Path(shutil.copy(tiny_run.path / "teacher.safetensors", tmp_path / "given.safetensors"))


@pytest.fixture
def started(tiny: dict[str, Any], weights: Path) -> dict[str, Any]:
    tiny["train"]["epochs"] = 1
    tiny["teacher"][0]["start"] = str(weights)
    tiny["teacher"][0]["train"] = {"epochs": 1, "learning_rate": STILL, "weight_decay": 0.0}
    return tiny


def parameters(path: Path) -> dict[str, torch.Tensor]:
    """Return weights without the statistics of BatchNorm, which move in any training."""
    return {
        name: value
        for name, value in load_file(path).items()
        if "running" not in name and "num_batches" not in name
    }


def test_it_learns_on_from_there(started: dict[str, Any], weights: Path) -> None:
    given = parameters(weights)
    run = distill(Recipe.from_dict(started))
    found = parameters(run.path / "teacher.safetensors")
    assert all(torch.allclose(found[name], given[name], atol=1e-6) for name in given)
    assert run.manifest.teacher_scores[0].epochs == 1
    started["teacher"][0]["train"]["learning_rate"] = 1e-2
    moved = parameters(distill(Recipe.from_dict(started)).path / "teacher.safetensors")
    assert any(not torch.allclose(moved[name], given[name], atol=1e-4) for name in given)


def test_it_is_kept_by_the_weights_not_by_their_place(
    started: dict[str, Any], weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kept() -> set[str]:
        return {path.name for path in (runs_root() / "teachers").iterdir()}

    distill(Recipe.from_dict(started))
    before = kept()
    shutil.copy(weights, tmp_path / "elsewhere.safetensors")
    monkeypatch.setenv("MY_WEIGHTS", str(tmp_path))
    started["teacher"][0]["start"] = "$MY_WEIGHTS/elsewhere.safetensors"
    distill(Recipe.from_dict(started))
    assert kept() == before
    others = {name: value + 1e-3 for name, value in load_file(weights).items()}
    save_file(others, tmp_path / "elsewhere.safetensors")
    distill(Recipe.from_dict(started))
    assert len(kept()) == len(before) + 1


def test_faults(started: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    teacher = started["teacher"][0]
    teacher["start"] = "nothing-of-the-kind"
    with pytest.raises(RecipeError, match=r"teacher\[0\]\.start\.from.*\n.*no run and no file"):
        distill(Recipe.from_dict(started))
    monkeypatch.delenv("MY_WEIGHTS", raising=False)
    teacher["start"] = "$MY_WEIGHTS/given.safetensors"
    with pytest.raises(DataError, match="MY_WEIGHTS is not set"):
        distill(Recipe.from_dict(started))
    save_file({"something.weight": torch.zeros(3)}, tmp_path / "odd.safetensors")
    teacher["start"] = str(tmp_path / "odd.safetensors")
    with pytest.raises(ModelError, match=r"nothing of .*odd\.safetensors fits"):
        distill(Recipe.from_dict(started))
    with pytest.raises(ValidationError, match="leave out one of the two"):
        TeacherSpec.model_validate({"model": "mlp", "weights": "a", "start": "b"})
    with pytest.raises(ValidationError, match="given as a file takes no start"):
        TeacherSpec.model_validate({"file": "a.onnx", "start": "b"})


def test_mixing_can_be_switched_off_for_a_teacher(tiny: dict[str, Any]) -> None:
    from edgekd.distill.named import named_teachers

    tiny["train"]["mix"] = True
    tiny["teacher"][0]["train"] = {"mix": False}
    recipe = Recipe.from_dict(tiny)
    assert recipe.train.mix is not None and recipe.train.mix.alpha == 0.2
    assert named_teachers(recipe)[0].train.mix is None
