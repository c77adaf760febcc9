"""Making a run: train whatever is not trained yet, then write what the other stages read."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Literal

import torch
from lightning_fabric import Fabric
from torch import nn

from edgekd.data.split import Dataset
from edgekd.distill.evaluate import predict
from edgekd.distill.findings import report_findings
from edgekd.distill.finishing import answers_on, finish
from edgekd.distill.loop import diagnose, fit
from edgekd.distill.memory import freed_memory_kept
from edgekd.distill.progress import Progress
from edgekd.distill.session import Session
from edgekd.distill.teacher import at_hand, obtain
from edgekd.distill.terms import label_terms, student_terms
from edgekd.distill.trainable import Job
from edgekd.distill.tutor import Tutor
from edgekd.metrics.classification import accuracy, agreement
from edgekd.models.build import build
from edgekd.models.weights import load_weights
from edgekd.recipe import Recipe, TrainSpec
from edgekd.records import Score
from edgekd.records_distill import Finding
from edgekd.rundir import Run

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
        teachers = obtain(session, fabric, progress)
        tutors = tuple(teacher.tutor for teacher in teachers)
        students = [
            _student(session, seed, tutors, fabric, progress, first=number == 0)
            for number, seed in enumerate(session.recipe.seeds)
        ]
        baselines = [
            _student(session, seed, (), fabric, progress, phase="baseline")[1]
            for seed in (session.recipe.seeds if train.baseline else ())
        ]
        run = Run(session.path, session.manifest)
        if fabric.is_global_zero:
            run = finish(session, teachers, students, baselines, fabric, began)
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
        tutors = tuple(at_hand(session, fabric, progress))
        return diagnose(make_job(session, session.recipe.seeds[0], tutors), fabric, progress)


def make_job(session: Session, seed: int, tutors: tuple[Tutor, ...], phase: str = "student") -> Job:
    """Return the job of one student, or of its twin without a teacher: the ``baseline``."""
    recipe, dataset = session.recipe, session.dataset
    terms = label_terms if phase == "baseline" else student_terms
    return Job(
        phase=phase,
        seed=seed,
        student=build_student(recipe, dataset, seed),
        terms=terms(recipe.loss, recipe.train),
        train=recipe.train,
        dataset=dataset,
        checkpoint=session.checkpoint(phase, seed),
        teachers=tutors,
        ensemble=recipe.ensemble,
        views_seed=recipe.seed,
    )


def _student(
    session: Session,
    seed: int,
    tutors: tuple[Tutor, ...],
    fabric: Fabric,
    progress: Progress,
    *,
    phase: str = "student",
    first: bool = False,
) -> tuple[nn.Module, Score]:
    """Train one student, or its twin without a teacher, and score it on the test split."""
    dataset = session.dataset
    job = make_job(session, seed, tutors, phase)
    model = job.student
    wanted = first and session.recipe.train.doctor != "off"
    doctor = partial(report_findings, session, progress) if wanted else None
    state = fit(job, fabric, progress, session.log, doctor)
    logits = predict(model, dataset, "test", device=fabric.device)
    theirs = answers_on(tutors, session.recipe.ensemble, "test", fabric.device)
    agrees = None if theirs is None else agreement(logits, theirs)
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
