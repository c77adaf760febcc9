"""The teacher: loaded, trained by the recipe, or reused from an earlier run.

A trained teacher is kept in ``runs/teachers/KEY``, where the key is the hash of everything that
decides its weights. Another run with the same teacher, data and seed finds it there.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from lightning_fabric import Fabric
from pydantic import ValidationError
from torch import nn

from edgekd import provenance
from edgekd.data.split import Dataset
from edgekd.distill.evaluate import predict
from edgekd.distill.loop import fit
from edgekd.distill.progress import Progress
from edgekd.distill.session import Session
from edgekd.distill.terms import label_terms
from edgekd.distill.trainable import Job, freeze
from edgekd.errors import RecipeError, RunError, TamperedError
from edgekd.metrics.classification import accuracy
from edgekd.models.build import build
from edgekd.models.weights import load_weights, save_weights
from edgekd.recipe import Recipe, TeacherSpec, TrainSpec
from edgekd.records import Score, TeacherManifest
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

    model: nn.Module
    score: Score


def effective_train(recipe: Recipe, spec: TeacherSpec) -> TrainSpec:
    """Return ``[train]`` with the teacher's overrides.

    Raises:
        RecipeError: an override is not a key of ``[train]`` or has a wrong value.
    """
    base = recipe.train.model_dump(exclude={"seeds", "baseline"})
    try:
        return TrainSpec.model_validate({**base, **spec.train})
    except ValidationError as error:
        faults = [
            f"teacher[0].train.{'.'.join(map(str, item['loc']))}: {item['msg']}"
            for item in error.errors()
        ]
        raise RecipeError("the teacher's own training", faults) from error


def build_teacher(spec: TeacherSpec, dataset: Dataset, seed: int) -> nn.Module:
    """Build the untrained network, seeded."""
    torch.manual_seed(seed)
    return build(
        spec.model,
        spec.options,
        num_classes=len(dataset.classes),
        input_shape=dataset.sample_shape,
        where="teacher[0]",
    )


def obtain(session: Session, fabric: Fabric, progress: Progress) -> Teacher:
    """Return the recipe's teacher: loaded, reused, or trained now.

    Raises:
        ModelError: its weights do not fit the network.
        TamperedError: the kept teacher is not the one that its manifest names.
    """
    spec = session.recipe.teacher[0]
    train = effective_train(session.recipe, spec)
    model, score = _find(session, spec, train, progress)
    if score is None and spec.weights is not None:
        score = _score(model, session, fabric, epochs=0, seconds=0.0)
    elif score is None:
        score = _train(model, session, train, fabric, progress)
        kept = _kept(session, spec, train)
        if fabric.is_global_zero:
            _keep(model, kept, kept.name, spec, score)
    return Teacher(freeze(model.to(fabric.device)), score)


def at_hand(session: Session, fabric: Fabric, progress: Progress) -> tuple[nn.Module, bool]:
    """Return the teacher as it is now, and whether it is trained; nothing is trained."""
    spec = session.recipe.teacher[0]
    train = effective_train(session.recipe, spec)
    model, score = _find(session, spec, train, progress)
    return freeze(model.to(fabric.device)), score is not None or spec.weights is not None


def _find(
    session: Session, spec: TeacherSpec, train: TrainSpec, progress: Progress
) -> tuple[nn.Module, Score | None]:
    """Build the teacher, with its weights where there are any, and its score where it is known."""
    model = build_teacher(spec, session.dataset, session.recipe.seed)
    if spec.weights is not None:
        path = Path(spec.weights).expanduser()
        load_weights(model, path)
        progress.message(f"teacher {spec.model}: weights of {path}")
        return model, None
    kept = _kept(session, spec, train)
    if not (kept / "manifest.json").is_file():
        return model, None
    score = _reuse(model, kept)
    progress.message(f"teacher {spec.model}: trained before, reused ({kept})")
    return model, score


def _kept(session: Session, spec: TeacherSpec, train: TrainSpec) -> Path:
    key = teacher_key(session.recipe, spec, train, session.dataset)
    return runs_root() / "teachers" / key


def _train(
    model: nn.Module, session: Session, train: TrainSpec, fabric: Fabric, progress: Progress
) -> Score:
    seed = session.recipe.seed
    job = Job(
        phase="teacher",
        seed=seed,
        student=model,
        teacher=None,
        terms=label_terms((), train),
        train=train,
        dataset=session.dataset,
        checkpoint=session.checkpoint("teacher", seed),
    )
    state = fit(job, fabric, progress, session.log)
    return _score(model, session, fabric, epochs=state.epoch, seconds=state.seconds)


def teacher_key(recipe: Recipe, spec: TeacherSpec, train: TrainSpec, dataset: Dataset) -> str:
    """Return the hash of all that decides a trained teacher's weights."""
    decides = {
        "format": 1,
        "model": spec.model,
        "options": spec.options,
        "train": train.model_dump(mode="json", exclude={"accelerator", "threads"}),
        "data": dataset.sha256,
        "preprocess": dataset.preprocess.model_dump(mode="json"),
        "seed": recipe.seed,
    }
    return sha256_bytes(json.dumps(decides, sort_keys=True, default=str).encode())[:16]


def _score(
    model: nn.Module, session: Session, fabric: Fabric, *, epochs: int, seconds: float
) -> Score:
    dataset = session.dataset
    model.to(fabric.device)
    reached = {
        split: accuracy(
            predict(model, dataset, split, device=fabric.device), dataset.splits[split].targets
        )
        for split in ("validation", "test")
    }
    return Score(
        seed=session.recipe.seed,
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


def _keep(model: nn.Module, kept: Path, key: str, spec: TeacherSpec, score: Score) -> None:
    try:
        with new_directory(kept) as staging:
            save_weights(model, staging / WEIGHTS)
            manifest = TeacherManifest(
                key=key,
                model=spec.model,
                score=score,
                files={WEIGHTS: file_record(staging / WEIGHTS)},
                provenance=provenance.collect(seed=score.seed, wall_seconds=score.train_seconds),
            )
            write_record(staging / "manifest.json", manifest)
    except RunError:
        if not (kept / "manifest.json").is_file():
            raise
        # Another run trained the same teacher meanwhile: by its key, it has the same weights.
