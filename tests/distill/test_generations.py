"""Born again: generations of one student, each taught by the one before."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from edgekd.distill.generations import weights_seed
from edgekd.distill.stage import distill, examine
from edgekd.errors import RecipeError
from edgekd.models.build import build
from edgekd.models.weights import save_weights
from edgekd.recipe import Recipe
from edgekd.rundir import runs_root, sha256_file
from edgekd.toml import dump_toml
from tests.distill.test_stage import Recorder, start


@pytest.fixture
def born(tiny: dict[str, Any]) -> dict[str, Any]:
    """Three generations, and nobody before them."""
    del tiny["teacher"]
    tiny["student"]["generations"] = 3
    return tiny


def test_without_teachers_the_first_learns_from_labels(born: dict[str, Any]) -> None:
    run = distill(Recipe.from_dict(born))
    by_phase = {line["phase"]: set(line["terms"]) for line in run.metrics()}
    assert by_phase == {
        "generation-1": {"cross-entropy"},
        "generation-2": {"cross-entropy", "kd"},
        "student": {"cross-entropy", "kd"},
    }
    assert [link.role for link in run.manifest.links] == ["generation", "generation"]
    assert all(link.scores[0].test_accuracy > 0.5 for link in run.manifest.links)
    assert not run.manifest.teachers


def test_each_is_taught_as_by_a_teacher_of_the_same_weights(
    born: dict[str, Any], tmp_path: Path
) -> None:
    """Two generations made by hand: the same student, bit for bit."""
    born["student"]["generations"] = 2
    whole = distill(Recipe.from_dict(born))
    torch.manual_seed(weights_seed(0, "generation-1"))
    first = build("mlp", {"hidden": [12]}, num_classes=10, input_shape=(1, 8, 8), where="student")
    save_weights(first, tmp_path / "first.safetensors")
    student = {"model": "mlp", "hidden": [12]}
    begun = {**student, "weights": str(tmp_path / "first.safetensors")}
    alone = distill(
        Recipe.from_dict({**born, "student": begun, "loss": [{"name": "cross-entropy"}]})
    )
    teacher = {**student, "weights": str(alone.student_path)}
    second = distill(Recipe.from_dict({**born, "student": student, "teacher": [teacher]}))
    assert sha256_file(second.student_path) == sha256_file(whole.student_path)


def test_a_teacher_teaches_the_first_and_a_name_hears_it_later(tiny: dict[str, Any]) -> None:
    tiny["student"]["generations"] = 2
    tiny["loss"].append({"name": "logits-mse", "weight": 0.01, "teacher": "mlp"})
    tiny["chain"] = {"direct": True, "cache": {"views": 1, "precision": "fp32"}}
    run = distill(Recipe.from_dict(tiny))
    assert run.manifest.student_scores[0].test_agreement is not None
    assert len(run.manifest.compared_scores["direct"]) == 1
    assert len(list((runs_root() / "cache").iterdir())) == 1


def test_every_seed_has_generations_of_its_own(born: dict[str, Any]) -> None:
    born["student"]["generations"] = 2
    born["train"] |= {"seeds": [3, 4], "baseline": True}
    run = distill(Recipe.from_dict(born))
    (link,) = run.manifest.links
    assert [score.seed for score in link.scores] == [3, 4]
    assert len({score.validation_accuracy for score in link.scores}) == 2
    assert len(run.manifest.student_scores) == len(run.manifest.baseline_scores) == 2


def test_behind_a_chain_of_assistants(tiny: dict[str, Any]) -> None:
    tiny["assistant"] = [{"model": "mlp", "hidden": [24]}]
    tiny["student"]["generations"] = 2
    names = [link.name for link in distill(Recipe.from_dict(tiny)).manifest.links]
    assert names == ["assistant-1", "generation-1"]


@pytest.mark.parametrize(
    "after",
    [
        pytest.param("generation-1 2", marks=pytest.mark.slow),
        "generation-2 1",
        pytest.param("student 2", marks=pytest.mark.slow),
    ],
)
def test_killed_then_resumed_is_the_same_student(
    born: dict[str, Any], tmp_path: Path, after: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "tiny.toml"
    path.write_text(dump_toml(born))
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
    if after == "student 2":
        assert {line["phase"] for line in watch.lines} <= {"student"}


def test_a_dry_run_looks_at_every_generation(born: dict[str, Any]) -> None:
    checks = [finding.check for finding in examine(Recipe.from_dict(born))]
    assert {"generation-1: finite", "generation-2: finite", "finite"} <= set(checks)


class TestFaults:
    def test_a_loss_that_needs_a_teacher_in_a_single_generation(self, born: dict[str, Any]) -> None:
        born["student"]["generations"] = 1
        with pytest.raises(RecipeError, match="needs a teacher"):
            distill(Recipe.from_dict(born))

    def test_nothing_direct_to_compare_with(self, born: dict[str, Any]) -> None:
        born["chain"] = {"direct": True}
        with pytest.raises(RecipeError, match="no teacher to learn from"):
            distill(Recipe.from_dict(born))

    def test_layers_that_a_generation_lacks(self, tiny: dict[str, Any]) -> None:
        """The teacher has them; the first generation, which teaches the student, does not."""
        tiny["teacher"][0] = {"model": "resnet8", "width": 0.25}
        tiny["student"]["generations"] = 2
        tiny["loss"].append({"name": "hint", "layers": [["2", "layer3"]]})
        with pytest.raises(RecipeError, match="layer3"):
            distill(Recipe.from_dict(tiny))
        assert not runs_root().exists()
