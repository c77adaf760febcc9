"""Stages: one training after the other on the same student, each a job of the one loop.

A stage says which terms count, which layers learn, and how. Its optimizer and its schedules start
anew; what a loss brought along (adapters, memories, discriminators) goes on in the next stage
where the same term counts again. Every stage has a checkpoint of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from lightning_fabric import Fabric
from torch import Tensor

from edgekd.distill.checkpoint import Checkpoint
from edgekd.distill.findings import about
from edgekd.distill.freezing import frozen, frozen_layers
from edgekd.distill.job import Job
from edgekd.distill.loop import diagnose, fit
from edgekd.distill.named import overridden
from edgekd.distill.progress import Progress
from edgekd.errors import RecipeError
from edgekd.recipe import StageSpec, TrainSpec
from edgekd.records_distill import Finding

#: What a stage's own ``train`` cannot change: the student's weights are handed on from its last
#: epoch, and the rest holds for the whole run.
FIXED = (
    *("epochs", "select", "seeds", "baseline", "doctor", "energy"),
    *("precision", "accelerator", "num_devices", "strategy", "threads"),
)

Log = Callable[[dict[str, Any]], None]


def stage_train(train: TrainSpec, stages: Sequence[StageSpec], number: int) -> TrainSpec:
    """Return ``[train]`` of one stage.

    All but the last keep the weights of their last epoch, and have patience only where they say
    so: before the last stage, accuracy need not be what is learned.

    Args:
        train: of the recipe.
        stages: of the recipe.
        number: which one.

    Raises:
        RecipeError: an override is not a key of ``[train]`` or has a wrong value.
    """
    spec = stages[number]
    base: dict[str, Any] = {"epochs": spec.epochs}
    if number + 1 < len(stages):
        base |= {"select": "last", "patience": 0}
    return overridden(train.model_copy(update=base), spec.train, f"stage[{number}].train")


def stage_job(
    job: Job, stages: Sequence[StageSpec], number: int, carried: Mapping[str, Any] | None = None
) -> Job:
    """Return the job of one stage.

    Args:
        job: of the whole training.
        stages: of the recipe.
        number: which one.
        carried: the state of each loss of the stage before, by the term's name.
    """
    spec = stages[number]
    terms = [term for term in job.terms if not spec.losses or term.name in spec.losses]
    path = job.checkpoint
    return replace(
        job,
        terms=terms,
        train=stage_train(job.train, stages, number),
        checkpoint=path.with_name(f"{path.stem}-stage-{number + 1}{path.suffix}"),
        frozen=tuple(frozen_layers(job.student, spec, f"stage[{number}]")),
        carried={
            term.name: carried[term.name] for term in terms if carried and term.name in carried
        },
    )


def fit_stages(
    job: Job,
    stages: Sequence[StageSpec],
    fabric: Fabric,
    progress: Progress,
    log: Log,
    doctor: Callable[..., None] | None = None,
) -> Checkpoint:
    """Train a network stage by stage, or at once where there are no stages.

    Args and errors are those of `fit`; ``doctor`` also takes ``of``, the stage it looked at.

    Returns:
        The last stage's checkpoint, with the epochs and seconds of all.
    """
    if not stages:
        return fit(job, fabric, progress, log, doctor)
    epochs, seconds, steps = 0, 0.0, 0
    carried: dict[str, dict[str, Tensor]] = {}
    for number, spec in enumerate(stages):
        part = stage_job(job, stages, number, carried)
        label = _Label(spec.name, epochs, steps, progress, log)
        looks = None if doctor is None else _looking(doctor, job.phase, spec.name)
        with frozen(part.student, part.frozen):
            state = fit(part, fabric, label, label.log, looks)
        epochs, seconds, steps = epochs + state.epoch, seconds + state.seconds, label.last_step
        carried = losses_of(state, part)
    return replace(state, epoch=epochs, seconds=seconds)


def diagnose_stages(
    job: Job, stages: Sequence[StageSpec], fabric: Fabric, progress: Progress
) -> list[Finding]:
    """Return what the doctor finds in every stage, without training."""
    if not stages:
        return diagnose(job, fabric, progress)
    found = []
    for number, spec in enumerate(stages):
        part = stage_job(job, stages, number)
        with frozen(part.student, part.frozen):
            found += about(f"stage {spec.name}", diagnose(part, fabric, progress))
    return found


def check_learning(job: Job, number: int) -> None:
    """Say whether anything learns in a stage.

    Args:
        job: of the stage; its losses are built.
        number: of the stage.

    Raises:
        RecipeError: nothing does.
    """
    learning = [name for name, _ in job.student.named_parameters() if name not in job.frozen]
    if not learning and not any(True for term in job.terms for _ in term.loss.parameters()):
        raise RecipeError(f"stage[{number}]", ["nothing learns in it: everything is frozen"])


def losses_of(state: Checkpoint, job: Job) -> dict[str, dict[str, Tensor]]:
    """Return the state of each loss at the end of a stage, by the term's name."""
    found = {}
    for number, term in enumerate(job.terms):
        start = f"losses.{number}."
        found[term.name] = {
            name.removeprefix(start): value
            for name, value in state.trainable.items()
            if name.startswith(start)
        }
    return found


def _looking(
    doctor: Callable[..., None], phase: str, stage: str
) -> Callable[[list[Finding]], None]:
    of = f"stage {stage}" if phase == "student" else f"{phase}, stage {stage}"
    return lambda findings: doctor(findings, of=of)


class _Label(Progress):
    """Names the stage in every line, and counts epochs and steps on from the stages before."""

    def __init__(self, stage: str, epochs: int, steps: int, progress: Progress, log: Log) -> None:
        self.stage = stage
        self.epochs = epochs
        self.steps = self.last_step = steps
        self.progress = progress
        self.write = log

    def log(self, line: dict[str, Any]) -> None:
        self.write(self._labelled(line))

    def _labelled(self, line: dict[str, Any]) -> dict[str, Any]:
        counted = {"epoch": line["epoch"] + self.epochs, "step": line["step"] + self.steps}
        return {**line, **counted, "stage": self.stage}

    def message(self, text: str) -> None:
        self.progress.message(text)

    def started(self, phase: str, seed: int, steps: int, done: int, epochs: int) -> None:
        self.last_step = self.steps + steps
        self.progress.started(f"{phase}, {self.stage}", seed, steps, done, self.epochs + epochs)

    def step(self) -> None:
        self.progress.step()

    def epoch(self, line: dict[str, Any]) -> None:
        self.progress.epoch(self._labelled(line))

    def finished(self) -> None:
        self.progress.finished()
