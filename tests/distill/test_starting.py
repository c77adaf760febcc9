"""Where a student starts: at its teacher, at a run, at a file; and what its twin starts from."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from edgekd.distill.progress import Progress
from edgekd.distill.stage import distill, examine
from edgekd.errors import ModelError, RecipeError
from edgekd.recipe import Recipe
from edgekd.records import ModelFacts
from edgekd.rundir import Run, sha256_file

#: A rate at which nothing moves by more than rounding.
STILL = 1e-12


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
def still(tiny: dict[str, Any]) -> dict[str, Any]:
    """A recipe whose student hardly learns, so that what it started from is what it has."""
    tiny["teacher"][0] = {
        "model": "vit",
        "depth": 4,
        "dim": 16,
        "heads": 2,
        "train": {"epochs": 1, "learning_rate": 0.01},
    }
    tiny["student"] = {"model": "vit", "depth": 2, "dim": 16, "heads": 2}
    tiny["train"] |= {"epochs": 1, "learning_rate": STILL, "weight_decay": 0.0}
    return tiny


def near(run: Run, ours: str, theirs: str) -> bool:
    student, teacher = load_file(run.student_path), load_file(run.teacher_path)
    return torch.allclose(student[ours], teacher[theirs], rtol=0, atol=1e-6)


def test_every_second_layer_of_the_teacher(still: dict[str, Any]) -> None:
    still["student"]["start"] = {"layers": "every-second"}
    watch = Recorder()
    run = distill(Recipe.from_dict(still), progress=watch)
    for ours, theirs in ((0, 0), (1, 2)):
        name = "attention.query.weight"
        assert near(run, f"blocks.{ours}.{name}", f"blocks.{theirs}.{name}")
    assert near(run, "patches.positions", "patches.positions")
    (line,) = [text for text in watch.messages if "starts from" in text]
    assert line.startswith("student (seed 0) starts from teacher vit: ")
    assert line.endswith("0 tensors (0 parameters) sliced, 0 tensors (0 parameters) stay random")


def test_the_recipe_of_the_run_says_it(still: dict[str, Any]) -> None:
    still["student"]["start"] = {"from": "vit", "layers": {"blocks.0": "blocks.3"}, "slice": True}
    run = distill(Recipe.from_dict(still))
    assert "[student.start]\n" in (run.path / "recipe.toml").read_text()
    start = Run.open(run.path).recipe.student.start
    assert start is not None
    assert (start.source, start.layers, start.slice) == ("vit", {"blocks.0": "blocks.3"}, True)
    assert near(run, "blocks.0.norm1.weight", "blocks.3.norm1.weight")
    assert not near(run, "patches.positions", "patches.positions")


def test_the_twin_starts_without_the_teacher(still: dict[str, Any]) -> None:
    still["train"] |= {"baseline": True, "epochs": 1}
    still["student"] |= {"depth": 4}
    plain = distill(Recipe.from_dict(still)).manifest
    still["student"] |= {"start": "teacher"}
    started = distill(Recipe.from_dict(still)).manifest
    assert plain.baseline_scores[0].test_accuracy == started.baseline_scores[0].test_accuracy
    # The same network with the teacher's weights says what the teacher says.
    assert started.student_scores[0].test_accuracy == started.teacher_scores[0].test_accuracy
    assert started.student_scores[0].test_agreement == 1.0


def test_from_a_run_and_from_a_file(tiny: dict[str, Any], tiny_run: Run) -> None:
    tiny["train"] |= {"epochs": 1, "learning_rate": STILL, "baseline": True}
    tiny["teacher"][0]["train"]["learning_rate"] = 0.01
    first = load_file(tiny_run.student_path)
    hashes = set()
    for source in (str(tiny_run.path), str(tiny_run.student_path)):
        tiny["student"]["start"] = source
        run = distill(Recipe.from_dict(tiny))
        ours = load_file(run.student_path)
        assert all(torch.allclose(ours[name], first[name], atol=1e-6) for name in first)
        # The twin starts there, too: nothing of it is a teacher's.
        scores = run.manifest
        assert scores.baseline_scores[0].test_accuracy == pytest.approx(
            tiny_run.manifest.student_scores[0].test_accuracy
        )
        hashes.add(sha256_file(run.student_path))
    assert len(hashes) == 1


@pytest.mark.parametrize(
    ("start", "message"),
    [
        ({"from": "nobody"}, r"student\.start\.from.*\n.*'nobody' is no teacher, no run"),
        (
            {"from": "teacher", "layer": "first"},
            r"start\.layer: unknown key; did you mean 'layers'",
        ),
        ({"layers": "every-third"}, r"student\.start\.layers"),
        ({"form": "mlp"}, r"start\.form: unknown key; did you mean 'from'"),
    ],
)
def test_faults(tiny: dict[str, Any], start: dict[str, Any], message: str) -> None:
    tiny["student"]["start"] = start
    with pytest.raises(RecipeError, match=message):
        distill(Recipe.from_dict(tiny))


def test_weights_and_a_start_are_one_too_many(tiny: dict[str, Any], tiny_run: Run) -> None:
    tiny["student"] |= {"weights": str(tiny_run.student_path), "start": "teacher"}
    with pytest.raises(RecipeError, match="the student has weights already"):
        distill(Recipe.from_dict(tiny))


def test_a_source_that_fits_nowhere(
    tiny: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("odd") / "odd.safetensors"
    save_file({"something.weight": torch.zeros(3)}, path)
    tiny["student"]["start"] = str(path)
    with pytest.raises(ModelError, match=r"nothing of .*odd\.safetensors fits"):
        distill(Recipe.from_dict(tiny))


def test_sizes_are_told_before_anything_trains(tiny: dict[str, Any]) -> None:
    watch = Recorder()
    run = distill(Recipe.from_dict(tiny), progress=watch)
    assert watch.order == ["student", "teacher mlp", "teacher trains", "student trains"]
    facts = watch.networks["student"]
    # 64-12-10: counted by hand.
    assert facts.parameters == 64 * 12 + 12 + 12 * 10 + 10
    assert facts.macs == 64 * 12 + 12 * 10
    assert facts.size_bytes == 4 * facts.parameters
    assert run.manifest.student is not None
    assert run.manifest.student.int8_bytes == facts.int8_bytes
    looked = Recorder()
    examine(Recipe.from_dict(tiny), progress=looked)
    assert looked.networks == watch.networks
