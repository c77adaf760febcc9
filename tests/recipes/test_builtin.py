"""Every built-in recipe on the digits trains: shortened here, in full under ``slow``."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from edgekd.distill.stage import distill
from edgekd.losses import LOSSES
from edgekd.recipe import Recipe, builtin_recipes
from edgekd.rundir import Run

NAMES = [name for name in builtin_recipes() if name.startswith("digits-")]
RECIPES = pytest.mark.parametrize("name", NAMES)

#: The teacher gets a few more epochs: the doctor refuses one that is no better than chance.
SHORT = (
    "train.epochs=2",
    "data.split.train=200",
    "teacher.0.train.epochs=6",
)


@pytest.fixture(scope="module")
def shared_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("builtin")


@pytest.fixture(autouse=True)
def runs_folder(shared_runs: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One runs folder for the module: recipes with the same teacher train it once."""
    monkeypatch.setenv("EDGEKD_RUNS", str(shared_runs))
    return shared_runs


def check(run: Run) -> None:
    """The run is whole, and every term of the recipe's loss took part."""
    assert run.manifest.status == "complete"
    assert run.verify() == []
    lines = [line for line in run.metrics() if line["phase"] == "student"]
    terms = {term.name for term in run.recipe.loss}
    active = {stage.name: set(stage.losses) or terms for stage in run.recipe.stage}
    assert lines
    for line in lines:
        own = {term for term in line["terms"] if "/" not in term}  # the others are of peers
        assert own == active.get(line.get("stage", ""), terms)
    assert all(math.isfinite(value) for line in lines for value in line["terms"].values())
    for term in terms:
        values = [line["terms"][term] for line in lines if term in line["terms"]]
        assert values and len(set(values)) == len(values), f"{term} is constant"


def test_every_loss_is_in_a_recipe() -> None:
    used = {term.name for name in builtin_recipes() for term in Recipe.load(name).loss}
    missing = [row.name for row in LOSSES if row.name not in used]
    assert not missing, f"no built-in recipe runs {', '.join(missing)}: add edgekd/recipes/digits-*"


def short(name: str) -> list[str]:
    """Return the overrides that shorten a recipe."""
    recipe = Recipe.load(name)
    trained = bool(recipe.teacher) and recipe.teacher[0].follows is None
    found = [item for item in SHORT if trained or not item.startswith("teacher.")]
    # What teaches must be better than chance, or the doctor refuses it.
    found += [f"assistant.{n}.train.epochs=6" for n in range(len(recipe.assistant))]
    found += ["train.epochs=6"] if recipe.student.generations > 1 else []
    found += ["quantize.epochs=2"] if recipe.quantize is not None else []
    if recipe.synthesis is not None:
        found += ["synthesis.samples=100", "synthesis.batch_size=50", "synthesis.steps=20"]
    return [*found, *(f"stage.{n}.epochs=2" for n in range(len(recipe.stage)))]


@RECIPES
def test_runs_shortened(name: str) -> None:
    check(distill(name, overrides=short(name)))


def test_spoken_digits_shortened(data_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEKD_DATA", str(data_root))
    run = distill("fsdd-cross-modal", overrides=(*SHORT, "train.baseline=false"))
    check(run)
    networks = run.manifest.networks
    assert networks["student.safetensors"].sample_shape == (1, 4000)
    assert networks["teacher.safetensors"].sample_shape == (1, 32, 30)


@pytest.mark.slow
def test_spoken_digits(data_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network on waveforms learns from one on spectrograms."""
    monkeypatch.setenv("EDGEKD_DATA", str(data_root))
    run = distill("fsdd-cross-modal")
    check(run)
    for score in (*run.manifest.student_scores, *run.manifest.teacher_scores):
        assert score.test_accuracy is not None and score.test_accuracy > 0.9


@pytest.mark.slow
@RECIPES
def test_trains_in_a_minute(name: str) -> None:
    """Seconds are those of the student's epochs; the teacher is shared and not counted."""
    run = distill(name)
    check(run)
    for score in run.manifest.student_scores:
        if score.knn_accuracy is not None:  # without labels, on 10 outputs
            assert score.knn_accuracy > 0.8
        else:
            # Without a single real sample it was 85%; see docs/schemes/data-free.md.
            assert score.test_accuracy > (0.9 if run.recipe.synthesis is None else 0.75)
        assert score.train_seconds is not None and score.train_seconds < 60.0
