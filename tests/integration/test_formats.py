"""One teacher in five formats teaches the same student."""

from __future__ import annotations

import copy
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from edgekd.data.load import load_for_student
from edgekd.distill.recording import record
from edgekd.distill.stage import distill
from edgekd.recipe import Recipe
from edgekd.rundir import Run
from edgekd.runtimes.torch import restore
from tests.distill.formats import as_file, save_keras

RAW: dict[str, Any] = {
    "name": "formats",
    "data": {"source": "digits"},
    "teacher": [
        {"model": "tests.distill.formats:make_teacher", "channels": 32, "train": {"epochs": 20}}
    ],
    "student": {"model": "resnet8", "width": 0.5},
    "loss": [
        {"name": "cross-entropy", "weight": 0.1},
        {"name": "kd", "weight": 0.9, "temperature": 4.0},
    ],
    "train": {"epochs": 20, "batch_size": 64, "learning_rate": 0.01, "threads": 1},
}


def taught_by(folder: Path, name: str, teacher: dict[str, Any]) -> Run:
    raw = copy.deepcopy(RAW)
    raw["teacher"] = [teacher]
    return distill(Recipe.from_dict(raw), out=folder / name)


@pytest.mark.slow
def test_every_format_teaches_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEKD_RUNS", str(tmp_path / "runs"))
    runs = {"module": taught_by(tmp_path, "module", RAW["teacher"][0])}
    network = restore(runs["module"], runs["module"].teacher_path).eval()
    dataset = load_for_student(runs["module"].recipe)
    samples, shape = dataset.normalised("calibration"), dataset.sample_shape
    given: dict[str, dict[str, Any]] = {
        "onnx": {"file": str(as_file(network, samples, "onnx", tmp_path / "o"))},
        "tflite": {"file": str(as_file(network, samples, "tflite", tmp_path / "t"))},
        "recorded": {"outputs": str(record(runs["module"], out=tmp_path / "answers.npz").path)},
    }
    if find_spec("keras") is not None:
        given["keras"] = {"file": str(save_keras(tmp_path / "m.keras", network, shape))}
    runs |= {name: taught_by(tmp_path, name, teacher) for name, teacher in given.items()}
    agreements = {}
    for name, run in runs.items():
        agrees, known = run.manifest.student_scores[0].test_agreement, run.manifest.teacher_scores
        assert agrees is not None and known[0] is not None, name
        agreements[name] = agrees
    spread = max(agreements.values()) - min(agreements.values())
    assert min(agreements.values()) > 0.85
    assert spread <= 0.01, agreements
