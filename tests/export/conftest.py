"""A small network that knows the digits, and the run it stands in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from edgekd import provenance
from edgekd.data.load import load_dataset
from edgekd.data.split import Dataset
from edgekd.distill.layout import channels_first
from edgekd.models.build import build
from edgekd.models.weights import save_weights
from edgekd.recipe import Recipe
from edgekd.records import RunManifest
from edgekd.rundir import Run, atomic_write, file_record, sha256_bytes, write_record

RAW: dict[str, Any] = {
    "name": "small",
    "data": {"source": "digits", "split": {"calibration": 64, "validation": 0.2, "test": 0.2}},
    "teacher": [{"model": "resnet8"}],
    "student": {"model": "resnet8", "width": 0.25},
    "loss": [{"name": "kd"}],
}


@pytest.fixture(scope="session")
def recipe() -> Recipe:
    return Recipe.from_dict(RAW)


@pytest.fixture(scope="session")
def dataset(recipe: Recipe) -> Dataset:
    return load_dataset(recipe.data)


@pytest.fixture(scope="session")
def student(recipe: Recipe, dataset: Dataset) -> nn.Module:
    """ResNet-8 of 5,094 parameters, trained for a second; left in training mode."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = build("resnet8", recipe.student.options, num_classes=10, input_shape=(1, 8, 8))
    x = torch.from_numpy(dataset.normalised("train"))
    y = torch.from_numpy(dataset.splits["train"].targets)
    optimizer = torch.optim.AdamW(model.parameters(), 5e-3)
    model.train()
    with channels_first([model]):
        for _ in range(8):
            for batch in torch.randperm(len(x)).split(64):
                optimizer.zero_grad()
                nn.functional.cross_entropy(model(x[batch]), y[batch]).backward()
                optimizer.step()
    return model


@pytest.fixture(scope="session")
def small_run(
    recipe: Recipe, dataset: Dataset, student: nn.Module, tmp_path_factory: pytest.TempPathFactory
) -> Run:
    """A whole run directory, as far as export looks at it."""
    folder: Path = tmp_path_factory.mktemp("runs") / "small"
    folder.mkdir()
    text = recipe.to_toml()
    atomic_write(folder / "recipe.toml", text)
    save_weights(student, folder / "student.safetensors")
    names = ("recipe.toml", "student.safetensors")
    manifest = RunManifest(
        status="complete",
        id="small",
        name="small",
        recipe_sha256=sha256_bytes(text.encode()),
        data_sha256=dataset.sha256,
        classes=dataset.classes,
        preprocess=dataset.preprocess,
        sample_shape=dataset.sample_shape,
        files={name: file_record(folder / name) for name in names},
        provenance=provenance.collect(),
    )
    write_record(folder / "manifest.json", manifest)
    return Run.open(folder)
