"""What the loop trains: a network, the terms of its loss, and whom it listens to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from edgekd.data.split import Dataset
from edgekd.distill.batches import Batch
from edgekd.distill.features import Capture, shapes_of
from edgekd.distill.ranks import gathered, gathered_targets
from edgekd.errors import RecipeError, UnknownNameError
from edgekd.losses.base import Facts, Loss, Outputs
from edgekd.recipe import CacheSpec, TrainSpec
from edgekd.schedule import Schedule, value_at


@dataclass(frozen=True)
class Term:
    """One weighted term of a loss."""

    name: str
    weight: float | Schedule
    loss: Loss


@dataclass(frozen=True)
class Job:
    """What to train.

    Attributes:
        phase: ``teacher``, ``student`` or ``baseline``; names the lines of the log.
        seed: of sample order, views and dropout.
        student: the network that learns. After the loop it holds the weights to keep.
        teacher: the network it listens to, if any; frozen by the loop.
        terms: the terms of the loss.
        train: how to train.
        dataset: what to train on.
        checkpoint: where to keep what a resume needs.
        cache: read the teacher's answers from a cache, and repeat its views.
        fold: fold BatchNorm into the teacher's convolutions.
        teacher_trained: False in a dry run whose teacher is yet to be trained.
        views_seed: the seed of the views of a cache, which students of other seeds share.
    """

    phase: str
    seed: int
    student: nn.Module
    teacher: nn.Module | None
    terms: Sequence[Term]
    train: TrainSpec
    dataset: Dataset
    checkpoint: Path
    cache: CacheSpec | None = None
    views_seed: int = 0
    fold: bool = False
    teacher_trained: bool = True

    def captured(self) -> tuple[list[str], list[str]]:
        """Return the layers of student and teacher that the losses ask for."""
        pairs = [term.loss.layers() for term in self.terms]
        return [n for ours, _ in pairs for n in ours], [n for _, theirs in pairs for n in theirs]

    def example(self) -> Tensor:
        """Return two samples, not augmented, for dry runs."""
        part = self.dataset.splits["train"]
        return torch.from_numpy(self.dataset.normalised("train", np.arange(min(2, len(part)))))


class Trainable(nn.Module):
    """Everything with gradients in one module, and one forward through all of it.

    A single forward keeps gradient synchronisation right when Fabric wraps the module for
    several processes, and one module gives the optimizer, the clipping and the checkpoint the
    parameters of losses beside those of the student.
    """

    def __init__(
        self,
        student: nn.Module,
        terms: Sequence[Term],
        capture: Capture,
        *,
        compiled: bool = False,
        fabric: Fabric | None = None,
    ) -> None:
        """Register the student and the losses."""
        super().__init__()
        self.student = student
        self.losses = nn.ModuleList(term.loss for term in terms)
        self.terms = tuple(terms)
        self.capture = capture
        self.fabric = fabric
        self.loss_seed = 0
        self.heard: Outputs | None = None
        self.last: Outputs | None = None
        # In a tuple: a compiled module must not be registered as a second student.
        self._run = (torch.compile(student) if compiled else student,)

    def forward(self, batch: Batch, teacher: Outputs | None) -> dict[str, Tensor]:
        """Return the weighted terms by name.

        ``last`` keeps the student's outputs of the whole batch, detached; ``heard`` the teacher's.
        """
        logits = self._run[0](batch.inputs)
        ours = Outputs(logits, self.capture.take(), batch.mask, batch.indices)
        student = gathered(self.fabric, ours, batch.total)
        theirs = None if teacher is None else gathered(self.fabric, teacher, batch.total)
        targets = gathered_targets(self.fabric, batch)
        self.last = detached(student)
        self.heard = theirs
        # What losses draw (negatives) is the same in every process; dropout is not.
        torch.manual_seed(self.loss_seed)
        return {
            term.name: value_at(term.weight, term.loss.progress)
            * term.loss(student, theirs, targets)
            for term in self.terms
        }

    def set_progress(self, progress: float) -> None:
        """Tell every loss how far the training is, for their schedules."""
        for term in self.terms:
            term.loss.progress = progress

    def opponents(self) -> list[tuple[Loss, nn.Module]]:
        """Return the losses that have opponents, with them."""
        found = [(term.loss, term.loss.opponents()) for term in self.terms]
        return [(loss, opponent) for loss, opponent in found if opponent is not None]


def detached(outputs: Outputs) -> Outputs:
    """Return the same outputs without gradients."""
    features = {name: value.detach() for name, value in outputs.features.items()}
    return Outputs(outputs.logits.detach(), features, outputs.mask, outputs.indices)


def freeze(teacher: nn.Module) -> nn.Module:
    """Switch a teacher to eval mode, for good, and take its gradients away."""
    teacher.requires_grad_(False)
    return teacher.eval()


def set_layout(network: nn.Module, layout: torch.memory_format) -> None:
    """Lay the weights of convolutions out in memory; other tensors stay as they are."""
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim == 4:
                parameter.data = parameter.data.contiguous(memory_format=layout)


def build_losses(job: Job) -> None:
    """Show every loss the shapes it works with, so that it can make its adapters.

    Raises:
        RecipeError: a loss names a layer that is not there, or the shapes do not suit it.
    """
    check_layers(job)
    part = job.dataset.splits["train"]
    example = job.example()
    ours, theirs = job.captured()
    device = next((p.device for p in job.student.parameters()), example.device)
    student, logits = shapes_of(job.student, ours, example.to(device), "student")
    teacher, teacher_logits = dict[str, tuple[int, ...]](), logits
    if job.teacher is not None:
        device = next((p.device for p in job.teacher.parameters()), example.device)
        teacher, teacher_logits = shapes_of(job.teacher, theirs, example.to(device), "teacher")
    facts = Facts(student, teacher, logits, teacher_logits, len(part))
    for term in job.terms:
        term.loss.build(facts)


def check_layers(job: Job) -> None:
    """Look every layer up that a loss asks for, and say which loss asks in vain.

    Raises:
        RecipeError: names the loss, the layer, and the closest ones there are.
    """
    faults = []
    for term in job.terms:
        ours, theirs = term.loss.layers()
        for network, names, role in (
            (job.student, ours, "student"),
            (job.teacher, theirs, "teacher"),
        ):
            if network is None:
                continue
            for name in names:
                try:
                    Capture(network, [name], role)
                except UnknownNameError as error:
                    faults.append(f"{term.name}: {error.message}. {error.hint}")
    if faults:
        raise RecipeError("loss", faults, hint="What there is: edgekd layers RECIPE")
