"""A real training of a small student, whole or interrupted, for tests of losses with memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from edgekd.data.load import load_dataset
from edgekd.distill.checkpoint import Checkpoint
from edgekd.distill.features import Capture
from edgekd.distill.loop import fit
from edgekd.distill.players import Players
from edgekd.distill.progress import Progress
from edgekd.distill.trainable import Job, Term, Trainable, build_losses, freeze
from edgekd.distill.tutor import Tutor
from edgekd.losses.base import Loss
from edgekd.losses.cross_entropy import CrossEntropy
from edgekd.models.build import build
from edgekd.recipe import DataSpec, TrainSpec


class InterruptedHere(Exception):
    """Stands for whatever ends a process in the middle of a training."""


def make_job(checkpoint: Path, loss: Loss, *, epochs: int = 3, batch_size: int = 100) -> Job:
    """Return a student and a teacher on the digits; the last batch is short."""
    torch.manual_seed(0)
    student = build("mlp", {"hidden": [12]}, num_classes=10, input_shape=(1, 8, 8))
    teacher = build("mlp", {"hidden": [24]}, num_classes=10, input_shape=(1, 8, 8))
    split = {"train": 330, "calibration": 64, "validation": 100, "test": 100}
    dataset = load_dataset(DataSpec.model_validate({"source": "digits", "split": split}))
    return Job(
        phase="student",
        seed=0,
        student=student,
        teachers=(Tutor("teacher", teacher, dataset),),
        terms=[Term("cross-entropy", 1.0, CrossEntropy()), Term("loss", 0.5, loss)],
        train=TrainSpec(epochs=epochs, batch_size=batch_size, learning_rate=0.01, threads=1),
        dataset=dataset,
        checkpoint=checkpoint,
    )


def fabric(precision: Any = "32-true") -> Fabric:
    """Return a Fabric on one CPU."""
    return Fabric(accelerator="cpu", devices=1, precision=precision)


def make_players(job: Job) -> tuple[Trainable, Players]:
    """Return what the loop makes before its first step."""
    for tutor in job.teachers:
        freeze(tutor.model)
    build_losses(job)
    trainable = Trainable(job, Capture(job.student, job.captured(), "student"))
    return trainable, Players(trainable, job.train, fabric(), Checkpoint(), None)


def trained(job: Job, *, until: int | None = None, precision: Any = "32-true") -> Checkpoint:
    """Train a job; leave it with an exception after so many whole epochs."""

    def log(line: dict[str, Any]) -> None:
        if until is not None and line["epoch"] > until:
            raise InterruptedHere

    return fit(job, fabric(precision), Progress(), log)


def interrupted_and_resumed(path: Path, make: Callable[[], Loss], *, after: int) -> Checkpoint:
    """Train until an exception, then go on with fresh objects from the checkpoint."""
    try:
        trained(make_job(path, make()), until=after)
    except InterruptedHere:
        assert Checkpoint.load(path).epoch == after  # type: ignore[union-attr]
        return trained(make_job(path, make()))
    raise AssertionError("it was not interrupted")


def differing(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> list[str]:
    """Return the names whose tensors are not equal bit for bit."""
    assert ours.keys() == theirs.keys()
    return [name for name in ours if not torch.equal(ours[name], theirs[name])]


def owners(parameter: nn.Parameter, optimizers: Sequence[torch.optim.Optimizer]) -> list[int]:
    """Return the numbers of the optimizers that hold a parameter, once for each time."""
    return [
        number
        for number, optimizer in enumerate(optimizers)
        for group in optimizer.param_groups
        for held in group["params"]
        if held is parameter
    ]
