"""``python -m benchmarks.study_parts.train``: one cell in a process of its own.

A cell that was interrupted goes on from its last whole epoch. What remains of one is its row, its
answers on the test split, and of a teacher its weights.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.study_parts.cells import AUGMENT, Cell, Setting
from edgekd.storage import atomic_write


def recipe(cell: Cell, setting: Setting, folder: Path, threads: int = 1) -> dict[str, Any]:
    """Return the recipe of a cell, as `edgekd.Recipe.from_dict` takes it.

    Args:
        cell: what to train.
        setting: of the study.
        folder: of the study; teachers' weights stand there.
        threads: of PyTorch.
    """
    samples, everything = setting.labels[cell.labels], setting.labels[setting.all_labels]
    split: dict[str, Any] = {"validation": setting.validation, "train": samples}
    if cell.arm == "unlabelled":
        split |= {"train": everything, "labelled": samples}
    epochs = setting.epochs(split["train"])
    seen = {"mean": [setting.mean], "std": [setting.std]}
    network = setting.student
    if cell.kind == "teacher":
        network = setting.teachers[cell.teacher or ""]
    found: dict[str, Any] = {
        "name": cell.name,
        "data": {**setting.data, "split": split},
        "student": {**network, "input": seen},
        "loss": [{"name": "cross-entropy"}],
        "train": {
            "epochs": epochs,
            "batch_size": setting.batch_size,
            "learning_rate": setting.learning_rate,
            "schedule": "one-cycle",
            "select": "last",
            "seeds": [cell.seed],
            "precision": setting.precision,
            "channels_last": True,
            "threads": threads,
            "doctor": "off",
            **AUGMENT[cell.augment],
        },
    }
    teacher = cell.teacher_cell(setting)
    if teacher is not None:
        found["teacher"] = [_teacher(cell, teacher, setting, folder, epochs)]
        weight = setting.label_weight
        found["loss"] = [
            {"name": "cross-entropy", "weight": weight},
            {"name": "kd", "weight": 1.0 - weight, "temperature": cell.temperature},
        ]
    return found


def _teacher(
    cell: Cell, teacher: Cell, setting: Setting, folder: Path, epochs: int
) -> dict[str, Any]:
    """Return the table of the teacher.

    The cache holds as many views as there are epochs, so no view is shown twice; what it saves is
    asking the teacher again for another temperature and another seed.
    """
    return {
        **setting.teachers[teacher.teacher or ""],
        "weights": str(weights(teacher, folder)),
        "input": {"mean": [setting.mean], "std": [setting.std]},
        "fold": True,
        "cache": {"views": epochs if AUGMENT[cell.augment]["augment"] else 1},
    }


def weights(teacher: Cell, folder: Path) -> Path:
    """Return where a teacher's weights stand."""
    return folder / "teachers" / f"{teacher.name}.safetensors"


def answers(cell: Cell, folder: Path) -> Path:
    """Return where a network's answers on the test split stand: the class of each sample."""
    return folder / "answers" / f"{cell.name}.npz"


def train(cell: Cell, setting: Setting, folder: Path, threads: int = 1) -> dict[str, Any]:
    """Train a cell, or go on with it; return its row.

    Args:
        cell: what to train.
        setting: of the study.
        folder: of the study.
        threads: of PyTorch.
    """
    from edgekd.distill.stage import distill
    from edgekd.recipe import Recipe

    os.environ["EDGEKD_RUNS"] = str(folder)  # where the caches of teachers' answers stand
    began = time.perf_counter()
    path = folder / "runs" / cell.name
    if (path / "manifest.json").is_file():
        run = distill(resume=path)
    else:
        shutil.rmtree(path, ignore_errors=True)
        run = distill(Recipe.from_dict(recipe(cell, setting, folder, threads)), out=path)
    with np.load(run.predictions_path, allow_pickle=False) as found:
        right = _top(found["student_logits"]) == found["targets"]
        _save(answers(cell, folder), top=_top(found["student_logits"]), right=right)
    if cell.kind == "teacher":
        atomic_write(weights(cell, folder), run.student_path.read_bytes())
    score, facts = run.manifest.student_scores[0], run.manifest.student
    row = {
        "setting": setting.sha256,
        "cell": asdict(cell),
        "name": cell.name,
        "test_accuracy": score.test_accuracy,
        "agreement": score.test_agreement,
        "epochs": score.epochs,
        "train_seconds": score.train_seconds,
        "wall_seconds": round(time.perf_counter() - began, 1),
        "parameters": None if facts is None else facts.parameters,
        "macs": None if facts is None else facts.macs,
        "train_samples": run.manifest.splits["train"],
        "test_samples": run.manifest.splits["test"],
        "run": run.manifest.id,
    }
    shutil.rmtree(path)
    return row


def _top(logits: np.ndarray) -> np.ndarray:
    found: np.ndarray = logits.argmax(axis=1).astype(np.uint8)
    return found


def _save(path: Path, **arrays: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, **arrays)


def main(arguments: list[str] | None = None) -> None:
    """Train the cell of the command line and print its row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cell", type=json.loads, required=True)
    parser.add_argument("--setting", type=Setting.from_json, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args(arguments)
    fields: Mapping[str, Any] = given.cell
    row = train(Cell(**fields), given.setting, given.folder, given.threads)
    print(json.dumps(row))


if __name__ == "__main__":
    main()
