"""Students that lose channels before they learn: what they start from, and how they come back."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from edgekd.distill.progress import Progress
from edgekd.distill.stage import distill, examine
from edgekd.errors import MissingExtraError, ModelError, RecipeError
from edgekd.models.exits import exits_of
from edgekd.recipe import Recipe
from edgekd.records import ModelFacts
from edgekd.rundir import Run, sha256_file
from edgekd.runtimes.torch import restore
from edgekd.toml import dump_toml

pytest.importorskip("torch_pruning")

#: A rate at which nothing moves by more than rounding.
STILL = 1e-12

IN_A_PROCESS = """
import sys
from edgekd.distill.progress import Progress
from edgekd.distill.stage import distill

class Watch(Progress):
    def epoch(self, line):
        print(line["phase"], line["epoch"], flush=True)

distill(sys.argv[1], out=sys.argv[2], progress=Watch())
"""


class Recorder(Progress):
    def __init__(self) -> None:
        self.messages: list[str] = []
        self.networks: dict[str, ModelFacts] = {}
        self.order: list[str] = []

    def message(self, text: str) -> None:
        self.messages.append(text)

    def network(self, role: str, facts: ModelFacts) -> None:
        self.networks[role] = facts
        self.order.append(role)

    def started(self, phase: str, seed: int, steps: int, done: int, epochs: int) -> None:
        self.order.append(f"{phase} trains")


@pytest.fixture
def pruned(tiny: dict[str, Any]) -> dict[str, Any]:
    """The tiny recipe: a teacher 64-48-10 that becomes a student 64-12-10."""
    tiny["student"] = {"model": "mlp", "hidden": [48], "start": "teacher", "prune": 0.75}
    return tiny


def hidden(weights: Path) -> int:
    (first, *_) = [tensor for tensor in load_file(weights).values() if tensor.ndim == 2]
    return len(first)


def test_the_teacher_is_pruned_and_the_run_brings_it_back(pruned: dict[str, Any]) -> None:
    pruned["train"]["seeds"] = [0, 1]
    watch = Recorder()
    run = distill(Recipe.from_dict(pruned), progress=watch)
    assert run.verify() == []
    assert (hidden(run.teacher_path), hidden(run.student_path)) == (48, 12)
    assert watch.order[:3] == ["student before pruning", "student", "teacher mlp"]
    # 64-12-10 and 64-48-10: counted by hand.
    small, whole = 64 * 12 + 12 + 12 * 10 + 10, 64 * 48 + 48 + 48 * 10 + 10
    assert watch.networks["student"].parameters == small
    assert watch.networks["student before pruning"].parameters == whole
    student, before = run.manifest.student, run.manifest.networks["student.safetensors"].pruned
    assert student is not None and before is not None
    assert (student.parameters, before.parameters) == (small, whole)
    assert (student.macs, before.macs) == (64 * 12 + 12 * 10, 64 * 48 + 48 * 10)
    assert run.manifest.networks["teacher.safetensors"].pruned is None
    (line,) = [text for text in watch.messages if "pruned" in text]
    assert line.startswith("student (seed 0) pruned: 3.61k → 910 parameters, ")
    # What is rebuilt from the folder says what the trained student said.
    opened = Run.open(run.path)
    assert "[student.prune]\n" in (run.path / "recipe.toml").read_text()
    model = restore(opened, opened.student_path).eval()
    data = np.load(run.predictions_path)
    found = accuracy_of(model, run)
    assert found == pytest.approx(
        float((data["student_logits"].argmax(1) == data["targets"]).mean())
    )


def accuracy_of(model: torch.nn.Module, run: Run) -> float:
    from edgekd.data.load import load_for_student

    data = load_for_student(run.recipe)
    with torch.no_grad():
        logits = model(torch.from_numpy(data.normalised("test")))
    targets = torch.from_numpy(data.splits["test"].targets)
    return float((logits.argmax(1) == targets).double().mean())


def test_the_twin_starts_from_the_same_pruned_teacher(pruned: dict[str, Any]) -> None:
    pruned["train"] |= {"epochs": 1, "learning_rate": STILL, "weight_decay": 0.0, "baseline": True}
    pruned["teacher"][0]["train"]["learning_rate"] = 0.01
    run = distill(Recipe.from_dict(pruned))
    ours, twins = load_file(run.student_path), load_file(run.baseline_path)
    theirs = load_file(run.teacher_path)
    assert all(torch.allclose(ours[name], twins[name], atol=1e-6) for name in ours)
    # The student's first layer is a part of the teacher's: rows of it, in their order.
    name = next(name for name, tensor in ours.items() if tensor.ndim == 2)
    rows = [int((theirs[name] - row).abs().sum(1).argmin()) for row in ours[name]]
    assert rows == sorted(set(rows))
    assert torch.allclose(theirs[name][rows], ours[name], atol=1e-6)


class Interrupted(Recorder):
    def epoch(self, line: dict[str, Any]) -> None:
        if (line["phase"], line["epoch"]) == ("student", 2):
            raise KeyboardInterrupt


def test_an_interrupted_run_goes_on_without_pruning_again(
    pruned: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pruned["train"]["baseline"] = True
    whole = distill(Recipe.from_dict(pruned))
    with pytest.raises(KeyboardInterrupt):
        distill(Recipe.from_dict(pruned), out=tmp_path / "run", progress=Interrupted())
    monkeypatch.setitem(sys.modules, "torch_pruning", None)
    watch = Recorder()
    resumed = distill(resume=tmp_path / "run", progress=watch)
    assert sha256_file(resumed.student_path) == sha256_file(whole.student_path)
    assert sha256_file(resumed.baseline_path) == sha256_file(whole.baseline_path)
    assert watch.networks["student"] == whole_facts(whole, watch.networks["student"])


def whole_facts(run: Run, like: ModelFacts) -> ModelFacts:
    facts = run.manifest.student
    assert facts is not None
    return facts.model_copy(update={"size_bytes": like.size_bytes, "sha256": None})


@pytest.mark.slow
def test_killed_then_resumed_is_the_same_student(pruned: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "tiny.toml"
    path.write_text(dump_toml(pruned))
    whole = distill(path, out=tmp_path / "whole")
    command = [sys.executable, "-c", IN_A_PROCESS, str(path), str(tmp_path / "killed")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.strip() == "student 1":
                process.send_signal(signal.SIGKILL)
                break
    resumed = distill(resume=tmp_path / "killed")
    assert sha256_file(resumed.student_path) == sha256_file(whole.student_path)


def test_from_a_run_by_gradients(pruned: dict[str, Any], tiny_run: Run) -> None:
    pruned["student"] = {
        "model": "mlp",
        "hidden": [12],
        "weights": str(tiny_run.student_path),
        "prune": {"amount": 0.5, "criterion": "taylor", "round_to": 4},
    }
    pruned["train"]["epochs"] = 1
    run = distill(Recipe.from_dict(pruned))
    assert hidden(run.student_path) == 8


def test_exits_stand_on_what_is_left(pruned: dict[str, Any]) -> None:
    network = {"model": "mlp", "hidden": [48, 24]}
    pruned["teacher"] = [{**network, "train": {"epochs": 4}}]
    pruned["student"] = {**network, "start": "teacher", "prune": 0.5, "exits": ["2"]}
    pruned["loss"].append({"name": "early-exits", "weight": 1.0})
    pruned["train"]["epochs"] = 1
    run = distill(Recipe.from_dict(pruned))
    model = restore(run, run.student_path)
    assert exits_of(model) == ("2",)
    assert model.get_parameter("3.weight").shape == (12, 24)
    assert model.get_parameter("exits.0.1.weight").shape == (10, 24)


def test_a_dry_run_says_what_will_be_left(pruned: dict[str, Any]) -> None:
    watch = Recorder()
    examine(Recipe.from_dict(pruned), progress=watch)
    assert watch.networks["student"].parameters == 910
    assert any("pruned: 3.61k → 910 parameters" in text for text in watch.messages)


@pytest.mark.parametrize("target", [pytest.param("tflite", marks=pytest.mark.slow), "onnx"])
def test_exported_as_any_student(pruned: dict[str, Any], target: str, tmp_path: Path) -> None:
    from edgekd.export.stage import export

    network = {"model": "ds-cnn", "width": 0.25, "layers": 1}
    pruned["teacher"] = [{**network, "train": {"epochs": 6}}]
    pruned["student"] = {**network, "start": "teacher", "prune": {"amount": 0.4}}
    pruned["train"]["epochs"] = 1
    run = distill(Recipe.from_dict(pruned))
    artifact = export(run, target=target)
    assert artifact.path.exists()
    assert artifact.manifest.parity.passed


class TestFaults:
    def test_no_trained_weights(self, pruned: dict[str, Any]) -> None:
        del pruned["student"]["start"]
        with pytest.raises(RecipeError, match=r"no trained weights to prune") as caught:
            distill(Recipe.from_dict(pruned))
        assert 'student.start = "teacher"' in str(caught.value.hint)

    @pytest.mark.parametrize(
        ("prune", "message"),
        [
            (1.0, r"student\.prune\.amount"),
            ({}, r"student\.prune\.amount: missing"),
            ({"amount": 0.5, "critrion": "l1"}, r"critrion: unknown key; did you mean 'criterion'"),
            ({"amount": 0.5, "criterion": "l3"}, r"student\.prune\.criterion"),
            (True, r"student\.prune"),
        ],
    )
    def test_keys(self, pruned: dict[str, Any], prune: Any, message: str) -> None:
        pruned["student"]["prune"] = prune
        with pytest.raises(RecipeError, match=message):
            distill(Recipe.from_dict(pruned))

    def test_the_extra_is_missing(
        self, pruned: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "torch_pruning", None)
        with pytest.raises(MissingExtraError, match=r"student\.prune needs") as caught:
            distill(Recipe.from_dict(pruned))
        assert "edgekd[prune]" in str(caught.value.hint)

    def test_a_network_without_channels_is_refused_before_the_teacher_trains(
        self, pruned: dict[str, Any]
    ) -> None:
        pruned["teacher"] = [{"model": "gru", "hidden": 8}]
        pruned["student"] |= {"model": "gru", "hidden": 8}
        watch = Recorder()
        with pytest.raises(ModelError, match=r"student\.prune: nothing can be taken out of GRU"):
            distill(Recipe.from_dict(pruned), progress=watch)
        assert watch.order == ["student before pruning"]
