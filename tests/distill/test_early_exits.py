"""A student with early exits: trained, kept, rebuilt, resumed, and with a cached teacher."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from edgekd.data.load import load_for_student
from edgekd.distill.progress import Progress
from edgekd.distill.stage import distill
from edgekd.errors import RecipeError
from edgekd.models.exits import exits_of, without_exits
from edgekd.recipe import Recipe
from edgekd.rundir import Run, sha256_file
from edgekd.runtimes.torch import restore
from tests.fixtures_exits import EXITS


def recipe(**changes: Any) -> Recipe:
    return Recipe.from_dict({**copy.deepcopy(EXITS), **changes})


def accuracies(run: Run) -> list[float]:
    """Return the test accuracy of every exit and of the end."""
    model = restore(run, run.student_path).eval()
    data = load_for_student(run.recipe)
    found: list[torch.Tensor] = []
    for head in model.get_submodule("exits").children():
        head.register_forward_hook(lambda *given: found.append(given[2]))
    with torch.no_grad():
        found.append(model(torch.from_numpy(data.normalised("test"))))
    targets = data.splits["test"].targets
    return [float((logits.argmax(1).numpy() == targets).mean()) for logits in found]


def test_every_exit_learns_and_the_run_knows_how_to_build_them(run_of_exits: Run) -> None:
    run = run_of_exits
    assert run.recipe.loss[1].options["exits"] == 2
    known = run.manifest.networks["student.safetensors"].exits
    assert known is not None and known.at == ("2", "4")
    assert exits_of(restore(run, run.student_path)) == ("2", "4")
    assert min(accuracies(run)) > 0.4  # chance is 0.1
    (score,) = run.manifest.student_scores
    assert accuracies(run)[-1] == pytest.approx(score.test_accuracy)


class Interrupted(Exception):
    """Stands for whatever ends a process in the middle of a training."""


class InterruptsAfter(Progress):
    """Raises when the student ends the epoch after this one, before its checkpoint."""

    def epoch(self, line: dict[str, Any]) -> None:
        if line["phase"] == "student" and line["epoch"] > 1:
            raise Interrupted


def test_resumes_bit_for_bit_with_a_cached_teacher_and_an_average(tmp_path: Path) -> None:
    teacher = {"model": "mlp", "hidden": [32], "cache": {"views": 2}, "train": {"epochs": 2}}
    whole = recipe(
        teacher=[teacher],
        loss=[
            {"name": "cross-entropy"},
            {"name": "kd", "weight": 0.5},
            {"name": "early-exits", "teach": "both"},
        ],
        train={**EXITS["train"], "ema": 0.8, "baseline": True, "select": "last"},
    )
    expected = distill(whole)
    assert min(accuracies(expected)) > 0.3
    baseline = restore(expected, expected.baseline_path)
    assert exits_of(baseline) == ("2", "4")
    path = tmp_path / "interrupted"
    with pytest.raises(Interrupted):
        distill(copy.deepcopy(whole), out=path, progress=InterruptsAfter())
    resumed = distill(resume=path)
    assert sha256_file(resumed.student_path) == sha256_file(expected.student_path)
    assert sha256_file(resumed.baseline_path) == sha256_file(expected.baseline_path)


def test_the_network_itself_begins_as_it_would_without_exits() -> None:
    from edgekd.distill.making import build_student

    with_exits, data = recipe(), load_for_student(recipe())
    bare = {key: value for key, value in EXITS["student"].items() if key != "exits"}
    plain = recipe(student=bare, loss=[{"name": "cross-entropy"}])
    ours = without_exits(build_student(with_exits, data, 3)).state_dict()
    theirs = build_student(plain, data, 3).state_dict()
    assert list(ours) == list(theirs)
    assert all(np.array_equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"student": {"model": "mlp"}}, r"loss\[1\]: 'early-exits' needs exits"),
        ({"loss": [{"name": "cross-entropy"}]}, "no loss trains them"),
        ({"loss": [{"name": "early-exits", "teach": "both"}]}, r"loss\[0\].teach: there is no"),
        ({"loss": [{"name": "early-exits", "exits": 3}]}, r"loss\[0\].exits: the student has 2"),
        ({"student": {"model": "mlp", "exits": []}}, "student.exits.at"),
    ],
)
def test_faults_are_found_in_the_recipe(changes: dict[str, Any], fault: str) -> None:
    with pytest.raises(RecipeError, match=fault):
        recipe(**changes)


def test_a_loss_on_layers_may_train_an_exit() -> None:
    hint = {"name": "rkd", "layers": [["exits.0", "2"]]}
    found = recipe(loss=[{"name": "cross-entropy"}, hint], teacher=[{"model": "mlp"}])
    assert found.student.exits is not None
