"""Making a run: train whatever is not trained yet, then write what the other stages read."""

from __future__ import annotations

import io
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import nn

from edgekd import provenance
from edgekd.data.split import Dataset
from edgekd.distill.evaluate import predict
from edgekd.distill.findings import report_findings
from edgekd.distill.loop import diagnose, fit
from edgekd.distill.memory import freed_memory_kept
from edgekd.distill.progress import Progress
from edgekd.distill.session import Session
from edgekd.distill.teacher import Teacher, at_hand, obtain
from edgekd.distill.terms import label_terms, student_terms
from edgekd.distill.trainable import Job
from edgekd.metrics.classification import accuracy, agreement
from edgekd.models.build import build
from edgekd.models.count import macs, parameters
from edgekd.models.weights import load_weights, save_weights
from edgekd.recipe import Recipe, TrainSpec
from edgekd.records import Finding, ModelFacts, RunManifest, Score
from edgekd.rundir import Run, atomic_write, file_record, set_latest, sha256_file, write_record

Accelerator = Literal["auto", "cpu", "cuda"]


@contextmanager
def torch_settings(threads: int) -> Iterator[None]:
    """Leave the caller's generator and number of threads as they were."""
    before = torch.get_num_threads()
    with torch.random.fork_rng(), freed_memory_kept():
        if threads:
            torch.set_num_threads(threads)
        try:
            yield
        finally:
            torch.set_num_threads(before)


def make(session: Session, fabric: Fabric, progress: Progress) -> Run:
    """Train everything that is not trained yet, then write what the other stages read.

    Args:
        session: the run in the making.
        fabric: launched; only its first process writes.
        progress: who watches.
    """
    began = time.perf_counter()
    train = session.recipe.train
    with torch_settings(train.threads):
        teacher = obtain(session, fabric, progress)
        students = [
            _student(session, seed, teacher, fabric, progress, first=number == 0)
            for number, seed in enumerate(session.recipe.seeds)
        ]
        baselines = [
            _student(session, seed, None, fabric, progress)[1]
            for seed in (session.recipe.seeds if train.baseline else ())
        ]
        run = Run(session.path, session.manifest)
        if fabric.is_global_zero:
            run = _finish(session, teacher, students, baselines, fabric, began)
        fabric.barrier()
        return run


def make_fabric(train: TrainSpec, accelerator: Accelerator | None) -> Fabric:
    """Return Lightning Fabric as the recipe wants it, or on another accelerator."""
    return Fabric(
        accelerator=accelerator or train.accelerator,
        devices=train.num_devices,
        strategy=train.strategy,
        precision=train.precision,  # type: ignore[arg-type]
    )


def look(session: Session, accelerator: Accelerator | None, progress: Progress) -> list[Finding]:
    """Return what the doctor finds, without training anything."""
    fabric = make_fabric(session.recipe.train, accelerator)
    with torch_settings(session.recipe.train.threads):
        teacher, trained = at_hand(session, fabric, progress)
        job = make_job(session, session.recipe.seeds[0], teacher)
        return diagnose(replace(job, teacher_trained=trained), fabric, progress)


def make_job(session: Session, seed: int, teacher: nn.Module | None) -> Job:
    """Return the job of one student, or of its twin without a teacher."""
    recipe, dataset = session.recipe, session.dataset
    phase = "baseline" if teacher is None else "student"
    model = build_student(recipe, dataset, seed)
    terms = label_terms if teacher is None else student_terms
    return Job(
        phase=phase,
        seed=seed,
        student=model,
        teacher=teacher,
        terms=terms(recipe.loss, recipe.train),
        train=recipe.train,
        dataset=dataset,
        checkpoint=session.checkpoint(phase, seed),
        cache=recipe.teacher[0].cache,
        views_seed=recipe.seed,
        fold=recipe.teacher[0].fold,
    )


def _student(
    session: Session,
    seed: int,
    teacher: Teacher | None,
    fabric: Fabric,
    progress: Progress,
    *,
    first: bool = False,
) -> tuple[nn.Module, Score]:
    """Train one student, or its twin without a teacher, and score it on the test split."""
    dataset = session.dataset
    job = make_job(session, seed, None if teacher is None else teacher.model)
    model = job.student
    wanted = first and session.recipe.train.doctor != "off"
    doctor = partial(report_findings, session, progress) if wanted else None
    state = fit(job, fabric, progress, session.log, doctor)
    logits = predict(model, dataset, "test", device=fabric.device)
    agrees = None
    if teacher is not None:
        theirs = predict(teacher.model, dataset, "test", device=fabric.device)
        agrees = agreement(logits, theirs)
    score = Score(
        seed=seed,
        epochs=state.epoch,
        validation_accuracy=state.best_accuracy,
        test_accuracy=accuracy(logits, dataset.splits["test"].targets),
        test_agreement=agrees,
        train_seconds=round(state.seconds, 3),
    )
    return model, score


def build_student(recipe: Recipe, dataset: Dataset, seed: int) -> nn.Module:
    """Build the student's network, seeded, from its starting weights if it has any."""
    torch.manual_seed(seed)
    model = build(
        recipe.student.model,
        recipe.student.options,
        num_classes=len(dataset.classes),
        input_shape=dataset.sample_shape,
        where="student",
    )
    if recipe.student.weights is not None:
        load_weights(model, Path(recipe.student.weights).expanduser())
    return model


def _finish(
    session: Session,
    teacher: Teacher,
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
    save_weights(teacher.model, run.teacher_path)
    _save_predictions(run.predictions_path, student, teacher.model, dataset, fabric)
    names = [
        "recipe.toml",
        "doctor.json",
        "metrics.jsonl",
        *(p.name for p in (run.student_path, run.teacher_path, run.predictions_path)),
    ]
    shape = dataset.sample_shape
    manifest = RunManifest(
        **{
            **dict(session.manifest),
            "status": "complete",
            "teachers": (_facts(recipe.teacher[0].model, teacher.model, run.teacher_path, shape),),
            "teacher_scores": (teacher.score,),
            "student": _facts(recipe.student.model, student, run.student_path, shape),
            "student_scores": tuple(score for _, score in students),
            "baseline_scores": tuple(baselines),
            "files": {name: file_record(path / name) for name in names if (path / name).exists()},
            "parents": {"teacher": sha256_file(run.teacher_path)},
            "provenance": provenance.collect(
                seed=recipe.seed, wall_seconds=round(time.perf_counter() - began, 3)
            ),
        }
    )
    write_record(path / "manifest.json", manifest)
    set_latest(path)
    shutil.rmtree(path / "checkpoints", ignore_errors=True)
    return Run(path, manifest)


def _facts(name: str, model: nn.Module, weights: Path, shape: tuple[int, ...]) -> ModelFacts:
    return ModelFacts(
        name=name,
        parameters=parameters(model),
        macs=macs(model, shape),
        size_bytes=weights.stat().st_size,
        sha256=sha256_file(weights),
    )


def _save_predictions(
    path: Path, student: nn.Module, teacher: nn.Module, dataset: Dataset, fabric: Fabric
) -> None:
    test = dataset.splits["test"]
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        ids=np.asarray(test.ids),
        targets=test.targets,
        teacher_logits=predict(teacher, dataset, "test", device=fabric.device),
        student_logits=predict(student, dataset, "test", device=fabric.device),
    )
    atomic_write(path, buffer.getvalue())
