"""Stages: what learns when, what is handed on, and what a resume finds."""

from __future__ import annotations

import re
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from edgekd.distill.freezing import frozen, frozen_layers, set_still
from edgekd.distill.stage import distill, examine
from edgekd.errors import RecipeError
from edgekd.models.build import build
from edgekd.recipe import Recipe, StageSpec
from edgekd.report import curves
from edgekd.rundir import runs_root, sha256_file
from edgekd.toml import dump_toml
from tests.distill.test_stage import Recorder, StopAfter, start

HINT = {"name": "hint", "layers": [["layer2", "layer2"]]}


@pytest.fixture
def staged(tiny: dict[str, Any]) -> dict[str, Any]:
    """Two stages of a network with BatchNorm; the second moves the classifier alone."""
    tiny["data"]["split"]["train"] = 200
    tiny["teacher"] = [
        {"model": "resnet8", "width": 0.25, "train": {"epochs": 6, "select": "best"}}
    ]
    tiny["student"] = {"model": "resnet8", "width": 0.125}
    tiny["loss"].append(HINT)
    tiny["stage"] = [
        {"name": "features", "epochs": 2, "losses": ["hint"], "freeze": ["linear"]},
        {"name": "head", "epochs": 2, "losses": ["kd"], "only": ["linear"]},
        {"name": "all", "epochs": 2, "losses": ["kd", "cross-entropy"]},
    ]
    tiny["train"]["doctor"] = "warn"
    return tiny


@pytest.fixture
def resnet() -> nn.Module:
    return build("resnet8", {}, num_classes=10, input_shape=(1, 8, 8), where="student")


class TestFrozen:
    def layers(self, network: nn.Module, **stage: Any) -> set[str]:
        spec = StageSpec(name="s", epochs=1, **stage)
        return set(frozen_layers(network, spec, "stage[0]"))

    def test_a_prefix_is_a_whole_name(self, resnet: nn.Module) -> None:
        found = self.layers(resnet, freeze=("layer1",))
        names = {name for name, _ in resnet.named_parameters()}
        assert found & names == {name for name in names if name.startswith("layer1.")}
        assert "layer1.0.bn1" in found and "layer2" not in found

    def test_only_freezes_all_the_rest(self, resnet: nn.Module) -> None:
        found = self.layers(resnet, only=("layer3.0.conv1", "linear"))
        names = {name for name, _ in resnet.named_parameters()}
        assert names - found == {"layer3.0.conv1.weight", "linear.weight", "linear.bias"}
        assert "layer3.0.bn1" in found and "layer3" not in found

    def test_nothing_by_default(self, resnet: nn.Module) -> None:
        assert not self.layers(resnet)

    def test_unknown_names_the_closest(self, resnet: nn.Module) -> None:
        with pytest.raises(RecipeError, match=r"(?s)stage\[0\].*freeze.*'layer7'.*layer"):
            self.layers(resnet, freeze=("layer7",))

    def test_what_did_not_learn_before_does_not_learn_after(self, resnet: nn.Module) -> None:
        resnet.get_parameter("layer1.0.conv1.weight").requires_grad_(False)
        with frozen(resnet, ["layer2.0.conv1.weight"]):
            assert not resnet.get_parameter("layer2.0.conv1.weight").requires_grad
        assert resnet.get_parameter("layer2.0.conv1.weight").requires_grad
        assert not resnet.get_parameter("layer1.0.conv1.weight").requires_grad

    def test_only_frozen_modules_are_still(self, resnet: nn.Module) -> None:
        resnet.train()
        set_still(resnet, ["layer1.0.bn1", "layer1.0.bn1.weight"])
        modules = {name for name, module in resnet.named_modules() if not module.training}
        assert modules == {"layer1.0.bn1"}


def parts(raw: dict[str, Any], *numbers: int) -> Recipe:
    """Return a recipe of some of the stages, with the losses they use."""
    stages = [raw["stage"][number] for number in numbers]
    used = {name for stage in stages for name in stage["losses"]}
    losses = [loss for loss in raw["loss"] if loss["name"] in used]
    return Recipe.from_dict({**raw, "stage": stages, "loss": losses})


class TestWhatMoves:
    def test_frozen_layers_stay_bit_by_bit(self, staged: dict[str, Any]) -> None:
        """BatchNorm's statistics too."""
        staged["train"]["select"] = "last"
        first = load_file(distill(parts(staged, 0)).student_path)
        second = load_file(distill(parts(staged, 0, 1)).student_path)
        moved = {name for name in first if not torch.equal(first[name], second[name])}
        assert moved == {"linear.weight", "linear.bias"}
        assert any("running_mean" in name for name in first)

    def test_the_first_stage_leaves_the_classifier(self, staged: dict[str, Any]) -> None:
        staged["train"]["select"] = "last"
        torch.manual_seed(0)
        options = {"width": 0.125}
        begun = build("resnet8", options, num_classes=10, input_shape=(1, 8, 8), where="student")
        found = load_file(distill(parts(staged, 0)).student_path)
        assert torch.equal(found["linear.weight"], begun.state_dict()["linear.weight"])
        assert not torch.equal(found["conv1.weight"], begun.state_dict()["conv1.weight"])

    def test_a_last_stage_is_a_run_from_the_weights_before(self, staged: dict[str, Any]) -> None:
        """Optimizer, schedule and order of samples start anew: the same student, bit for bit."""
        before = distill(parts({**staged, "train": {**staged["train"], "select": "last"}}, 0, 1))
        whole = distill(parts(staged, 0, 1, 2))
        plain = {**staged, "stage": [], "loss": staged["loss"][:2]}
        plain["student"] = {**staged["student"], "weights": str(before.student_path)}
        plain["train"] = {**staged["train"], "epochs": 2}
        alone = distill(Recipe.from_dict(plain))
        assert sha256_file(alone.student_path) == sha256_file(whole.student_path)
        score = whole.manifest.student_scores[0]
        assert score.epochs == 6
        assert score.test_accuracy == alone.manifest.student_scores[0].test_accuracy

    def test_adapters_go_on_in_the_next_stage(self, staged: dict[str, Any], tmp_path: Path) -> None:
        still = {"learning_rate": 1e-12, "weight_decay": 0.0}
        staged["loss"] = [HINT]
        staged["stage"] = [
            {"name": "one", "epochs": 2},
            {"name": "two", "epochs": 2, "train": still},
        ]
        with pytest.raises(KeyboardInterrupt):
            distill(Recipe.from_dict(staged), out=tmp_path / "r", progress=StopAfter("student", 3))
        one, two = (
            torch.load(tmp_path / "r" / "checkpoints" / f"student-0-stage-{n}.pt")["trainable"]
            for n in (1, 2)
        )
        adapters = [name for name in one if name.startswith("losses.") and "weight" in name]
        assert adapters
        for name in adapters:
            torch.testing.assert_close(one[name], two[name], rtol=0, atol=1e-8)

    def test_a_stage_has_a_training_of_its_own(self, staged: dict[str, Any]) -> None:
        staged["stage"][1]["train"] = {
            "learning_rate": 0.5,
            "schedule": "constant",
            "batch_size": 50,
        }
        run = distill(Recipe.from_dict(staged))
        lines = [line for line in run.metrics() if line["phase"] == "student"]
        assert [line["stage"] for line in lines] == ["features"] * 2 + ["head"] * 2 + ["all"] * 2
        assert [line["epoch"] for line in lines] == [1, 2, 3, 4, 5, 6]
        # 200 samples: 4 steps of 64, 4 of 50
        assert [line["step"] for line in lines] == [4, 8, 12, 16, 20, 24]
        assert [line["learning_rate"] for line in lines[2:4]] == [0.5, 0.5]
        assert [set(line["terms"]) for line in lines[::2]] == [
            {"hint"},
            {"kd"},
            {"kd", "cross-entropy"},
        ]

    def test_the_curves_draw(self, staged: dict[str, Any]) -> None:
        lines = distill(Recipe.from_dict(staged)).metrics()
        assert curves.validation_accuracy(lines) is not None
        assert curves.loss_by_term(lines) is not None

    def test_the_twin_has_as_many_epochs(self, staged: dict[str, Any]) -> None:
        staged["train"]["baseline"] = True
        run = distill(Recipe.from_dict(staged))
        assert run.manifest.baseline_scores[0].epochs == 6
        lines = [line for line in run.metrics() if line["phase"] == "baseline"]
        assert not any("stage" in line for line in lines)


class TestInterrupted:
    @pytest.mark.parametrize(
        "after",
        [
            pytest.param("student 1", marks=pytest.mark.slow),
            "student 3",
            pytest.param("student 5", marks=pytest.mark.slow),
        ],
    )
    def test_killed_then_resumed_is_the_same_student(
        self, staged: dict[str, Any], tmp_path: Path, after: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        staged["stage"][2]["losses"].append("hint")
        staged["train"]["ema"] = 0.9
        path = tmp_path / "tiny.toml"
        path.write_text(dump_toml(staged))
        whole = distill(path, out=tmp_path / "whole")
        monkeypatch.setenv("EDGEKD_RUNS", str(tmp_path / "other-runs"))
        with start(path, tmp_path / "killed") as process:
            assert process.stdout is not None
            for line in process.stdout:
                if line.strip() == after:
                    process.send_signal(signal.SIGKILL)
                    break
        watch = Recorder()
        resumed = distill(resume=tmp_path / "killed", progress=watch)
        assert sha256_file(resumed.student_path) == sha256_file(whole.student_path)
        keys = [(line["phase"], line["epoch"]) for line in resumed.metrics()]
        assert keys == [(line["phase"], line["epoch"]) for line in whole.metrics()]
        # What was finished is not trained again.
        again = [line["epoch"] for line in watch.lines if line["phase"] == "student"]
        assert again[0] >= int(after.split()[1])


def test_a_dry_run_looks_at_every_stage(staged: dict[str, Any]) -> None:
    checks = [finding.check for finding in examine(Recipe.from_dict(staged))]
    assert {"stage features: finite", "stage head: finite", "stage all: finite"} <= set(checks)


def test_the_doctors_report_keeps_every_stage(staged: dict[str, Any]) -> None:
    text = (distill(Recipe.from_dict(staged)).path / "doctor.json").read_text()
    assert all(f"stage {name}: optimizers" in text for name in ("features", "head", "all"))


class TestFaults:
    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"losses": ["hnit"]}, r"stage\[0\]\.losses.*'hnit'.*'hint'"),
            ({"freeze": ["linaer"]}, r"stage\[0\].*'linaer'.*'linear'"),
            ({"only": ["linear"]}, "exclude each other"),
            ({"train": {"learnig_rate": 1.0}}, r"stage\[0\]\.train\.learnig_rate"),
            ({"train": {"epochs": 3}}, r"stage\[0\]\.train\.epochs.*stage\.epochs"),
            ({"train": {"schedule": "cosin"}}, r"stage\[0\]\.train\.schedule.*cosine"),
            ({"name": "head"}, r"stage\[1\]\.name.*two stages are called 'head'"),
            ({"losses": ["kd"]}, "no stage uses the loss 'hint'"),
            ({"epochs": None}, r"stage\[0\]\.epochs"),
        ],
    )
    def test_found_before_anything_is_written(
        self, staged: dict[str, Any], change: dict[str, Any], message: str
    ) -> None:
        staged["stage"][0] |= change
        with pytest.raises(RecipeError) as caught:
            distill(Recipe.from_dict(staged))
        text = f"{caught.value} {caught.value.hint}".replace("\n", " ")
        assert re.search(message, text), text
        assert not runs_root().exists()

    def test_nothing_learns(self, staged: dict[str, Any]) -> None:
        everything = ["conv1", "bn1", "layer1", "layer2", "layer3", "linear"]
        staged["stage"][1] |= {"only": [], "freeze": everything}
        with pytest.raises(RecipeError, match="nothing learns"):
            distill(Recipe.from_dict(staged))
        assert not runs_root().exists()
