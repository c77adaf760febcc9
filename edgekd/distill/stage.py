"""``edgekd distill``: from a recipe to a whole run directory."""

from __future__ import annotations

import io
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import nn

from edgekd import provenance
from edgekd.data.load import load_dataset
from edgekd.data.split import Dataset
from edgekd.distill import session as sessions
from edgekd.distill.evaluate import predict
from edgekd.distill.findings import report_findings
from edgekd.distill.loop import fit
from edgekd.distill.progress import Progress
from edgekd.distill.session import Session, run_lock
from edgekd.distill.teacher import Teacher, effective_train, obtain
from edgekd.distill.terms import label_terms, student_terms
from edgekd.distill.trainable import Job
from edgekd.errors import MissingDeviceError, RunError
from edgekd.metrics.classification import accuracy, agreement
from edgekd.models.build import build
from edgekd.models.count import macs, parameters
from edgekd.models.weights import load_weights, save_weights
from edgekd.recipe import Recipe
from edgekd.records import ModelFacts, RunManifest, Score
from edgekd.rundir import Run, atomic_write, file_record, set_latest, sha256_file, write_record

Accelerator = Literal["auto", "cpu", "cuda"]


def distill(
    recipe: Recipe | str | Path = "digits",
    *,
    overrides: Sequence[str] = (),
    out: str | Path | None = None,
    resume: str | Path | None = None,
    accelerator: Accelerator | None = None,
    seed: int | None = None,
    progress: Progress | None = None,
) -> Run:
    """Train a compact student from its teacher.

    Args:
        recipe: a `Recipe`, a TOML file, or the name of a built-in recipe.
        overrides: ``key.path=value`` each, for a file or a built-in recipe.
        out: the folder of the run; default: a new one under ``runs``.
        resume: an interrupted run to go on with; its own recipe holds.
        accelerator: where to train, instead of the recipe's choice.
        seed: one student with this seed, instead of the recipe's seeds.
        progress: who watches.

    Returns:
        The whole run.

    Raises:
        RecipeError: the recipe has faults; all are named.
        DataError: the data cannot be used.
        ModelError: a network cannot be built or loaded.
        TrainingError: a loss is not finite.
        OutputExistsError: ``out`` is taken.
        StorageError: the disk is full or read-only.
        MissingDeviceError: the accelerator is not there.
    """
    progress = progress or Progress()
    if resume is not None:
        run = Run.open(resume, allow_incomplete=True)
        if run.manifest.status == "complete":
            progress.message(f"{run.path} is complete already; nothing to do")
            return Run.open(run.path)
        _check_accelerator(accelerator or run.recipe.train.accelerator)
        progress.run(run.path)
        with run_lock(run.path):
            going_on = sessions.reopen(run, lambda found: load_dataset(found.data))
            progress.message(f"resuming {run.path}")
            return _run(going_on, accelerator, progress)
    extra = [] if seed is None else [f"seed={seed}", f"train.seeds=[{seed}]"]
    if not isinstance(recipe, Recipe):
        recipe = Recipe.load(recipe, [*overrides, *extra], options=True)
    elif overrides or extra:
        raise RunError("overrides and seed go with a recipe's file or name, not with a Recipe")
    effective_train(recipe, recipe.teacher[0])
    _check_accelerator(accelerator or recipe.train.accelerator)
    path = sessions.new_path(recipe, None if out is None else Path(out))
    resolved = recipe
    begun = sessions.begin(path, recipe, lambda: load_dataset(resolved.data))
    progress.run(path)
    with run_lock(path):
        return _run(begun, accelerator, progress)


def _check_accelerator(wanted: str) -> None:
    if wanted == "cuda" and not torch.cuda.is_available():
        raise MissingDeviceError(
            "accelerator 'cuda': PyTorch finds no CUDA device here",
            hint="Use --accelerator cpu, or install a CUDA build of PyTorch.",
        )


@contextmanager
def _torch_settings(threads: int) -> Iterator[None]:
    """Leave the caller's generator and number of threads as they were."""
    before = torch.get_num_threads()
    with torch.random.fork_rng():
        if threads:
            torch.set_num_threads(threads)
        try:
            yield
        finally:
            torch.set_num_threads(before)


def _run(session: Session, accelerator: Accelerator | None, progress: Progress) -> Run:
    """Train everything that is not trained yet, then write what the other stages read."""
    began = time.perf_counter()
    train = session.recipe.train
    fabric = Fabric(
        accelerator=accelerator or train.accelerator,
        devices=1,
        precision=train.precision,  # type: ignore[arg-type]
    )
    with _torch_settings(train.threads):
        teacher = obtain(session, fabric, progress)
        students = [
            _student(session, seed, teacher, fabric, progress, first=number == 0)
            for number, seed in enumerate(session.recipe.seeds)
        ]
        baselines = [
            _student(session, seed, None, fabric, progress)[1]
            for seed in (session.recipe.seeds if train.baseline else ())
        ]
        return _finish(session, teacher, students, baselines, fabric, began)


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
    recipe, dataset = session.recipe, session.dataset
    phase = "baseline" if teacher is None else "student"
    model = build_student(recipe, dataset, seed)
    terms = label_terms if teacher is None else student_terms
    job = Job(
        phase=phase,
        seed=seed,
        student=model,
        teacher=None if teacher is None else teacher.model,
        terms=terms(recipe.loss, recipe.train),
        train=recipe.train,
        dataset=dataset,
        checkpoint=session.checkpoint(phase, seed),
        cache=recipe.teacher[0].cache,
        views_seed=recipe.seed,
    )
    look = first and recipe.train.doctor != "off"
    doctor = partial(report_findings, session, progress) if look else None
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
