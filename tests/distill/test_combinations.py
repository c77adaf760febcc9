"""Losses of every family together, with a cache, averaging, accumulation and clipping."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from edgekd.distill.progress import Progress
from edgekd.distill.stage import distill
from edgekd.recipe import Recipe
from edgekd.rundir import Run, runs_root, sha256_file

DIGITS = {
    "source": "digits",
    "split": {"train": 600, "calibration": 32, "validation": 0.1, "test": 0.2},
}

Networks = tuple[dict[str, Any], dict[str, Any]]

CNN: Networks = ({"model": "resnet8", "width": 0.5}, {"model": "resnet8", "width": 0.375})
_VIT = {"model": "vit", "patch": 2, "heads": 4, "depth": 2}
VIT: Networks = ({**_VIT, "dim": 32}, {**_VIT, "dim": 24})
GRU: Networks = ({"model": "gru", "hidden": 48}, {"model": "gru", "hidden": 32})

LABELS = {"name": "cross-entropy", "weight": 0.5}
KD = {"name": "kd", "weight": 0.5}
STAGES = [["layer2", "layer2"], ["layer3", "layer3"]]
HINT = {"name": "hint", "weight": 0.5, "layers": STAGES}
ATTENTION = {"name": "attention-transfer", "weight": 0.5, "layers": STAGES}
CRD = {"name": "crd", "weight": 0.1, "layers": [["pool", "pool"]], "dim": 16, "negatives": 32}
ADVERSARIAL = {"name": "adversarial", "weight": 0.2}
RKD = {"name": "rkd", "weight": 0.5, "layers": [["pool", "pool"]]}
CACHE = {"views": 2}
CROP = {"name": "crop", "padding": 1}

#: One combination for every family of losses: networks, and terms beside the labels.
FAMILIES: dict[str, tuple[Networks, list[dict[str, Any]]]] = {
    "response": (
        CNN,
        [
            {"name": "dkd", "weight": 0.2, "standardise": True},
            {"name": "dist", "weight": 0.2},
            {"name": "logits-mse", "weight": 0.1},
            {"name": "soft-cross-entropy", "weight": 0.1},
        ],
    ),
    "several-answers": (
        CNN,
        [
            {"name": "binary-cross-entropy", "weight": 0.5},
            {"name": "binary-kd", "weight": 0.5},
            {"name": "regression", "weight": 0.2, "distance": "huber"},
            {"name": "regression-kd", "weight": 0.1, "bounded": True, "margin": 0.1},
        ],
    ),
    "feature": (
        CNN,
        [
            HINT,
            {
                "name": "cross-layer",
                "weight": 0.2,
                "layers": [["layer2", "layer2"], ["layer2", "layer3"]],
            },
        ],
    ),
    "spatial-attention": (CNN, [KD, ATTENTION]),
    "transformer": (
        VIT,
        [
            {
                "name": "transformer-hidden",
                "weight": 0.2,
                "layers": [["blocks.0", "blocks.0"], ["blocks.1", "blocks.1"]],
            },
            {
                "name": "transformer-attention",
                "weight": 0.1,
                "layers": [["blocks.0.attention", "blocks.0.attention"]],
                "heads": 4,
            },
            {
                "name": "minilm",
                "weight": 0.2,
                "layers": [["blocks.1.attention", "blocks.1.attention"]],
            },
        ],
    ),
    "temporal-attention": (
        GRU,
        [KD, {"name": "temporal-attention", "layers": [["layers.1", "layers.1"]]}],
    ),
    "relation": (
        CNN,
        [
            RKD,
            {"name": "similarity-preserving", "weight": 0.5, "layers": [["pool", "pool"]]},
            {"name": "itrd", "weight": 0.05, "layers": [["pool", "pool"]]},
        ],
    ),
    "contrastive": (CNN, [CRD]),
    "adversarial": (CNN, [KD, ADVERSARIAL]),
}


@pytest.fixture(scope="module")
def shared_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("combinations")


@pytest.fixture(autouse=True)
def runs_folder(shared_runs: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One runs folder for the module: a teacher that several combinations have is trained once."""
    monkeypatch.setenv("EDGEKD_RUNS", str(shared_runs))
    return shared_runs


def recipe(
    networks: Networks, terms: list[dict[str, Any]], *, cache: Any = False, **train: Any
) -> Recipe:
    """Return a recipe that trains in seconds; ``train`` is the student's, not the teacher's."""
    own = {"epochs": 4, "batch_size": 32, "learning_rate": 6e-3, "threads": 1}
    plain = {"ema": 0.0, "accumulate": 1, "clip_norm": 0.0, "augment": [], "epochs": 6}
    teacher = {**networks[0], "cache": cache, "train": plain}
    return Recipe.from_dict(
        {
            "name": "combination",
            "data": DIGITS,
            "teacher": [teacher],
            "student": networks[1],
            "loss": [LABELS, *terms],
            "train": {**own, **train},
        }
    )


def check(run: Run, terms: list[dict[str, Any]]) -> None:
    """The run is whole, the student learned, and every term took part."""
    assert run.manifest.status == "complete"
    (score,) = run.manifest.student_scores
    assert score.test_accuracy > 0.5  # chance is 0.1
    lines = [line for line in run.metrics() if line["phase"] == "student"]
    assert {tuple(line["terms"]) for line in lines} == {
        ("cross-entropy", *(term["name"] for term in terms))
    }
    for term in terms:
        values = [line["terms"][term["name"]] for line in lines]
        assert len(set(values)) == len(values), f"{term['name']} is constant: {values}"


def test_hint_attention_kd_and_cache() -> None:
    terms = [KD, HINT, ATTENTION]
    run = distill(recipe(CNN, terms, cache=CACHE))
    check(run, terms)
    assert list(runs_root().glob("cache/*/view-00001.json"))


def test_adversarial_and_relation() -> None:
    terms = [ADVERSARIAL, RKD]
    check(distill(recipe(CNN, terms)), terms)


def test_contrast_and_cache() -> None:
    terms = [KD, CRD]
    check(distill(recipe(CNN, terms, cache=CACHE, augment=[CROP])), terms)


@pytest.mark.parametrize("family", FAMILIES)
def test_averaged_accumulated_and_clipped(family: str) -> None:
    networks, terms = FAMILIES[family]
    train = {"ema": 0.8, "accumulate": 2, "clip_norm": 1.0, "batch_size": 16, "epochs": 5}
    check(distill(recipe(networks, terms, **train)), terms)


class Interrupted(Exception):
    """Stands for whatever ends a process in the middle of a training."""


class InterruptsAfter(Progress):
    """Raises when the student ends the epoch after this one, before its checkpoint."""

    def __init__(self, epoch: int) -> None:
        self.after = epoch

    def epoch(self, line: dict[str, Any]) -> None:
        if line["phase"] == "student" and line["epoch"] > self.after:
            raise Interrupted


def test_everything_at_once_resumes_bit_for_bit(tmp_path: Path) -> None:
    """Adapters, memories, discriminators, both optimizers, the average and the cache go on."""
    terms = [KD, HINT, ATTENTION, RKD, CRD, ADVERSARIAL]
    whole = recipe(
        CNN,
        terms,
        cache=CACHE,
        ema=0.8,
        accumulate=2,
        clip_norm=1.0,
        batch_size=12,
        epochs=4,
        augment=[CROP],
        mix={"kind": "mixup"},
        select="last",
    )
    expected = distill(whole)
    check(expected, terms)
    path = tmp_path / "interrupted"
    with pytest.raises(Interrupted):
        distill(copy.deepcopy(whole), out=path, progress=InterruptsAfter(1))
    assert (path / "checkpoints" / "student-0.pt").is_file()
    resumed = distill(resume=path)
    assert sha256_file(resumed.student_path) == sha256_file(expected.student_path)
    assert [line["terms"] for line in resumed.metrics() if line["phase"] == "student"] == [
        line["terms"] for line in expected.metrics() if line["phase"] == "student"
    ]
