"""What a run leaves: weights, predictions, and the manifest that makes it whole."""

from __future__ import annotations

import io
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import nn

from edgekd import provenance
from edgekd.data.split import Dataset
from edgekd.distill.ensemble import combine
from edgekd.distill.evaluate import predict
from edgekd.distill.session import Session
from edgekd.distill.teacher import Teacher
from edgekd.distill.tutor import Tutor
from edgekd.losses.base import Outputs
from edgekd.models.count import macs, parameters
from edgekd.models.weights import save_weights
from edgekd.recipe import EnsembleSpec, ModelSpec
from edgekd.records import ModelFacts, Network, RunManifest, Score
from edgekd.rundir import Run, atomic_write, file_record, set_latest, sha256_file, write_record


def answers_on(
    tutors: Sequence[Tutor], ensemble: EnsembleSpec, split: str, device: torch.device
) -> np.ndarray | None:
    """Return what all teachers together say of a split, (N, C) logits; None without teachers.

    Labels weigh nobody here, and nobody is left out by chance: shares that depend on either are
    fixed.
    """
    if not tutors:
        return None
    if ensemble.weigh in ("random", "correctness"):
        ensemble = ensemble.model_copy(update={"weigh": "fixed"})
    answers = {
        tutor.name: Outputs(
            torch.from_numpy(predict(tutor.model, tutor.dataset, split, device=device))
        )
        for tutor in tutors
    }
    weights = {tutor.name: tutor.weight for tutor in tutors}
    found: np.ndarray = combine(answers, weights, ensemble).logits.numpy()
    return found


def finish(
    session: Session,
    teachers: Sequence[Teacher],
    students: Sequence[tuple[nn.Module, Score]],
    baselines: Sequence[Score],
    fabric: Fabric,
    began: float,
) -> Run:
    """Write weights and predictions, then the manifest that makes the run whole."""
    recipe, dataset, path = session.recipe, session.dataset, session.path
    student = students[0][0]
    run = Run(path, session.manifest)
    save_weights(student, run.student_path)
    networks = {run.student_path.name: _network(recipe.student, dataset)}
    for teacher, name in zip(teachers, _names(teachers), strict=True):
        save_weights(teacher.network, path / name)
        networks[name] = _network(
            teacher.named.spec, teacher.tutor.dataset, len(teacher.named.spec.classes)
        )
    tutors = [teacher.tutor for teacher in teachers]
    together = answers_on(tutors, recipe.ensemble, "test", fabric.device)
    _save_predictions(run.predictions_path, student, together, dataset, fabric)
    names = ["recipe.toml", "doctor.json", "metrics.jsonl", run.predictions_path.name, *networks]
    manifest = RunManifest(
        **{
            **dict(session.manifest),
            "status": "complete",
            "teachers": tuple(
                _facts(
                    t.named.name,
                    t.network,
                    path / name,
                    t.tutor.dataset.sample_shape,
                )
                for t, name in zip(teachers, _names(teachers), strict=True)
            ),
            "teacher_scores": tuple(teacher.score for teacher in teachers),
            "student": _facts(
                recipe.student.model, student, run.student_path, dataset.sample_shape
            ),
            "student_scores": tuple(score for _, score in students),
            "baseline_scores": tuple(baselines),
            "networks": networks,
            "files": {name: file_record(path / name) for name in names if (path / name).exists()},
            "parents": {
                name.removesuffix(".safetensors"): sha256_file(path / name)
                for name in _names(teachers)
            },
            "provenance": provenance.collect(
                seed=recipe.seed, wall_seconds=round(time.perf_counter() - began, 3)
            ),
        }
    )
    write_record(path / "manifest.json", manifest)
    set_latest(path)
    shutil.rmtree(path / "checkpoints", ignore_errors=True)
    return Run(path, manifest)


def _names(teachers: Sequence[Teacher]) -> list[str]:
    """Return the files of the teachers' weights."""
    return [
        "teacher.safetensors" if number == 0 else f"teacher-{number + 1}.safetensors"
        for number in range(len(teachers))
    ]


def _network(spec: ModelSpec, dataset: Dataset, outputs: int = 0) -> Network:
    return Network(
        model=spec.model,
        options=spec.options,
        num_classes=outputs or len(dataset.classes),
        sample_shape=dataset.sample_shape,
        input=dataset.input,
        preprocess=dataset.preprocess,
    )


def _facts(name: str, model: nn.Module, weights: Path, shape: tuple[int, ...]) -> ModelFacts:
    return ModelFacts(
        name=name,
        parameters=parameters(model),
        macs=macs(model, shape),
        size_bytes=weights.stat().st_size,
        sha256=sha256_file(weights),
    )


def _save_predictions(
    path: Path, student: nn.Module, teacher: np.ndarray | None, dataset: Dataset, fabric: Fabric
) -> None:
    test = dataset.splits["test"]
    buffer = io.BytesIO()
    arrays: dict[str, Any] = {
        "ids": np.asarray(test.ids),
        "targets": test.targets,
        "student_logits": predict(student, dataset, "test", device=fabric.device),
    }
    if teacher is not None:
        arrays["teacher_logits"] = teacher
    np.savez_compressed(buffer, **arrays)
    atomic_write(path, buffer.getvalue())
