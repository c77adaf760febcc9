"""Samples made from a teacher alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from edgekd.data.load import load_for_student
from edgekd.distill.named import build_tutor, named_teachers
from edgekd.distill.progress import Progress
from edgekd.distill.stage import distill
from edgekd.distill.synthesis import SYNTHESISERS, making
from edgekd.distill.synthesis.inversion import jitter, total_variation
from edgekd.distill.synthesis.statistics import BatchNormDistance
from edgekd.distill.trainable import freeze
from edgekd.errors import ModelError, RecipeError
from edgekd.recipe import Recipe, SynthesisSpec
from edgekd.rundir import runs_root

QUICK = SynthesisSpec(samples=24, batch_size=10, steps=40, learning_rate=0.3)


def teacher(tiny: dict[str, Any]) -> tuple[Any, Any]:
    """A convolutional teacher, trained for a second or two, and the data."""
    recipe = Recipe.from_dict({**tiny, "teacher": [{"model": "resnet8", "width": 0.25}]})
    dataset = load_for_student(recipe)
    tutor = build_tutor(named_teachers(recipe)[0], dataset)
    inputs = torch.from_numpy(dataset.normalised("train")[:512])
    targets = torch.from_numpy(dataset.splits["train"].targets[:512])
    optimizer = torch.optim.Adam(tutor.model.parameters(), lr=1e-2)
    tutor.model.train()
    for step in range(64):
        rows = slice(64 * (step % 8), 64 * (step % 8 + 1))
        optimizer.zero_grad()
        torch.autograd.backward(functional.cross_entropy(tutor.model(inputs[rows]), targets[rows]))
        optimizer.step()
    optimizer.zero_grad()
    freeze(tutor.model)
    return tutor, dataset


def test_distance_from_batchnorm_is_the_papers() -> None:
    norm = nn.BatchNorm2d(3).eval()
    norm.running_mean = torch.tensor([0.5, -1.0, 0.0])
    norm.running_var = torch.tensor([1.0, 2.0, 0.5])
    inputs = torch.randn(6, 3, 4, 4)
    with BatchNormDistance(norm).watching() as distance:
        norm(inputs)
        found = distance.take().item()
    values = inputs.numpy().transpose(1, 0, 2, 3).reshape(3, -1)
    wanted = np.linalg.norm(values.mean(1) - [0.5, -1.0, 0.0]) + np.linalg.norm(
        values.var(1) - [1.0, 2.0, 0.5]
    )
    assert found == pytest.approx(wanted, rel=1e-5)
    assert not norm._forward_pre_hooks


def test_a_network_without_batchnorm() -> None:
    with pytest.raises(ModelError, match="no BatchNorm layer"):
        BatchNormDistance(nn.Linear(3, 3))


def test_variation_and_jitter() -> None:
    stripes = torch.tensor([0.0, 1.0]).repeat(4)[None, None, None].expand(1, 1, 8, 8)
    assert total_variation(stripes).item() == 1.0  # along rows; none along columns
    assert total_variation(torch.randn(3, 5)).item() == 0.0
    image = torch.arange(64.0).reshape(1, 1, 8, 8)
    moved = jitter(image, torch.Generator().manual_seed(3))
    assert torch.equal(moved.flatten().sort().values, image.flatten())
    vector = torch.randn(2, 5)
    assert jitter(vector, torch.Generator()) is vector


@pytest.mark.parametrize("method", SYNTHESISERS.names)
class TestMethods:
    def test_the_teacher_takes_them_for_its_data(self, tiny: dict[str, Any], method: str) -> None:
        """Nearer to its statistics than noise, and of the class they were made for."""
        tutor, dataset = teacher(tiny)
        spec = SynthesisSpec(method=method, samples=40, batch_size=40, steps=120, learning_rate=0.3)
        make = SYNTHESISERS.resolve(method)
        inputs, labels = make(tutor.model, dataset.sample_shape, 10, spec, 0)
        assert inputs.shape == (40, *dataset.sample_shape) and labels.shape == (40,)
        distance = BatchNormDistance(tutor.model)
        with distance.watching(), torch.no_grad():
            logits = tutor.model(inputs)
            made = distance.take().item()
            tutor.model(torch.randn_like(inputs))
            noise = distance.take().item()
        assert made < 0.7 * noise
        assert (logits.argmax(-1) == labels).float().mean() > 0.5  # chance is 0.1

    def test_the_same_seed_gives_the_same_samples(self, tiny: dict[str, Any], method: str) -> None:
        tutor, dataset = teacher(tiny)
        make = SYNTHESISERS.resolve(method)
        first, again, other = (
            make(tutor.model, dataset.sample_shape, 10, QUICK, seed)[0] for seed in (5, 5, 6)
        )
        assert torch.equal(first, again) and not torch.equal(first, other)
        assert all(p.grad is None for p in tutor.model.parameters())


class TestKept:
    def test_only_what_is_missing_or_damaged_is_made_again(
        self, tiny: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        tutor, dataset = teacher(tiny)
        whole = making.made_from(dataset, tutor, QUICK, 0, Progress())
        files = sorted(runs_root().glob("synthetic/*/batch-*.npz"))
        assert len(files) == 3
        raw = whole.splits["train"].read(np.arange(24))
        files[0].unlink()
        files[1].write_bytes(files[1].read_bytes()[:200])
        made: list[int] = []
        original = SYNTHESISERS.resolve("inversion")

        def counted(*given: Any) -> Any:
            made.append(given[-1])
            return original(*given)

        monkeypatch.setattr(type(SYNTHESISERS), "resolve", lambda *_: counted)
        again = making.made_from(dataset, tutor, QUICK, 0, Progress())
        assert len(made) == 2
        np.testing.assert_array_equal(again.splits["train"].read(np.arange(24)), raw)
        assert again.sha256 == whole.sha256 != dataset.sha256

    def test_raw_values_become_what_the_teacher_was_shown(self, tiny: dict[str, Any]) -> None:
        tutor, dataset = teacher(tiny)
        whole = making.made_from(dataset, tutor, QUICK, 0, Progress())
        values = torch.from_numpy(whole.normalised("train"))
        labels = whole.splits["train"].targets
        with torch.no_grad():
            found = tutor.model(values).argmax(-1).numpy()
        assert (found == labels).mean() > 0.5
        assert set(whole.splits["validation"].ids) == set(dataset.splits["validation"].ids)


class TestRuns:
    def test_a_student_learns_without_a_sample(self, tiny: dict[str, Any], tmp_path: Path) -> None:
        tiny["teacher"] = [{"model": "resnet8", "width": 0.25, "train": {"epochs": 6}}]
        tiny["loss"] = [{"name": "kd"}]
        tiny["synthesis"] = {"samples": 300, "batch_size": 100, "steps": 60, "learning_rate": 0.3}
        tiny["train"]["epochs"] = 30
        run = distill(Recipe.from_dict(tiny), out=tmp_path / "run")
        (twin,) = run.manifest.compared_scores["with data"]
        assert run.manifest.student_scores[0].test_accuracy > 0.3  # chance is 0.1
        assert twin.test_accuracy > 0.5
        assert run.manifest.student_scores[0].epochs == tiny["train"]["epochs"]

    def test_one_teacher_with_the_students_input(self, tiny: dict[str, Any]) -> None:
        tiny["synthesis"] = {}
        two = {**tiny, "teacher": [{**tiny["teacher"][0], "copies": 2}]}
        with pytest.raises(RecipeError, match="one teacher, not 2"):
            distill(Recipe.from_dict(two))
        tiny["student"]["input"] = {"transforms": [{"name": "resize", "size": [4, 4]}]}
        with pytest.raises(RecipeError, match="the student's is another"):
            distill(Recipe.from_dict(tiny))
