"""Every scheme, from its recipe made short: killed at random, resumed to the bit, exported."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import edgekd
from edgekd.distill.stage import distill
from edgekd.errors import EdgekdError
from edgekd.recipe import Recipe, builtin_recipes
from edgekd.rundir import Run, sha256_file

#: What makes a recipe short: 300 samples, few epochs.
SHORT = ("data.split.train=300", "train.epochs=3")

#: Recipe -> what else makes it short.
SCHEMES: dict[str, tuple[str, ...]] = {
    "assistants": ("teacher.0.train.epochs=2",),
    "born-again": (),
    "collaborative": (),
    "data-free": (
        "teacher.0.train.epochs=2",
        "synthesis.samples=120",
        "synthesis.batch_size=40",
        "synthesis.steps=10",
    ),
    "early-exits": (),
    "few": ("teacher.0.train.epochs=2",),
    "low-resolution": ("teacher.0.train.epochs=2",),
    "mean-teacher": (),
    "mutual": (),
    "qat": ("teacher.0.train.epochs=2", "quantize.epochs=2"),
    "stages": (
        "teacher.0.train.epochs=2",
        "stage.0.epochs=1",
        "stage.1.epochs=1",
        "stage.2.epochs=2",
    ),
    "teachers": ("teacher.0.train.epochs=2", "teacher.1.train.epochs=2"),
    "unlabelled": ("teacher.0.train.epochs=2",),
    "views": (),
}

#: In `make test`; the others run in `make test-full`.
FAST = ("mutual",)

RUN = """
import sys
from edgekd.distill.progress import Progress
from edgekd.distill.stage import distill

class Tells(Progress):
    def epoch(self, line):
        print("epoch", flush=True)

if sys.argv[1] == "resume":
    distill(resume=sys.argv[2], progress=Tells())
else:
    distill(sys.argv[1], overrides=sys.argv[3:], out=sys.argv[2], progress=Tells())
"""


def overrides(name: str) -> list[str]:
    """Return what makes a scheme's recipe short, of what the recipe has."""
    return [*SHORT, *SCHEMES[name]]


def killed(arguments: list[str], epochs: int, delay: float) -> None:
    """Distil in a process of its own; kill it ``delay`` seconds after so many epochs."""
    command = [sys.executable, "-c", RUN, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ}) as found:
        if found.stdout is None:
            raise RuntimeError("no output")
        for _ in range(epochs):
            found.stdout.readline()
        time.sleep(delay)
        found.kill()


@pytest.mark.parametrize(
    "name", [n if n in FAST else pytest.param(n, marks=pytest.mark.slow) for n in SCHEMES]
)
def test_killed_resumed_exported(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(len(name))
    # Runs folders of their own: nothing kept by one run helps the other.
    monkeypatch.setenv("EDGEKD_RUNS", str(tmp_path / "one"))
    whole = distill(f"digits-{name}", overrides=overrides(name), out=tmp_path / "whole")
    total = len(whole.metrics())
    monkeypatch.setenv("EDGEKD_RUNS", str(tmp_path / "other"))
    out = tmp_path / "killed"
    first = int(random.integers(1, total))
    killed([f"digits-{name}", str(out), *overrides(name)], first, float(random.uniform(0, 0.1)))
    if name not in FAST:
        killed(["resume", str(out)], 1, float(random.uniform(0, 0.1)))
    resumed = distill(resume=out)
    # All weights: of peers, averages and teachers too.
    wanted = {p.name: sha256_file(p) for p in whole.path.glob("*.safetensors")}
    assert {p.name: sha256_file(p) for p in resumed.path.glob("*.safetensors")} == wanted
    keys = [(line["phase"], line["seed"], line["epoch"]) for line in resumed.metrics()]
    assert sorted(keys) == sorted((x["phase"], x["seed"], x["epoch"]) for x in whole.metrics())
    for before, after in zip(
        whole.manifest.student_scores, resumed.manifest.student_scores, strict=True
    ):
        assert before.test_accuracy == after.test_accuracy
    artifact = edgekd.export(Run.open(out), target="onnx")
    assert artifact.manifest.parity.passed and artifact.manifest.parity.max_abs_error < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n in SCHEMES if "teacher.0.train.epochs=2" in SCHEMES[n]])
def test_with_cached_answers(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a frozen teacher speaks, a cache of its answers does as well as the teacher."""
    monkeypatch.setenv("EDGEKD_RUNS", str(tmp_path / "runs"))
    recipe = Recipe.load(f"digits-{name}", overrides(name))
    cached = [
        f"teacher.{number}.cache={{views = 2, precision = 'fp32'}}"
        for number in range(len(recipe.teacher))
    ]
    run = distill(f"digits-{name}", overrides=[*overrides(name), *cached], out=tmp_path / "run")
    assert run.manifest.student_scores[0].test_agreement is not None
    assert list((tmp_path / "runs" / "cache").glob("*/view-00001.json"))


@pytest.mark.parametrize("name", ["mean-teacher", "views"])
def test_a_teacher_that_learns_is_not_cached(name: str) -> None:
    with pytest.raises(EdgekdError, match="keeps learning"):
        distill(f"digits-{name}", overrides=["teacher.0.cache=true"])


def test_every_scheme_is_here() -> None:
    """A recipe that is no single loss belongs in this table."""
    schemes = {
        name.removeprefix("digits-")
        for name, path in builtin_recipes().items()
        if name.startswith("digits-") and _is_scheme(Recipe.load(path))
    }
    assert schemes == set(SCHEMES)


def _is_scheme(recipe: Recipe) -> bool:
    plain = {"name", "seed", "data", "teacher", "student", "loss", "train", "export", "budget"}
    defaults = Recipe.from_dict({"student": {"model": "mlp"}, "loss": [{"name": "cross-entropy"}]})
    changed = {
        key
        for key in type(recipe).model_fields
        if getattr(recipe, key) != getattr(defaults, key) and key not in plain
    }
    split = recipe.data.split.model_dump()
    few = {key: value for key, value in split.items() if key in ("train", "labelled")}
    return bool(
        changed
        or len(recipe.teacher) != 1
        or recipe.teacher[0].model is None
        or recipe.student.input.transforms
        or recipe.student.generations > 1
        or recipe.student.exits
        or any(value is not None for value in few.values())
    )
