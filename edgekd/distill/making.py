"""Making a run: train whatever is not trained yet, then write what the other stages read."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Literal

import torch
from lightning_fabric import Fabric
from lightning_fabric.loggers.logger import Logger
from torch import nn

from edgekd.data.paths import expand
from edgekd.data.split import Dataset
from edgekd.distill.assistants import obtain_assistants
from edgekd.distill.chain import Chain
from edgekd.distill.evaluate import predict
from edgekd.distill.findings import report_findings
from edgekd.distill.finishing import answers_on, finish
from edgekd.distill.generations import (
    DIRECT,
    LAST,
    as_tutor,
    chain_of,
    phases_of,
    stages_of,
    weights_seed,
    whole_train,
)
from edgekd.distill.job import Job
from edgekd.distill.links import Links
from edgekd.distill.memory import freed_memory_kept
from edgekd.distill.metering import metered
from edgekd.distill.online import Trained, company_of, in_company
from edgekd.distill.progress import Progress
from edgekd.distill.pruning import prune_student, prune_untrained
from edgekd.distill.qat import Learned, fit_quantized
from edgekd.distill.session import Session
from edgekd.distill.sizes import expected
from edgekd.distill.stages import fit_stages, stage_job
from edgekd.distill.starting import start_student
from edgekd.distill.synthesis.making import without_data
from edgekd.distill.teacher import obtain
from edgekd.distill.terms import label_terms, student_terms
from edgekd.distill.unlabelled import labelled_only
from edgekd.distill.validation import best_accuracy, knn_of
from edgekd.metrics.classification import accuracy, agreement
from edgekd.models.build import build
from edgekd.models.exits import add_exits
from edgekd.models.weights import load_weights
from edgekd.recipe import Recipe, TrainSpec
from edgekd.records import Score
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
        announce(session, progress)
        teachers = obtain(session, fabric, progress)
        tutors = tuple(teacher.tutor for teacher in teachers)
        chain = chain_of(session.recipe, tutors)
        assistants = obtain_assistants(session, chain, fabric, progress)
        for assistant in assistants:
            chain = chain.followed_by(assistant.tutor)
        learning = without_data(session, tutors, progress)
        generations = [
            _generations(learning, seed, chain, fabric, progress, first=number == 0)
            for number, seed in enumerate(session.recipe.seeds)
        ]
        students = [of_seed[-1] for of_seed in generations]
        baselines = [
            _student(session, seed, Chain(), fabric, progress, phase="baseline")
            for seed in (session.recipe.seeds if train.baseline else ())
        ]
        synthesis = session.recipe.synthesis
        with_data = [
            _student(session, seed, chain, fabric, progress, phase="with data").score
            for seed in (session.recipe.seeds if synthesis and synthesis.compare else ())
        ]
        direct = [
            _student(session, seed, chain.direct(), fabric, progress, phase=DIRECT).score
            for seed in (session.recipe.seeds if session.recipe.chain.direct else ())
        ]
        found = {"with data": with_data, DIRECT: direct}
        compared = {name: scores for name, scores in found.items() if scores}
        links = Links(assistants, [[made.score for made in of_seed] for of_seed in generations])
        run = Run(session.path, session.manifest)
        if fabric.is_global_zero:
            teachers = students[0].company.teachers(session.recipe, teachers)
            run = finish(session, teachers, students, baselines, compared, links, fabric, began)
        fabric.barrier()
        return run


def make_fabric(
    train: TrainSpec,
    accelerator: Accelerator | None,
    *,
    partly: bool = False,
    loggers: Sequence[Logger] = (),
) -> Fabric:
    """Return Lightning Fabric as the recipe wants it, or on another accelerator.

    Args:
        train: how to train.
        accelerator: where, instead.
        partly: some parameters have no gradient at times: DDP then has to look for them.
        loggers: of the first process.
    """
    strategy: str = train.strategy
    if partly and train.num_devices > 1 and strategy in ("auto", "ddp"):
        strategy = "ddp_find_unused_parameters_true"
    return Fabric(
        accelerator=accelerator or train.accelerator,
        devices=train.num_devices,
        strategy=strategy,
        precision=train.precision,  # type: ignore[arg-type]
        loggers=[*loggers],
    )


def make_job(
    session: Session,
    seed: int,
    chain: Chain,
    phase: str = "student",
    progress: Progress | None = None,
) -> Job:
    """Return the job of one student, or of its twin without a teacher: the ``baseline``."""
    recipe, dataset = session.recipe, session.dataset
    alone = not chain.everybody and phase != "student"
    terms = label_terms if alone else student_terms
    first_seed = weights_seed(seed, phase)
    student = build_student(recipe, dataset, first_seed)
    started = start_student(student, recipe.student.start, chain.everybody)
    if started is not None and progress is not None:
        progress.message(f"{phase} (seed {seed}) starts from {started}")
    if recipe.student.prune is not None:
        said = prune_student(session, student, first_seed)
        _give_exits(recipe, dataset, student)
        if progress is not None:
            progress.message(f"{phase} (seed {seed}) {said}")
    lesson = chain.lesson(terms(recipe.loss, recipe.train))
    job = Job(
        phase=phase,
        seed=seed,
        student=student,
        terms=lesson.terms,
        train=whole_train(recipe) if alone else recipe.train,
        dataset=dataset,
        checkpoint=session.checkpoint(phase, seed),
        teachers=lesson.tutors,
        ensemble=recipe.ensemble,
        views_seed=recipe.seed,
    )
    return labelled_only(job) if alone else in_company(job, recipe)


def _generations(
    session: Session, seed: int, chain: Chain, fabric: Fabric, progress: Progress, *, first: bool
) -> list[Trained]:
    """Train the generations of one student, each taught by the one before; mostly just one."""
    found = []
    for phase in phases_of(session.recipe):
        made = _student(session, seed, chain, fabric, progress, phase=phase, first=first)
        found.append(made)
        chain = chain.followed_by(as_tutor(session, phase, made.model))
    return found


def _student(
    session: Session,
    seed: int,
    chain: Chain,
    fabric: Fabric,
    progress: Progress,
    *,
    phase: str = "student",
    first: bool = False,
) -> Trained:
    """Train one student, or its twin without a teacher, and score it on the test split."""
    dataset = session.dataset
    job = make_job(session, seed, chain, phase, progress if first else None)
    stages = stages_of(session.recipe, job)
    model = job.student
    wanted = first and session.recipe.train.doctor != "off"
    of = "" if phase == "student" else phase
    doctor = partial(report_findings, session, progress, of=of) if wanted else None
    with metered(session, phase, session.recipe.student.model, seed, fabric) as meter:
        state = fit_stages(job, stages, fabric, progress, meter.after(session.log), doctor)
    logits = predict(model, dataset, "test", device=fabric.device)
    followers = [tutor for tutor in job.teachers if tutor.average is not None]
    theirs = answers_on(
        (*chain.teachers, *followers), session.recipe.ensemble, "test", fabric.device
    )
    agrees = None if theirs is None else agreement(logits, theirs)
    score = Score(
        seed=seed,
        epochs=state.epoch,
        validation_accuracy=best_accuracy(job, state, fabric.device),
        test_accuracy=accuracy(logits, dataset.splits["test"].targets),
        test_agreement=agrees,
        knn_accuracy=knn_of(model, dataset, "test", fabric.device) if job.label_free else None,
        train_seconds=round(state.seconds, 3),
    )
    quantized = None
    if first and phase == LAST:
        last = stage_job(job, stages, len(stages) - 1) if stages else job
        quantized = fit_quantized(session, Learned(job, last, state), fabric, progress)
    company = company_of(job, session.recipe, state, fabric.device)
    return Trained(model, score, company, quantized)


def announce(session: Session, progress: Progress) -> None:
    """Say how large the student will be, before anything is trained."""
    recipe, dataset = session.recipe, session.dataset
    student = build_student(recipe, dataset, recipe.seeds[0])
    name, shape = recipe.student.model, dataset.sample_shape
    if recipe.student.prune is not None:
        progress.network("student before pruning", expected(name, student, shape))
        prune_untrained(session, student, recipe.seeds[0])
        _give_exits(recipe, dataset, student)
    progress.network("student", expected(name, student, shape))


def build_student(recipe: Recipe, dataset: Dataset, seed: int) -> nn.Module:
    """Build the student's network, seeded, from its starting weights if it has any.

    One that is to be pruned gets its exits afterwards.
    """
    torch.manual_seed(seed)
    model = build(
        recipe.student.model,
        recipe.student.options,
        num_classes=len(dataset.classes),
        input_shape=dataset.sample_shape,
        where="student",
    )
    if recipe.student.weights is not None:
        load_weights(model, expand(recipe.student.weights))
    if recipe.student.prune is None:
        _give_exits(recipe, dataset, model)
    return model


def _give_exits(recipe: Recipe, dataset: Dataset, model: nn.Module) -> None:
    """Add the exits of the recipe, if it has any."""
    if (exits := recipe.student.exits) is not None:
        add_exits(
            model,
            exits.at,
            exits.head,
            num_classes=len(dataset.classes),
            input_shape=dataset.sample_shape,
        )
