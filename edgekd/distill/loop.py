"""The training loop: one, for teachers, students and their twins without a teacher.

Whatever differs between them is in the `Job`: the network, the terms of its loss, and whether
there is a teacher to listen to.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from edgekd.data.split import Dataset
from edgekd.distill.batches import Batch, TrainingBatches, derive_seed
from edgekd.distill.checkpoint import Checkpoint
from edgekd.distill.evaluate import predict
from edgekd.distill.optimizers import parameter_groups
from edgekd.distill.progress import Progress
from edgekd.distill.schedules import with_warmup
from edgekd.errors import TrainingError
from edgekd.losses.base import Loss, Outputs
from edgekd.metrics.classification import accuracy
from edgekd.recipe import TrainSpec
from edgekd.registry import table


@dataclass(frozen=True)
class Term:
    """One weighted term of a loss."""

    name: str
    weight: float
    loss: Loss


@dataclass(frozen=True)
class Job:
    """What to train.

    Attributes:
        phase: ``teacher``, ``student`` or ``baseline``; names the lines of the log.
        seed: of sample order, views and dropout.
        student: the network that learns. After `fit` it holds the weights to keep.
        teacher: the network it listens to, if any; frozen by `fit`.
        terms: the terms of the loss.
        train: how to train.
        dataset: what to train on.
        checkpoint: where to keep what a resume needs.
    """

    phase: str
    seed: int
    student: nn.Module
    teacher: nn.Module | None
    terms: Sequence[Term]
    train: TrainSpec
    dataset: Dataset
    checkpoint: Path


class Trainable(nn.Module):
    """Everything with gradients in one module, and one forward through all of it.

    A single forward keeps gradient synchronisation right when Fabric wraps the module for
    several processes, and one module gives the optimizer, the clipping and the checkpoint the
    parameters of losses beside those of the student.
    """

    def __init__(self, student: nn.Module, terms: Sequence[Term]) -> None:
        """Register the student and the losses."""
        super().__init__()
        self.student = student
        self.losses = nn.ModuleList(term.loss for term in terms)
        self.names = [term.name for term in terms]
        self.weights = [term.weight for term in terms]

    def forward(self, batch: Batch, teacher: Outputs | None) -> dict[str, Tensor]:
        """Return the weighted terms by name."""
        student = Outputs(self.student(batch.inputs))
        return {
            name: weight * loss(student, teacher, batch.targets)
            for name, weight, loss in zip(self.names, self.weights, self.losses, strict=True)
        }


def freeze(teacher: nn.Module) -> nn.Module:
    """Switch a teacher to eval mode, for good, and take its gradients away."""
    teacher.requires_grad_(False)
    return teacher.eval()


def fit(
    job: Job, fabric: Fabric, progress: Progress, log: Callable[[dict[str, Any]], None]
) -> Checkpoint:
    """Train a network, from its checkpoint if there is one.

    Args:
        job: what to train.
        fabric: device and precision.
        progress: who watches.
        log: takes one line an epoch, before the epoch's checkpoint is written.

    Returns:
        The last checkpoint. ``job.student`` holds the weights to keep, in eval mode.

    Raises:
        TrainingError: a term of the loss is not finite; the last checkpoint stays.
    """
    batches = TrainingBatches(job.dataset, job.train, job.seed)
    state = Checkpoint.load(job.checkpoint) or Checkpoint()
    trainable = Trainable(job.student, job.terms)
    groups = parameter_groups(trainable, job.train.weight_decay)
    optimizer = table("optimizer").resolve(job.train.optimizer)(groups, job.train)
    if state.epoch:
        trainable.load_state_dict(state.trainable)
    wrapped, optimizer = fabric.setup(trainable, optimizer)
    average = _average(trainable.student, job.train)
    if state.epoch:
        optimizer.load_state_dict(state.optimizer)
        if average is not None:
            average.load_state_dict(state.ema)
    if job.teacher is not None:
        freeze(job.teacher).to(fabric.device)

    steps = job.train.epochs * len(batches)
    progress.started(job.phase, job.seed, steps, state.epoch * len(batches), job.train.epochs)
    while not state.finished:
        began = time.perf_counter()
        line = _epoch(job, state.epoch, batches, wrapped, optimizer, average, fabric, progress)
        kept = trainable.student if average is None else average.module
        _validate(job, state, kept, line, fabric, time.perf_counter() - began)
        log(line)
        progress.epoch(line)
        state.trainable = trainable.state_dict()
        state.optimizer = optimizer.state_dict()
        state.ema = {} if average is None else average.state_dict()
        state.save(job.checkpoint)
    progress.finished()
    job.student.load_state_dict(state.best)
    job.student.eval()
    return state


def _average(student: nn.Module, train: TrainSpec) -> AveragedModel | None:
    """Return the exponential moving average of weights and BatchNorm statistics, if wanted."""
    if train.ema == 0.0:
        return None
    return AveragedModel(student, multi_avg_fn=get_ema_multi_avg_fn(train.ema), use_buffers=True)


def _epoch(
    job: Job,
    epoch: int,
    batches: TrainingBatches,
    wrapped: Any,
    optimizer: Any,
    average: AveragedModel | None,
    fabric: Fabric,
    progress: Progress,
) -> dict[str, Any]:
    """Train for one epoch; return its line for the log."""
    wrapped.train()
    schedule = table("schedule").resolve(job.train.schedule)
    steps = job.train.epochs * len(batches)
    sums: dict[str, float] = dict.fromkeys([term.name for term in job.terms], 0.0)
    seen = 0
    rate = 0.0
    for number, batch in enumerate(batches.epoch(epoch, fabric.device)):
        done = epoch * len(batches) + number
        # Half a step in: neither the first nor the last step has a learning rate of 0.
        at = (done + 0.5) / steps
        rate = job.train.learning_rate * with_warmup(schedule(at), at, job.train.warmup)
        for group in optimizer.param_groups:
            group["lr"] = rate
        # Dropout and the like follow from the step, as the views do.
        torch.manual_seed(derive_seed(job.seed, "step", done))
        teacher = _listen(job.teacher, batch, fabric)
        terms = wrapped(batch, teacher)
        total = torch.stack(list(terms.values())).sum()
        _check_finite(job, epoch, number, terms, total)
        fabric.backward(total)
        if job.train.clip_norm:
            fabric.clip_gradients(wrapped, optimizer, max_norm=job.train.clip_norm)
        optimizer.step()
        optimizer.zero_grad()
        if average is not None:
            average.update_parameters(wrapped.module.student)
        count = len(batch.targets)
        seen += count
        for name, value in terms.items():
            sums[name] += value.item() * count
        progress.step()
    means = {name: value / seen for name, value in sums.items()}
    return {
        "phase": job.phase,
        "seed": job.seed,
        "epoch": epoch + 1,
        "step": (epoch + 1) * len(batches),
        "loss": sum(means.values()),
        "terms": means,
        "learning_rate": rate,
    }


def _listen(teacher: nn.Module | None, batch: Batch, fabric: Fabric) -> Outputs | None:
    """Return what the teacher says of exactly the view that the student sees."""
    if teacher is None:
        return None
    with torch.no_grad(), fabric.autocast():
        return Outputs(teacher(batch.inputs))


def _check_finite(job: Job, epoch: int, step: int, terms: dict[str, Tensor], total: Tensor) -> None:
    if torch.isfinite(total):
        return
    values = {name: value.item() for name, value in terms.items()}
    bad = [name for name, value in terms.items() if not torch.isfinite(value)] or list(values)
    raise TrainingError(
        f"the loss of the {job.phase} (seed {job.seed}) became {total.item()} in epoch "
        f"{epoch + 1}, step {step + 1}: " + ", ".join(f"{name} = {values[name]}" for name in bad),
        hint=(
            f"The last good checkpoint is kept ({job.checkpoint}). Lower train.learning_rate, "
            "or set train.clip_norm=1.0."
        ),
    )


def _validate(
    job: Job,
    state: Checkpoint,
    kept: nn.Module,
    line: dict[str, Any],
    fabric: Fabric,
    training_seconds: float,
) -> None:
    """Score the epoch on validation and bring the checkpoint's bookkeeping up to date."""
    logits = predict(kept, job.dataset, "validation", device=fabric.device)
    reached = accuracy(logits, job.dataset.splits["validation"].targets)
    state.epoch += 1
    state.seconds += training_seconds
    better = reached > state.best_accuracy
    if better:
        state.best_accuracy, state.best_epoch, state.stale = reached, state.epoch, 0
    else:
        state.stale += 1
    if better or job.train.select == "last":
        state.best = {name: value.detach().clone() for name, value in kept.state_dict().items()}
    out_of_patience = 0 < job.train.patience <= state.stale
    state.finished = state.epoch >= job.train.epochs or out_of_patience
    line["validation_accuracy"] = reached
    line["seconds"] = round(training_seconds, 4)
