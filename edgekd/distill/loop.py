"""The training loop: one, for teachers, students and their twins without a teacher.

Whatever differs between them is in the `Job`: the network, the terms of its loss, and whether
there is a teacher to listen to.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from edgekd.distill.asking import Voices, make_batches, teacher_voices
from edgekd.distill.batches import TrainingBatches
from edgekd.distill.checkpoint import Checkpoint
from edgekd.distill.doctor import examine
from edgekd.distill.features import Capture
from edgekd.distill.job import Job
from edgekd.distill.layout import channels_first, set_layout
from edgekd.distill.peers import company
from edgekd.distill.players import Players, make_average
from edgekd.distill.progress import Progress
from edgekd.distill.schedules import with_warmup
from edgekd.distill.trainable import Trainable, build_losses, freeze
from edgekd.distill.validation import chosen_by, validate
from edgekd.errors import TrainingError
from edgekd.records_distill import Finding
from edgekd.registry import table
from edgekd.seeds import derive_seed


@dataclass(frozen=True)
class Stage:
    """Everything that is in place when training begins.

    Attributes:
        batches: the training batches.
        state: the checkpoint to go on from.
        players: networks and optimizers.
        voices: of the teachers.
    """

    batches: TrainingBatches
    state: Checkpoint
    players: Players
    voices: Voices


@contextmanager
def set_up(job: Job, fabric: Fabric, progress: Progress) -> Iterator[Stage]:
    """Put everything in place, hooks on; afterwards take the hooks off."""
    for tutor in job.teachers:
        freeze(tutor.model).to(fabric.device)
    networks = (job.student, *(tutor.model for tutor in job.tutors))
    if job.train.channels_last:
        for network in networks:
            set_layout(network, torch.channels_last)
    torch.manual_seed(derive_seed(job.seed, "losses"))
    build_losses(job)
    batches = make_batches(job, fabric)
    state = Checkpoint.load(job.checkpoint, progress.message) or Checkpoint()
    # The average is a copy of the student, so it is made before any hook is on.
    average = make_average(job.student, job.train)
    capture = Capture(job.student, job.captured(), "student")
    following = {t.name: t.average for t in job.teachers if t.average is not None}
    with company(job, batches, fabric.device) as beside:
        trainable = Trainable(job, capture, fabric, beside)
        players = Players(trainable, job.train, fabric, state, average, following)
        capture.rehearse(job.example().to(fabric.device))
        with (
            channels_first(networks),
            capture.hooked(),
            teacher_voices(job, batches, fabric, progress) as voices,
        ):
            yield Stage(batches, state, players, voices)


def diagnose(job: Job, fabric: Fabric, progress: Progress) -> list[Finding]:
    """Return what the doctor finds, without training."""
    with set_up(job, fabric, progress) as stage:
        return examine(job, stage.players, stage.voices, stage.batches, fabric)


def fit(
    job: Job,
    fabric: Fabric,
    progress: Progress,
    log: Callable[[dict[str, Any]], None],
    doctor: Callable[[list[Finding]], None] | None = None,
) -> Checkpoint:
    """Train a network, from its checkpoint if there is one.

    Args:
        job: what to train.
        fabric: device and precision.
        progress: who watches.
        log: takes one line an epoch, before the epoch's checkpoint is written.
        doctor: takes what was found before the first epoch, and may raise.

    Returns:
        The last checkpoint. ``job.student`` holds the weights to keep, in eval mode.

    Raises:
        TrainingError: a term of the loss is not finite; the last checkpoint stays.
        RecipeError: a loss names a layer that is not there, or the shapes of student and teacher
            do not suit it.
    """
    with set_up(job, fabric, progress) as stage:
        state = stage.state
        if doctor is not None and not state.epoch:
            doctor(examine(job, stage.players, stage.voices, stage.batches, fabric))
        length = steps_an_epoch(job, stage.batches)
        progress.started(
            job.phase, job.seed, job.train.epochs * length, state.epoch * length, job.train.epochs
        )
        while not state.finished:
            began = time.perf_counter()
            line = _epoch(job, stage, fabric, progress)
            _validate(job, state, stage.players.kept, line, fabric, time.perf_counter() - began)
            if line.get("collapsed"):
                progress.message(
                    f"epoch {line['epoch']}: the student's outputs have collapsed, they no longer "
                    "depend on the sample; lower the learning rate or dino's teacher_temperature"
                )
            progress.epoch(line)
            stage.players.store(state)
            if fabric.is_global_zero:
                log(line)
                state.save(job.checkpoint)
    progress.finished()
    for network in (job.student, *(peer.tutor.model for peer in job.peers)):
        set_layout(network, torch.contiguous_format)
        network.eval()
    job.student.load_state_dict(state.best)
    return state


def _epoch(job: Job, stage: Stage, fabric: Fabric, progress: Progress) -> dict[str, Any]:
    """Train for one epoch; return its line for the log."""
    epoch, batches, players = stage.state.epoch, stage.batches, stage.players
    players.wrapped.train()
    schedule = table("schedule").resolve(job.train.schedule)
    steps = steps_an_epoch(job, batches)
    sums: dict[str, float] = dict.fromkeys([term.name for term in job.all_terms], 0.0)
    seen, rate = 0, 0.0
    for number, batch in enumerate(batches.epoch(epoch, fabric.device)):
        step, part = divmod(number, job.train.accumulate)
        done = epoch * steps + step
        # Half a step in: neither the first nor the last step has a learning rate of 0.
        at = (done + 0.5) / (job.train.epochs * steps)
        rate = job.train.learning_rate * with_warmup(schedule(at), at, job.train.warmup)
        players.set_learning_rate(rate)
        players.trainable.set_progress(at)
        # Dropout and the like follow from the step, as the views do.
        torch.manual_seed(derive_seed(job.seed, "step", done, part, batches.ranks.rank))
        players.trainable.loss_seed = derive_seed(job.seed, "loss", done, part)
        terms = players.forward(batch, stage.voices.answer(batch))
        total = torch.stack(list(terms.values())).sum()
        _check_finite(job, epoch, number, terms, total)
        first = step * job.train.accumulate
        together = range(first, min(first + job.train.accumulate, len(batches)))
        # A short last batch counts for its samples, not as a batch.
        players.backward(total * (batches.size(number) / sum(map(batches.size, together))))
        if number == together[-1]:
            players.step()
            progress.step()
        players.play()
        count = batch.total
        seen += count
        for name, value in terms.items():
            sums[name] += value.item() * count
    means = {name: value / seen for name, value in sums.items()}
    return {
        "phase": job.phase,
        "seed": job.seed,
        "epoch": epoch + 1,
        "step": (epoch + 1) * steps,
        "loss": sum(means.values()),
        "terms": means,
        "learning_rate": rate,
    }


def steps_an_epoch(job: Job, batches: TrainingBatches) -> int:
    """Return the number of optimizer steps in an epoch."""
    return math.ceil(len(batches) / job.train.accumulate)


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
    found = validate(job, kept, fabric.device)
    reached = chosen_by(found)
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
    line.update(found)
    line["seconds"] = round(training_seconds, 4)
