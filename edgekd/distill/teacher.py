"""The teacher: loaded, trained by the recipe, or reused from an earlier run.

A trained teacher is kept in ``runs/teachers/KEY``, where the key is the hash of everything that
decides its weights. Another run with the same teacher, data and seed finds it there.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from lightning_fabric import Fabric
from torch import nn

from edgekd import provenance
from edgekd.data.fingerprint import part_sha256
from edgekd.data.paths import expand
from edgekd.data.split import Dataset
from edgekd.distill.evaluate import answers_of
from edgekd.distill.findings import report_findings
from edgekd.distill.job import Job
from edgekd.distill.loop import fit
from edgekd.distill.metering import kept_energy, metered
from edgekd.distill.named import Named, build_tutor, named_teachers
from edgekd.distill.progress import Progress
from edgekd.distill.recorded import Recorded
from edgekd.distill.session import Session
from edgekd.distill.sizes import expected
from edgekd.distill.starting import start_decides, start_teacher
from edgekd.distill.taught import inner
from edgekd.distill.terms import label_terms
from edgekd.distill.trainable import freeze
from edgekd.distill.tutor import Tutor
from edgekd.errors import RunError, TamperedError
from edgekd.metrics.classification import accuracy
from edgekd.models.weights import load_weights, save_weights
from edgekd.recipe import Recipe
from edgekd.records import Energy, Score
from edgekd.records_distill import TeacherManifest
from edgekd.rundir import (
    file_record,
    new_directory,
    read_record,
    runs_root,
    sha256_bytes,
    sha256_file,
    write_record,
)

#: Keys of ``[train]`` that decide nothing about the weights.
_BESIDE = {"accelerator", "threads", "energy", "loggers"}

WEIGHTS = "teacher.safetensors"
_SCORED = ("validation", "test")


class Course(Protocol):
    """How an assistant is trained, where a teacher learns from labels."""

    def job(self, job: Job) -> Job:
        """Return the job with what it learns by, and from whom."""

    def decides(self) -> dict[str, Any]:
        """Return what decides the weights, beside what decides those of a teacher."""

    def judged(self, score: Score, tutor: Tutor, fabric: Fabric) -> Score:
        """Return the score with the agreement."""


@dataclass(frozen=True)
class Teacher:
    """A frozen teacher, what it reached, and where it is kept if the recipe trained it.

    The score is None where its answers were not all recorded.
    """

    named: Named
    tutor: Tutor
    score: Score | None
    kept: Path | None = None
    hears: tuple[str, ...] = ()

    @property
    def network(self) -> nn.Module:
        """The network itself."""
        return inner(self.tutor.model)


def obtain(session: Session, fabric: Fabric, progress: Progress) -> list[Teacher]:
    """Return the recipe's teachers: loaded, reused, or trained now.

    Raises:
        ModelError: weights do not fit the network.
        TamperedError: a kept teacher is not the one that its manifest names.
    """
    return [obtain_one(session, named, fabric, progress) for named in at_rest(session.recipe)]


def at_rest(recipe: Recipe) -> list[Named]:
    """Return the teachers that do not change while a student learns: all that follow none."""
    return [named for named in named_teachers(recipe) if named.spec.follows is None]


def obtain_one(
    session: Session,
    named: Named,
    fabric: Fabric,
    progress: Progress,
    course: Course | None = None,
) -> Teacher:
    """Return a teacher, or an assistant, which has a course of its own."""
    tutor, score = find(session, named, progress, course)
    if score is None and named.spec.given:
        score = _known_score(tutor, named.seed, fabric, epochs=0, seconds=0.0)
    elif score is None:
        score = _train(tutor, session, named, fabric, progress, course)
        if fabric.is_global_zero:
            energy = kept_energy(session, _role(course), named.name, named.seed)
            _keep(inner(tutor.model), _kept(tutor, named, course), named, score, energy)
    freeze(tutor.model.to(fabric.device))
    kept = None if named.spec.given else _kept(tutor, named, course)
    return Teacher(named, tutor, score, kept)


def at_hand(session: Session, fabric: Fabric, progress: Progress) -> list[Tutor]:
    """Return the teachers as they are now, trained or not; nothing is trained."""
    found = []
    for named in at_rest(session.recipe):
        tutor, score = find(session, named, progress)
        freeze(tutor.model.to(fabric.device))
        trained = score is not None or named.spec.given
        found.append(replace(tutor, trained=trained))
    return found


def find(
    session: Session, named: Named, progress: Progress, course: Course | None = None
) -> tuple[Tutor, Score | None]:
    """Build a teacher, with its weights where there are any, and its score where it is known."""
    tutor = build_tutor(named, session.dataset)
    role = f"{_role(course)} {named.name}"
    if named.spec.model is not None:
        shape = tutor.dataset.sample_shape
        progress.network(role, expected(named.spec.title, inner(tutor.model), shape))
    if named.spec.weights is not None:
        path = expand(named.spec.weights)
        load_weights(inner(tutor.model), path)
        progress.message(f"{role}: weights of {path}")
        return tutor, None
    if named.spec.given:
        progress.message(f"{role}: {named.spec.file or named.spec.outputs}")
        return tutor, None
    kept = _kept(tutor, named, course)
    if not (kept / "manifest.json").is_file():
        if named.spec.start is not None:
            begun = start_teacher(inner(tutor.model), named.spec.start)
            progress.message(f"{role} starts from {begun}")
        return tutor, None
    score = _reuse(inner(tutor.model), kept)
    progress.message(f"{role}: trained before, reused ({kept})")
    return tutor, score


def _role(course: Course | None) -> str:
    return "teacher" if course is None else "assistant"


def _kept(tutor: Tutor, named: Named, course: Course | None) -> Path:
    return runs_root() / "teachers" / teacher_key(named, tutor.dataset, course)


def _train(
    tutor: Tutor,
    session: Session,
    named: Named,
    fabric: Fabric,
    progress: Progress,
    course: Course | None,
) -> Score:
    role = _role(course)
    alone = course is None and len(named_teachers(session.recipe)) == 1
    phase = role if alone else f"{role} {named.name}"
    job = Job(
        phase=phase,
        seed=named.seed,
        student=tutor.model,
        terms=label_terms((), named.train),
        train=named.train,
        dataset=tutor.dataset.with_labels(whole=named.spec.data == "all"),
        checkpoint=session.checkpoint(f"{role}-{named.name}", named.seed),
    )
    doctor = None
    if course is not None:
        job = course.job(replace(job, dataset=tutor.dataset))
        if session.recipe.train.doctor != "off":
            doctor = partial(report_findings, session, progress, of=phase)
    with metered(session, role, named.name, named.seed, fabric) as meter:
        state = fit(job, fabric, progress, meter.after(session.log), doctor)
    score = _score(tutor, named.seed, fabric, epochs=state.epoch, seconds=state.seconds)
    return score if course is None else course.judged(score, tutor, fabric)


def teacher_key(named: Named, dataset: Dataset, course: Course | None = None) -> str:
    """Return the hash of all that decides a trained teacher's weights.

    Args:
        named: the teacher.
        dataset: the data as it sees it.
        course: of an assistant; whom it listens to, by their weights, decides too.
    """
    whole = dataset.whole if named.spec.data == "all" else None
    decides = {
        "format": 2,
        "model": named.spec.model,
        "options": named.spec.options,
        "classes": named.spec.classes,
        "gives": named.spec.gives,
        "train": named.train.model_dump(mode="json", exclude=_BESIDE),
        "data": dataset.sha256,
        "input": dataset.input,
        "preprocess": dataset.preprocess.model_dump(mode="json"),
        "seed": named.seed,
        **({} if course is None else {"course": course.decides()}),
        **({} if whole is None else {"whole": part_sha256(whole)}),
        **({} if named.spec.start is None else {"start": start_decides(named.spec.start)}),
    }
    return sha256_bytes(json.dumps(decides, sort_keys=True, default=str).encode())[:16]


def _known_score(tutor: Tutor, seed: int, fabric: Fabric, **spent: Any) -> Score | None:
    """Return the score, or None where answers for it were not recorded."""
    if isinstance(tutor.model, Recorded) and not all(map(tutor.model.knows, _SCORED)):
        return None
    return _score(tutor, seed, fabric, **spent)


def _score(tutor: Tutor, seed: int, fabric: Fabric, *, epochs: int, seconds: float) -> Score:
    dataset = tutor.dataset
    tutor.model.to(fabric.device)
    said = {split: answers_of(tutor, split, device=fabric.device) for split in _SCORED}
    reached = {
        split: accuracy(logits, dataset.splits[split].targets)
        for split, logits in said.items()
        if logits is not None
    }
    return Score(
        seed=seed,
        epochs=epochs,
        validation_accuracy=reached["validation"],
        test_accuracy=reached["test"],
        train_seconds=seconds,
    )


def _reuse(model: nn.Module, kept: Path) -> Score:
    manifest = read_record(kept / "manifest.json", TeacherManifest)
    weights = kept / WEIGHTS
    if not weights.is_file() or sha256_file(weights) != manifest.files[WEIGHTS].sha256:
        raise TamperedError(
            f"{weights} is not the file that its manifest names",
            hint=f"Remove {kept}; the teacher is then trained again.",
        )
    load_weights(model, weights)
    return manifest.score


def _keep(model: nn.Module, kept: Path, named: Named, score: Score, energy: Energy | None) -> None:
    try:
        with new_directory(kept) as staging:
            save_weights(model, staging / WEIGHTS)
            manifest = TeacherManifest(
                key=kept.name,
                model=named.spec.title,
                score=score,
                energy=energy,
                files={WEIGHTS: file_record(staging / WEIGHTS)},
                provenance=provenance.collect(seed=score.seed, wall_seconds=score.train_seconds),
            )
            write_record(staging / "manifest.json", manifest)
    except RunError:
        if not (kept / "manifest.json").is_file():
            raise
        # Another run trained the same teacher meanwhile: by its key, it has the same weights.
