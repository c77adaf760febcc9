"""A worker: ``edgekd.distill`` of a recipe, as its users run it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from benchmarks.speed.gate import Gate
from benchmarks.speed.setting import Setting, synthetic, teacher_file
from edgekd.distill.progress import Progress
from edgekd.distill.stage import distill
from edgekd.recipe import Recipe

#: The hand-written loop and torchdistill validate and save nothing; 20 images cost next to nothing.
VALIDATION = 20


class Turns(Progress):
    """Lets the loop go on a turn at a time."""

    def __init__(self, gate: Gate) -> None:
        """Take the gate."""
        self.gate = gate

    def step(self) -> None:
        """One optimizer step is done."""
        self.gate.step()


def images(count: int, side: int, classes: int) -> dict[str, Any]:
    """Return the synthetic data as a source of edgekd's."""
    x, y = synthetic(count, side, classes)
    arrays: dict[str, Any] = {"x_train": x, "y_train": y}
    for seed, split in enumerate(("calibration", "validation", "test"), start=2):
        arrays[f"x_{split}"], arrays[f"y_{split}"] = synthetic(VALIDATION, side, classes, seed)
    return arrays


def recipe(setting: Setting, folder: Path, variant: dict[str, Any]) -> Recipe:
    """Return the recipe of a variant.

    Args:
        setting: networks and batches.
        folder: where the teachers' weights stand.
        variant: ``cache`` and ``fold`` of the teacher, and keys of ``[train]``; ``alone``: train
            the student on labels only, which edgekd does whenever it trains a teacher.
    """
    alone = variant.get("alone", False)
    switches = {k: v for k, v in variant.items() if k not in ("alone", "cache", "fold")}
    teacher: dict[str, Any] = {"model": setting.student if alone else setting.teacher}
    if not alone:
        teacher["weights"] = str(teacher_file(setting.teacher, folder))
        teacher["fold"] = variant.get("fold", False)
        teacher["cache"] = {"views": setting.views} if variant.get("cache") else False
    return Recipe.from_dict(
        {
            "name": "speed",
            "data": {
                "source": f"{__name__}:images",
                "count": setting.images,
                "side": setting.side,
                "classes": setting.classes,
            },
            "teacher": [teacher],
            "student": {"model": setting.student},
            "loss": [
                {"name": "cross-entropy", "weight": setting.label_weight},
                {
                    "name": "kd",
                    "weight": 1.0 - setting.label_weight,
                    "temperature": setting.temperature,
                },
            ],
            "train": {
                "epochs": 100_000,  # the gate ends it
                "batch_size": setting.batch_size,
                "optimizer": "sgd",
                "learning_rate": setting.learning_rate,
                "weight_decay": 1e-4,
                "schedule": "constant",
                "augment": ["crop", "flip"],
                "accelerator": "cpu",
                "threads": setting.threads,
                "doctor": "off",
                **switches,
            },
        }
    )


def train(setting: Setting, folder: Path, gate: Gate, variant: dict[str, Any]) -> None:
    """Train until the gate ends the process."""
    os.environ["EDGEKD_RUNS"] = str(folder / "runs")
    distill(recipe(setting, folder, variant), progress=Turns(gate))
