"""Quantization-aware training: the trained student learns on, with fake quantization.

The losses, the teachers and the loop are those of the student; only the network is another one.
It computes what its int8 file will compute, so that what the file would lose is learned back from
whoever taught the student.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor

from edgekd.data.split import Dataset
from edgekd.distill.checkpoint import Checkpoint
from edgekd.distill.evaluate import predict
from edgekd.distill.finishing import answers_on
from edgekd.distill.job import Job
from edgekd.distill.loop import fit
from edgekd.distill.metering import metered
from edgekd.distill.named import overridden
from edgekd.distill.online import Quantized
from edgekd.distill.progress import Progress
from edgekd.distill.session import Session
from edgekd.distill.stages import FIXED, losses_of
from edgekd.errors import RecipeError
from edgekd.metrics.classification import accuracy, agreement
from edgekd.quantize.fake.network import FakeQuantized
from edgekd.recipe import QuantizeSpec, Recipe, TrainSpec
from edgekd.records import Score

#: The phase in the log.
PHASE = "qat"

#: Samples at once, and at most, that set the ranges to begin with.
_BATCH, _SAMPLES = 64, 512


@dataclass(frozen=True)
class Learned:
    """A student as its float training left it.

    Attributes:
        job: of that training, done; ``job.student`` holds the weights.
        part: the job of its last stage, or the same where there are no stages.
        state: the last checkpoint of ``part``.
    """

    job: Job
    part: Job
    state: Checkpoint


def wanted(recipe: Recipe) -> QuantizeSpec | None:
    """Return ``[quantize]`` where it asks for training."""
    return recipe.quantize if recipe.quantize is not None and recipe.quantize.qat else None


def quantized_train(recipe: Recipe, spec: QuantizeSpec) -> TrainSpec:
    """Return ``[train]`` of the training with fake quantization.

    Args:
        recipe: of the run.
        spec: its ``[quantize]``.

    Raises:
        RecipeError: an override is not a key of ``[train]``, has a wrong value, or holds for the
            whole run.
    """
    where = "quantize.train"
    fixed = [key for key in spec.train if key in FIXED and key != "select"]
    if fixed:
        hint = "Epochs are quantize.epochs; the others hold for the whole run."
        raise RecipeError(where, [f"{', '.join(fixed)} cannot be set here"], hint=hint)
    base: dict[str, Any] = {
        "epochs": spec.epochs,
        "learning_rate": spec.learning_rate,
        "patience": 0,
        "compile": False,  # what is compiled calls no functions that could be rounded
    }
    return overridden(recipe.train.model_copy(update=base), spec.train, where)


def check_quantize(recipe: Recipe) -> None:
    """Say what is wrong with ``[quantize]`` before anything is trained.

    Raises:
        RecipeError: an override is none, or somebody is trained beside the student.
    """
    spec = wanted(recipe)
    if spec is None:
        return
    quantized_train(recipe, spec)
    beside = ["peers"] if recipe.peer else []
    beside += ["a teacher that follows it"] if any(t.follows for t in recipe.teacher) else []
    if beside:
        raise RecipeError(
            "quantize.qat",
            [f"the student is trained together with {' and '.join(beside)}"],
            hint="Distil it first; then quantize it in a run of its own, taught by the first: "
            "[student.start] and a [[teacher]] with its weights.",
        )


def fit_quantized(
    session: Session, learned: Learned, fabric: Fabric, progress: Progress
) -> Quantized | None:
    """Train a student on with fake quantization, if the recipe wants it, and score it.

    Args:
        session: the run in the making.
        learned: the student, which stays as it is.
        fabric: device and precision.
        progress: who watches.
    """
    recipe, spec = session.recipe, wanted(session.recipe)
    if spec is None:
        return None
    job = quantized_job(session, learned, spec, fabric.device)
    float32, int8 = (
        accuracy(
            predict(network, job.dataset, "validation", device=fabric.device),
            job.dataset.splits["validation"].targets,
        )
        for network in (learned.job.student, job.student)
    )
    progress.message(
        f"{PHASE} (seed {job.seed}): validation {float32:.2%} in float32, "
        f"{int8:.2%} in int8 before it learns"
    )
    with metered(session, PHASE, recipe.student.model, job.seed, fabric) as meter:
        state = fit(job, fabric, progress, meter.after(session.log))
    network = job.student
    logits = predict(network, job.dataset, "test", device=fabric.device)
    theirs = answers_on(job.teachers, recipe.ensemble, "test", fabric.device)
    score = Score(
        seed=job.seed,
        epochs=state.epoch,
        validation_accuracy=state.best_accuracy,
        test_accuracy=accuracy(logits, job.dataset.splits["test"].targets),
        test_agreement=None if theirs is None else agreement(logits, theirs),
        train_seconds=round(state.seconds, 3),
    )
    return Quantized(network, score)


def quantized_job(
    session: Session, learned: Learned, spec: QuantizeSpec, device: torch.device
) -> Job:
    """Return the job of the training with fake quantization, its ranges set.

    Args:
        session: the run in the making.
        learned: the student.
        spec: ``[quantize]``.
        device: where the student is.
    """
    job = learned.job
    network = FakeQuantized(
        job.student,
        job.example().to(device),
        per_channel=spec.per_channel,
        freeze=spec.freeze,
        equalize=spec.equalize,
    )
    network.calibrate(_batches(job.dataset, device))
    return replace(
        job,
        phase=PHASE,
        student=network,
        terms=learned.part.terms,
        train=quantized_train(session.recipe, spec),
        checkpoint=session.checkpoint(PHASE, job.seed),
        frozen=(),
        carried=losses_of(learned.state, learned.part),
    )


def _batches(dataset: Dataset, device: torch.device) -> Iterator[Tensor]:
    """Yield the calibration split, or training samples where it is empty."""
    split = "calibration" if len(dataset.splits["calibration"]) else "train"
    count = min(len(dataset.splits[split]), _SAMPLES)
    for start in range(0, count, _BATCH):
        chosen = np.arange(start, min(start + _BATCH, count))
        yield torch.from_numpy(dataset.normalised(split, chosen)).to(device)
