"""A worker: the distillation by ``edgekd.distill``, by a recipe."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers_parts.setting import (
    Setting,
    accuracy,
    data_file,
    network,
    start_file,
    teacher_file,
)
from benchmarks.speed.by_edgekd import Turns
from benchmarks.speed.gate import Gate
from edgekd.distill.stage import distill
from edgekd.recipe import Recipe

#: For calibration, of the images left over; the others are for validation, which chooses nothing.
CALIBRATION = 60


def images(folder: str, count: int) -> dict[str, Any]:
    """Return the arrays of a folder as a source of edgekd's.

    Args:
        folder: with the arrays.
        count: of the training images.
    """
    with np.load(data_file(Path(folder)), allow_pickle=False) as arrays:
        found: dict[str, Any] = dict(arrays)
    for letter in "xy":
        found[f"{letter}_train"] = found[f"{letter}_train"][:count]
        rest = found.pop(f"{letter}_rest")
        found[f"{letter}_calibration"] = rest[:CALIBRATION]
        found[f"{letter}_validation"] = rest[CALIBRATION:]
    return found


def recipe(setting: Setting, folder: Path, switches: Mapping[str, Any]) -> dict[str, Any]:
    """Return the recipe of the distillation.

    Args:
        setting: what both sides do.
        folder: with arrays and weights.
        switches: ``fold`` of the teacher, and keys of ``[train]``: what makes it fast.
    """
    seen = {"mean": [setting.mean], "std": [setting.std]}
    return {
        "name": "peers",
        "seed": setting.seed,
        "data": data(setting, folder),
        "teacher": [
            {
                **setting.teacher,
                "weights": str(teacher_file(folder)),
                "input": seen,
                "fold": switches.get("fold", False),
            }
        ],
        "student": {
            **setting.student,
            "weights": str(start_file(folder, setting.seed)),
            "input": seen,
        },
        "loss": [
            {"name": "cross-entropy", "weight": setting.label_weight},
            {
                "name": "kd",
                "weight": 1.0 - setting.label_weight,
                "temperature": setting.temperature,
            },
        ],
        "train": {
            **common(setting, setting.epochs),
            **{name: value for name, value in switches.items() if name != "fold"},
        },
    }


def data(setting: Setting, folder: Path) -> dict[str, Any]:
    """Return ``[data]`` of student and teacher."""
    source = "benchmarks.peers_parts.by_edgekd:images"
    return {"source": source, "folder": str(folder), "count": setting.images}


def common(setting: Setting, epochs: int) -> dict[str, Any]:
    """Return ``[train]`` of student and teacher."""
    return {
        "epochs": epochs,
        "batch_size": setting.batch_size,
        "optimizer": "sgd",
        "learning_rate": setting.learning_rate,
        # edgekd spares biases and normalisation, torchdistill does not: 0 makes them equal.
        "weight_decay": 0.0,
        "schedule": "cosine",
        "select": "last",
        "augment": ["crop", "flip"] if setting.augment else [],
        "accelerator": "cpu",
        "threads": setting.threads,
        "doctor": "off",
    }


def train(
    setting: Setting, folder: Path, gate: Gate, switches: Mapping[str, Any]
) -> dict[str, Any]:
    """Train to the end; return test accuracy and the mean loss of each epoch."""
    from edgekd.models.weights import load_weights

    with tempfile.TemporaryDirectory(dir=folder, prefix="run-") as runs:
        os.environ["EDGEKD_RUNS"] = runs
        described = Recipe.from_dict(recipe(setting, folder, switches))
        run = distill(described, progress=Turns(gate))
        lines = (run.path / "metrics.jsonl").read_text().splitlines()
        with np.load(data_file(folder), allow_pickle=False) as arrays:
            student = network(setting.student, arrays["x_test"].shape[1:])
        load_weights(student, run.student_path)
    losses = [found["loss"] for found in map(json.loads, lines) if found["phase"] == "student"]
    return {"test_accuracy": accuracy(student, setting, folder), "losses": losses}
