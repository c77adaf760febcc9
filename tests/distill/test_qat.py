"""Training with fake quantization: same losses, same loop, and the float student untouched."""

from __future__ import annotations

import copy
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from edgekd.cli.render import run_table
from edgekd.data.load import load_for_student
from edgekd.distill.qat import quantized_train
from edgekd.distill.stage import distill
from edgekd.distill.taught import inner
from edgekd.errors import RecipeError
from edgekd.metrics.classification import accuracy
from edgekd.quantize.fake.network import FakeQuantized
from edgekd.quantize.fake.restore import load_quantized
from edgekd.recipe import QuantizeSpec, Recipe
from edgekd.report import curves
from edgekd.rundir import Run, sha256_file
from edgekd.runtimes.torch import restore
from edgekd.summary import QAT, rows
from edgekd.toml import dump_toml
from tests.distill.test_stage import Recorder, StopAfter, start


def with_qat(raw: dict[str, Any]) -> dict[str, Any]:
    """A network with BatchNorm and a residual, a hint on named layers, two more epochs."""
    raw["data"]["split"]["train"] = 200
    raw["teacher"] = [{"model": "resnet8", "width": 0.25, "train": {"epochs": 3}}]
    raw["student"] = {"model": "resnet8", "width": 0.125}
    raw["loss"].append({"name": "hint", "layers": [["layer2", "layer2"]], "weight": 0.1})
    raw["train"] |= {"epochs": 4, "doctor": "off"}
    raw["quantize"] = {"qat": True, "epochs": 3, "learning_rate": 2e-3}
    return raw


@pytest.fixture
def qat(tiny: dict[str, Any]) -> dict[str, Any]:
    return with_qat(tiny)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    from tests.fixtures_tiny import TINY

    folder = tmp_path_factory.mktemp("qat")
    raw = with_qat(copy.deepcopy(TINY))
    raw["train"]["seeds"] = [0, 1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGEKD_RUNS", str(folder / "runs"))
        return distill(Recipe.from_dict(raw), out=folder / "run")


def restored(run: Run) -> FakeQuantized:
    assert run.recipe.quantize is not None
    network = restore(run, run.student_path)
    return load_quantized(network, run.qat_path, run.recipe.quantize, run.manifest.sample_shape)


class TestAWholeRun:
    def test_the_log(self, run: Run) -> None:
        lines = [line for line in run.metrics() if line["phase"] == "qat"]
        assert [(line["seed"], line["epoch"]) for line in lines] == [(0, 1), (0, 2), (0, 3)]
        assert all(set(line["terms"]) == {"cross-entropy", "kd", "hint"} for line in lines)
        assert len({line["terms"]["hint"] for line in lines}) == 3
        chart = curves.validation_accuracy(run.metrics())
        assert chart is not None and "qat" in str(chart)

    def test_the_hint_goes_on_where_the_float_training_left_it(self, run: Run) -> None:
        """Its adapter is handed on: it does not start anew."""
        hints = [
            line["terms"]["hint"]
            for line in run.metrics()
            if line["phase"] in ("student", "qat") and line["seed"] == 0
        ]
        assert hints[4] < (hints[0] + hints[3]) / 2

    def test_the_file_computes_what_was_scored(self, run: Run) -> None:
        network = restored(run)
        dataset = load_for_student(run.recipe)
        part = dataset.splits["test"]
        with torch.no_grad():
            logits = network(torch.from_numpy(dataset.normalised("test", np.arange(len(part)))))
        score = run.manifest.qat_score
        assert score is not None
        assert accuracy(logits.numpy(), part.targets) == score.test_accuracy
        assert score.test_agreement is not None and score.epochs == 3
        assert "student-qat.safetensors" in run.manifest.files and run.verify() == []

    def test_the_teacher_is_not_in_the_file(self, run: Run) -> None:
        state = load_file(run.qat_path)
        own = set(inner(restored(run)).state_dict())
        assert {name.removeprefix("network.") for name in state} == own | {"low", "high"}

    def test_it_stands_in_the_tables(self, run: Run) -> None:
        score = run.manifest.qat_score
        row = next(row for row in rows(run) if row.name == QAT)
        assert score is not None and row.accuracy == score.test_accuracy
        assert row.size_bytes is None
        labels = list(run_table(run.manifest).columns[0].cells)
        assert f"{QAT} (resnet8)" in labels


def test_the_float_student_is_that_of_a_run_without(qat: dict[str, Any], tmp_path: Path) -> None:
    whole = distill(Recipe.from_dict(qat), out=tmp_path / "with")
    del qat["quantize"]
    plain = distill(Recipe.from_dict(qat), out=tmp_path / "without")
    assert sha256_file(whole.student_path) == sha256_file(plain.student_path)
    assert plain.manifest.qat_score is None and not plain.qat_path.exists()


@pytest.mark.parametrize("phase", ["qat", pytest.param("student", marks=pytest.mark.slow)])
def test_stopped_then_resumed_is_the_same(
    qat: dict[str, Any], tmp_path: Path, phase: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = Recipe.from_dict(qat)
    whole = distill(recipe, out=tmp_path / "whole")
    monkeypatch.setenv("EDGEKD_RUNS", str(tmp_path / "other-runs"))
    with pytest.raises(KeyboardInterrupt):
        distill(recipe, out=tmp_path / "stopped", progress=StopAfter(phase, 1))
    watch = Recorder()
    resumed = distill(resume=tmp_path / "stopped", progress=watch)
    assert sha256_file(resumed.qat_path) == sha256_file(whole.qat_path)
    assert sha256_file(resumed.student_path) == sha256_file(whole.student_path)
    if phase == "qat":
        assert [(line["phase"], line["epoch"]) for line in watch.lines] == [("qat", 2), ("qat", 3)]


@pytest.mark.slow
@pytest.mark.parametrize("after", ["qat 1", "qat 2"])
def test_killed_then_resumed_is_the_same(
    qat: dict[str, Any], tmp_path: Path, after: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    qat["train"] |= {"ema": 0.9, "augment": ["affine"]}
    path = tmp_path / "qat.toml"
    path.write_text(dump_toml(qat))
    whole = distill(path, out=tmp_path / "whole")
    monkeypatch.setenv("EDGEKD_RUNS", str(tmp_path / "other-runs"))
    with start(path, tmp_path / "killed") as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.strip() == after:
                process.send_signal(signal.SIGKILL)
                break
    resumed = distill(resume=tmp_path / "killed")
    assert sha256_file(resumed.qat_path) == sha256_file(whole.qat_path)


@pytest.mark.slow
def test_after_stages_the_last_stage_goes_on(qat: dict[str, Any], tmp_path: Path) -> None:
    qat["stage"] = [
        {"name": "features", "epochs": 2, "losses": ["hint"]},
        {"name": "answers", "epochs": 2, "losses": ["kd", "cross-entropy"]},
    ]
    run = distill(Recipe.from_dict(qat), out=tmp_path / "run")
    lines = [line for line in run.metrics() if line["phase"] == "qat"]
    assert all(set(line["terms"]) == {"cross-entropy", "kd"} for line in lines)


@pytest.mark.slow
def test_a_pruned_student(qat: dict[str, Any], tmp_path: Path) -> None:
    qat["student"] = {"model": "resnet8", "width": 0.75, "prune": 0.5}
    run = distill(Recipe.from_dict(qat), out=tmp_path / "run")
    assert isinstance(restored(run), nn.Module)


class TestFaults:
    def test_unknown_override(self, qat: dict[str, Any]) -> None:
        qat["quantize"]["train"] = {"learning_rte": 1.0}
        with pytest.raises(RecipeError, match=r"quantize\.train"):
            distill(Recipe.from_dict(qat))

    def test_what_holds_for_the_whole_run(self, qat: dict[str, Any]) -> None:
        qat["quantize"]["train"] = {"epochs": 3}
        with pytest.raises(RecipeError, match="epochs cannot be set here"):
            distill(Recipe.from_dict(qat))

    def test_a_name(self, qat: dict[str, Any]) -> None:
        qat["quantize"]["train"] = {"schedule": "cosin"}
        with pytest.raises(RecipeError, match=r"quantize\.train\.schedule: .*cosin"):
            Recipe.from_dict(qat)

    def test_unknown_key(self, qat: dict[str, Any]) -> None:
        qat["quantize"]["epoch"] = 3
        with pytest.raises(RecipeError, match=r"quantize\.epoch: unknown key.*epochs"):
            Recipe.from_dict(qat)

    def test_peers(self, qat: dict[str, Any]) -> None:
        qat["peer"] = [{"model": "mlp", "hidden": [8]}]
        with pytest.raises(RecipeError, match="together with peers"):
            distill(Recipe.from_dict(qat))


def test_its_training(qat: dict[str, Any]) -> None:
    qat["train"] |= {"compile": True, "patience": 2, "clip_norm": 1.0}
    spec = QuantizeSpec(qat=True, epochs=5, learning_rate=1e-4, train={"clip_norm": 0.5})
    found = quantized_train(Recipe.from_dict(qat), spec)
    assert (found.epochs, found.learning_rate, found.clip_norm) == (5, 1e-4, 0.5)
    assert (found.compile, found.patience, found.batch_size) == (False, 0, 64)
