"""What the loop trains: a network, the terms of its loss, and whom it listens to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from edgekd.data.split import Dataset
from edgekd.distill.batches import Batch
from edgekd.distill.ensemble import ALL, combine
from edgekd.distill.features import Capture, shapes_of
from edgekd.distill.ranks import gathered, gathered_targets
from edgekd.distill.tutor import Tutor
from edgekd.errors import RecipeError, UnknownNameError
from edgekd.losses.base import Facts, Loss, Outputs, labelled, only
from edgekd.recipe import EnsembleSpec, TrainSpec
from edgekd.schedule import Schedule, value_at

#: What each teacher said of a batch, by its name.
Answers = Mapping[str, Outputs]


@dataclass(frozen=True)
class Term:
    """One weighted term of a loss.

    Attributes:
        name: in the log.
        weight: what it is multiplied with.
        loss: what it computes.
        teacher: whom it listens to; None: all together.
    """

    name: str
    weight: float | Schedule
    loss: Loss
    teacher: str | None = None


@dataclass(frozen=True)
class Job:
    """What to train.

    Attributes:
        phase: ``teacher``, ``student`` or ``baseline``; names the lines of the log.
        seed: of sample order, views and dropout.
        student: the network that learns. After the loop it holds the weights to keep.
        teachers: whom it listens to, if anybody; frozen by the loop.
        terms: the terms of the loss.
        train: how to train.
        dataset: what to train on, as the student sees it.
        checkpoint: where to keep what a resume needs.
        ensemble: how several teachers become one.
        views_seed: the seed of the views of a cache, which students of other seeds share.
    """

    phase: str
    seed: int
    student: nn.Module
    terms: Sequence[Term]
    train: TrainSpec
    dataset: Dataset
    checkpoint: Path
    teachers: tuple[Tutor, ...] = ()
    ensemble: EnsembleSpec = field(default_factory=EnsembleSpec)
    views_seed: int = 0

    def listens_to(self, term: Term) -> str:
        """Return the name of the teacher that a term listens to.

        Raises:
            RecipeError: there is no such teacher, or several for a loss that needs one's layers.
        """
        names = [tutor.name for tutor in self.teachers]
        if term.teacher is not None and term.teacher not in names:
            raise RecipeError(
                "loss", [f"{term.name}: there is no teacher {term.teacher!r}"], hint=_known(names)
            )
        if term.teacher is None and len(names) != 1 and term.loss.layers()[1]:
            raise RecipeError(
                "loss",
                [f"{term.name}: which teacher's layers, of {len(names)}?"],
                hint=f"Set loss.teacher. {_known(names)}",
            )
        if term.teacher is None:
            return names[0] if len(names) == 1 else ALL
        return term.teacher

    def captured(self) -> list[str]:
        """Return the layers of the student that the losses ask for."""
        return [name for term in self.terms for name in term.loss.layers()[0]]

    def captured_of(self, teacher: str) -> list[str]:
        """Return the layers of a teacher that the losses ask for."""
        terms = [term for term in self.terms if self.listens_to(term) == teacher]
        return [name for term in terms for name in term.loss.layers()[1]]

    @property
    def views(self) -> int:
        """How many views of a sample there are before they repeat; 0: one an epoch."""
        return max((t.cache.views for t in self.teachers if t.cache is not None), default=0)

    def example(self) -> Tensor:
        """Return two samples, not augmented, for dry runs."""
        return example_of(self.dataset)


def _known(names: Sequence[str]) -> str:
    return f"Teachers: {', '.join(names) or 'none'}."


def example_of(dataset: Dataset) -> Tensor:
    """Return two training samples as network input, not augmented."""
    part = dataset.splits["train"]
    return torch.from_numpy(dataset.normalised("train", np.arange(min(2, len(part)))))


class Trainable(nn.Module):
    """Everything with gradients in one module, and one forward through all of it.

    A single forward keeps gradient synchronisation right when Fabric wraps the module for
    several processes, and one module gives the optimizer, the clipping and the checkpoint the
    parameters of losses beside those of the student.
    """

    def __init__(self, job: Job, capture: Capture, fabric: Fabric | None = None) -> None:
        """Register the student and the losses."""
        super().__init__()
        self.student = job.student
        self.losses = nn.ModuleList(term.loss for term in job.terms)
        self.terms = tuple(job.terms)
        self.hears = [job.listens_to(term) for term in job.terms]
        self.weights = {tutor.name: tutor.weight for tutor in job.teachers}
        self.ensemble = job.ensemble
        self.partly = not job.dataset.splits["train"].labelled.all()
        self.capture = capture
        self.fabric = fabric
        self.loss_seed = 0
        self.heard: dict[str, Outputs] = {}
        self.last: Outputs | None = None
        # In a tuple: a compiled module must not be registered as a second student.
        self._run = (torch.compile(job.student) if job.train.compile else job.student,)

    def forward(self, batch: Batch, answers: Answers) -> dict[str, Tensor]:
        """Return the weighted terms by name.

        ``last`` keeps the student's outputs of the whole batch, detached; ``heard`` what its
        teachers said.
        """
        logits = self._run[0](batch.inputs)
        ours = Outputs(logits, self.capture.take(), batch.mask, batch.indices)
        student = gathered(self.fabric, ours, batch.total)
        heard = {name: gathered(self.fabric, a, batch.total) for name, a in answers.items()}
        targets = gathered_targets(self.fabric, batch)
        if ALL in self.hears and heard:
            heard[ALL] = combine(
                heard, self.weights, self.ensemble, targets=targets, seed=self.loss_seed
            )
        self.last = detached(student)
        self.heard = heard
        # What losses draw (negatives) is the same in every process; dropout is not.
        torch.manual_seed(self.loss_seed)
        return {
            term.name: value_at(term.weight, term.loss.progress)
            * self._value(term, student, heard.get(name), targets)
            for term, name in zip(self.terms, self.hears, strict=True)
        }

    def _value(
        self, term: Term, student: Outputs, teacher: Outputs | None, targets: Tensor
    ) -> Tensor:
        """Return a term's value; one that needs labels sees the labelled samples only."""
        if self.partly and term.loss.needs_labels:
            rows = labelled(targets)
            if not rows.any():
                return student.logits.sum() * 0.0
            student, targets = only(student, rows), targets[rows]
            teacher = None if teacher is None else only(teacher, rows)
        value: Tensor = term.loss(student, teacher, targets)
        return value

    def set_progress(self, progress: float) -> None:
        """Tell every loss how far the training is, for their schedules."""
        for term in self.terms:
            term.loss.progress = progress

    def opponents(self) -> list[tuple[Loss, nn.Module, str]]:
        """Return the losses that have opponents, with them and with whom the losses hear."""
        return [
            (term.loss, opponent, name)
            for term, name in zip(self.terms, self.hears, strict=True)
            if (opponent := term.loss.opponents()) is not None
        ]


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
    student, logits = _shapes(job.student, job.captured(), job.example(), "student")
    teachers = {
        tutor.name: _shapes(
            tutor.model, job.captured_of(tutor.name), example_of(tutor.dataset), "teacher"
        )
        for tutor in job.teachers
    }
    for term in job.terms:
        theirs, their_logits = teachers.get(job.listens_to(term), ({}, logits))
        term.loss.build(Facts(student, theirs, logits, their_logits, len(part)))


def _shapes(
    network: nn.Module, names: Sequence[str], example: Tensor, role: str
) -> tuple[dict[str, tuple[int, ...]], tuple[int, ...]]:
    device = next((p.device for p in network.parameters()), example.device)
    return shapes_of(network, names, example.to(device), role)


def check_layers(job: Job) -> None:
    """Look every layer up that a loss asks for, and say which loss asks in vain.

    Raises:
        RecipeError: names the loss, the layer, and the closest ones there are.
    """
    faults = []
    for term in job.terms:
        ours, theirs = term.loss.layers()
        heard = job.listens_to(term)
        asked = [(job.student, ours, "student")]
        asked += [(t.model, theirs, "teacher") for t in job.teachers if t.name == heard]
        for network, names, role in asked:
            for name in names:
                try:
                    Capture(network, [name], role)
                except UnknownNameError as error:
                    faults.append(f"{term.name}: {error.message}. {error.hint}")
    if faults:
        raise RecipeError("loss", faults, hint="What there is: edgekd layers RECIPE")
