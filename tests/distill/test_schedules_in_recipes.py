"""Weights and temperatures that change while a student trains, from the recipe to the log."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekd.data.load import load_dataset
from edgekd.distill.stage import distill
from edgekd.errors import RecipeError
from edgekd.recipe import Recipe
from edgekd.rundir import Run
from edgekd.schedule import Schedule

#: Losses whose value is known, so that what is logged is the schedule itself.
LOSSES = """
from edgekd.losses.base import Loss
from edgekd.losses.kd import check_temperature
from edgekd.schedule import Schedule

class One(Loss):
    def forward(self, student, teacher, target):
        return student.logits.sum() * 0.0 + 1.0

class Temperature(Loss):
    def __init__(self, *, temperature: float | Schedule = 1.0) -> None:
        super().__init__()
        self.temperature = check_temperature(temperature)

    def forward(self, student, teacher, target):
        return student.logits.sum() * 0.0 + self.now(self.temperature)
"""

LINEAR = {"schedule": "linear", "start": 0.0, "end": 1.0}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEKD_RUNS", str(tmp_path / "runs"))
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "known_losses.py").write_text(LOSSES)


def logged(run: Run, term: str) -> list[float]:
    """The epochs' means of a term of the student's loss."""
    return [line["terms"][term] for line in run.metrics() if line["phase"] == "student"]


def expected(run: Run, at: Any) -> list[float]:
    """The mean of a function of progress over each epoch's samples, from its definition."""
    steps = [line["step"] for line in run.metrics() if line["phase"] == "student"]
    size, each = 64, steps[0]
    samples = len(load_dataset(run.recipe.data).splits["train"])
    counts = np.array([size] * (samples // size) + ([samples % size] if samples % size else []))
    assert len(counts) == each
    progress = (np.arange(steps[-1]) + 0.5) / steps[-1]
    values = np.array([at(p) for p in progress]).reshape(len(steps), each)
    return list((values * counts).sum(axis=1) / samples)


@pytest.mark.parametrize(
    ("table", "at"),
    [
        (LINEAR, lambda p: p),
        (
            {"schedule": "cosine", "start": 2.0, "end": 1.0},
            lambda p: 1.5 + 0.5 * np.cos(np.pi * p),
        ),
        (
            {"schedule": "warm-up", "start": 0.0, "end": 0.5, "fraction": 0.5},
            lambda p: min(p, 0.5),
        ),
        (0.25, lambda p: 0.25),
    ],
    ids=["linear", "cosine", "warm-up", "constant"],
)
def test_the_logged_terms_follow(tiny: dict[str, Any], table: Any, at: Any) -> None:
    """As a weight, and as a temperature, which may not begin at 0."""
    tiny["loss"].append({"name": "known_losses:One", "weight": table})
    run = distill(Recipe.from_dict(tiny))
    assert logged(run, "known_losses:One") == pytest.approx(expected(run, at), rel=1e-5)
    if isinstance(table, dict):
        table = {**table, "start": table["start"] + 1.0, "end": table["end"] + 1.0}
    else:
        table += 1.0
    tiny["loss"][-1] = {"name": "known_losses:Temperature", "temperature": table}
    run = distill(Recipe.from_dict(tiny))
    found = logged(run, "known_losses:Temperature")
    assert found == pytest.approx(expected(run, lambda p: at(p) + 1.0), rel=1e-5)


def test_a_weight_that_rises_from_0_changes_the_student(tiny: dict[str, Any]) -> None:
    constant = distill(Recipe.from_dict(tiny))
    tiny["loss"][1]["weight"] = {"schedule": "linear", "start": 0.0, "end": 1.4}
    rising = distill(Recipe.from_dict(tiny))
    ratio = np.array(logged(rising, "kd")) / np.array(logged(constant, "kd"))
    assert ratio[0] < 0.5  # its mean weight is a third of the constant one in the first epoch
    assert ratio[0] < ratio[1] < ratio[2]
    assert rising.student_path.read_bytes() != constant.student_path.read_bytes()


def test_a_temperature_that_falls_changes_the_student(tiny: dict[str, Any]) -> None:
    constant = distill(Recipe.from_dict(tiny))
    tiny["loss"][1]["temperature"] = {"schedule": "cosine", "start": 8.0, "end": 1.0}
    falling = distill(Recipe.from_dict(tiny))
    assert logged(falling, "kd") != pytest.approx(logged(constant, "kd"), rel=1e-3)
    assert falling.student_path.read_bytes() != constant.student_path.read_bytes()


def test_schedules_survive_the_runs_own_recipe(tiny: dict[str, Any], tmp_path: Path) -> None:
    tiny["loss"][1] |= {
        "weight": LINEAR,
        "temperature": {"schedule": "cosine", "start": 8, "end": 2},
    }
    recipe = Recipe.from_dict(tiny)
    path = tmp_path / "again.toml"
    path.write_text(recipe.to_toml())
    again = Recipe.load(path, options=True)
    assert again == recipe
    assert again.loss[1].weight == recipe.loss[1].weight != 1.0


def test_from_the_command_line(tiny: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "tiny.toml"
    path.write_text(Recipe.from_dict(tiny).to_toml())
    table = '{schedule = "linear", start = 8.0, end = 2.0}'
    recipe = Recipe.load(
        path, [f"loss.1.temperature={table}", f"loss.1.weight={table}"], options=True
    )
    assert recipe.loss[1].options["temperature"]["start"] == 8.0
    assert isinstance(recipe.loss[1].weight, Schedule)
    assert recipe.loss[1].weight.at(0.5) == 5.0


@pytest.mark.parametrize("key", ["weight", "temperature"])
@pytest.mark.parametrize(
    ("value", "fault"),
    [
        (
            {"schedule": "linaer", "start": 1.0, "end": 2.0},
            ".schedule: should be 'linear', 'cosine' or 'warm-up', not 'linaer'",
        ),
        ({"schedule": "linear", "start": 1.0}, ".end: missing"),
        (
            {"schedule": "linear", "start": 1.0, "end": "two"},
            ".end: should be a valid number, not 'two'",
        ),
        (
            {"schedule": "warm-up", "start": 1.0, "end": 2.0, "frac": 0.5},
            ".frac: unknown key; did you mean 'fraction'?",
        ),
        (
            {"schedule": "warm-up", "start": 1.0, "end": 2.0, "fraction": 0.0},
            ".fraction: should be greater than 0, not 0.0",
        ),
        ("linear", ": should be a valid number, not 'linear'"),
        (True, ": should be a valid number, not True"),
    ],
)
def test_a_wrong_schedule_is_one_fault_with_its_key_path(
    tiny: dict[str, Any], key: str, value: Any, fault: str
) -> None:
    tiny["loss"][1][key] = value
    with pytest.raises(RecipeError) as caught:
        Recipe.from_dict(tiny)
    assert list(caught.value.faults) == [f"loss[1].{key}{fault}"]


def test_a_weight_never_falls_below_0(tiny: dict[str, Any]) -> None:
    tiny["loss"][1]["weight"] = {"schedule": "linear", "start": 1.0, "end": -1.0}
    with pytest.raises(RecipeError, match=r"loss\[1\]\.weight\.end: .* equal to 0, not -1\.0"):
        Recipe.from_dict(tiny)


def test_the_twin_without_a_teacher_counts_a_schedule_with_its_end(tiny: dict[str, Any]) -> None:
    tiny["loss"] = [
        {"name": "cross-entropy", "weight": {"schedule": "linear", "start": 0.0, "end": 0.5}},
        {"name": "kd"},
    ]
    tiny["train"] |= {"baseline": True, "epochs": 1}
    run = distill(Recipe.from_dict(tiny))
    (line,) = [line for line in run.metrics() if line["phase"] == "baseline"]
    assert line["terms"].keys() == {"cross-entropy"}
    assert line["terms"]["cross-entropy"] > 0.5  # weight 1 throughout
