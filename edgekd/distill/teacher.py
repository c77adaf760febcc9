"""The teacher: loaded, trained by the recipe, or reused from an earlier run.

A trained teacher is kept in ``runs/teachers/KEY``, where the key is the hash of everything that
decides its weights. Another run with the same teacher, data and seed finds it there.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

from lightning_fabric import Fabric
from torch import nn

from edgekd import provenance
from edgekd.data.split import Dataset
from edgekd.distill.evaluate import predict
from edgekd.distill.loop import fit
from edgekd.distill.named import Named, build_tutor, named_teachers
from edgekd.distill.progress import Progress
from edgekd.distill.session import Session
from edgekd.distill.taught import inner
from edgekd.distill.terms import label_terms
from edgekd.distill.trainable import Job, freeze
from edgekd.distill.tutor import Tutor
from edgekd.errors import RunError, TamperedError
from edgekd.metrics.classification import accuracy
from edgekd.models.weights import load_weights, save_weights
from edgekd.records import Score
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

WEIGHTS = "teacher.safetensors"


@dataclass(frozen=True)
class Teacher:
    """A frozen teacher and what it reached."""

    named: Named
    tutor: Tutor
    score: Score

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
    return [_obtain(session, named, fabric, progress) for named in named_teachers(session.recipe)]


def _obtain(session: Session, named: Named, fabric: Fabric, progress: Progress) -> Teacher:
    tutor, score = _find(session, named, progress)
    if score is None and named.spec.weights is not None:
        score = _score(tutor, named.seed, fabric, epochs=0, seconds=0.0)
    elif score is None:
        score = _train(tutor, session, named, fabric, progress)
        if fabric.is_global_zero:
            _keep(inner(tutor.model), _kept(tutor, named), named, score)
    freeze(tutor.model.to(fabric.device))
    return Teacher(named, tutor, score)


def at_hand(session: Session, fabric: Fabric, progress: Progress) -> list[Tutor]:
    """Return the teachers as they are now, trained or not; nothing is trained."""
    found = []
    for named in named_teachers(session.recipe):
        tutor, score = _find(session, named, progress)
        freeze(tutor.model.to(fabric.device))
        trained = score is not None or named.spec.weights is not None
        found.append(replace(tutor, trained=trained))
    return found


def _find(session: Session, named: Named, progress: Progress) -> tuple[Tutor, Score | None]:
    """Build a teacher, with its weights where there are any, and its score where it is known."""
    tutor = build_tutor(named, session.dataset)
    if named.spec.weights is not None:
        path = Path(named.spec.weights).expanduser()
        load_weights(inner(tutor.model), path)
        progress.message(f"teacher {named.name}: weights of {path}")
        return tutor, None
    kept = _kept(tutor, named)
    if not (kept / "manifest.json").is_file():
        return tutor, None
    score = _reuse(inner(tutor.model), kept)
    progress.message(f"teacher {named.name}: trained before, reused ({kept})")
    return tutor, score


def _kept(tutor: Tutor, named: Named) -> Path:
    return runs_root() / "teachers" / teacher_key(named, tutor.dataset)


def _train(
    tutor: Tutor, session: Session, named: Named, fabric: Fabric, progress: Progress
) -> Score:
    phase = "teacher" if len(named_teachers(session.recipe)) == 1 else f"teacher {named.name}"
    job = Job(
        phase=phase,
        seed=named.seed,
        student=tutor.model,
        terms=label_terms((), named.train),
        train=named.train,
        dataset=tutor.dataset,
        checkpoint=session.checkpoint(f"teacher-{named.name}", named.seed),
    )
    state = fit(job, fabric, progress, session.log)
    return _score(tutor, named.seed, fabric, epochs=state.epoch, seconds=state.seconds)


def teacher_key(named: Named, dataset: Dataset) -> str:
    """Return the hash of all that decides a trained teacher's weights.

    Args:
        named: the teacher.
        dataset: the data as it sees it.
    """
    decides = {
        "format": 2,
        "model": named.spec.model,
        "options": named.spec.options,
        "classes": named.spec.classes,
        "gives": named.spec.gives,
        "train": named.train.model_dump(mode="json", exclude={"accelerator", "threads"}),
        "data": dataset.sha256,
        "input": dataset.input,
        "preprocess": dataset.preprocess.model_dump(mode="json"),
        "seed": named.seed,
    }
    return sha256_bytes(json.dumps(decides, sort_keys=True, default=str).encode())[:16]


def _score(tutor: Tutor, seed: int, fabric: Fabric, *, epochs: int, seconds: float) -> Score:
    dataset = tutor.dataset
    tutor.model.to(fabric.device)
    reached = {
        split: accuracy(
            predict(tutor.model, dataset, split, device=fabric.device),
            dataset.splits[split].targets,
        )
        for split in ("validation", "test")
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


def _keep(model: nn.Module, kept: Path, named: Named, score: Score) -> None:
    try:
        with new_directory(kept) as staging:
            save_weights(model, staging / WEIGHTS)
            manifest = TeacherManifest(
                key=kept.name,
                model=named.spec.model,
                score=score,
                files={WEIGHTS: file_record(staging / WEIGHTS)},
                provenance=provenance.collect(seed=score.seed, wall_seconds=score.train_seconds),
            )
            write_record(staging / "manifest.json", manifest)
    except RunError:
        if not (kept / "manifest.json").is_file():
            raise
        # Another run trained the same teacher meanwhile: by its key, it has the same weights.
