"""What the loop is told to train: networks, the terms of their losses, and who hears whom."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from edgekd.data.split import Dataset
from edgekd.distill.ensemble import ALL
from edgekd.distill.tutor import Tutor
from edgekd.errors import RecipeError
from edgekd.losses.base import Loss, Outputs
from edgekd.recipe import EnsembleSpec, TrainSpec
from edgekd.schedule import Schedule

#: What each teacher said of a batch, by its name.
Answers = Mapping[str, Outputs]

#: What peers call the student.
STUDENT = "student"


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
class Peer:
    """A network that learns beside the student, each from the other.

    Attributes:
        tutor: the network, how it sees the data, and its share as a teacher of the others.
        terms: of its own loss; none captures a layer.
    """

    tutor: Tutor
    terms: Sequence[Term]


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
        peers: who learns beside the student. After the loop they hold their last weights.
        frozen: modules and parameters of the student that do not learn; modules stay in eval mode.
        carried: what losses begin with, by the name of the term; from the stage before.
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
    peers: tuple[Peer, ...] = ()
    frozen: tuple[str, ...] = ()
    carried: Mapping[str, Mapping[str, Tensor]] = field(default_factory=dict)

    @property
    def learners(self) -> dict[str, Sequence[Term]]:
        """The terms of every network that learns, by its name, the student's first."""
        return {STUDENT: self.terms, **{peer.tutor.name: peer.terms for peer in self.peers}}

    @property
    def all_terms(self) -> list[Term]:
        """The terms of all that learn, in the order of the log."""
        return [term for terms in self.learners.values() for term in terms]

    @property
    def tutors(self) -> tuple[Tutor, ...]:
        """Everybody that the student listens to: teachers, then peers."""
        return (*self.teachers, *(peer.tutor for peer in self.peers))

    def heard_by(self, learner: str) -> list[str]:
        """Return the names of those that a network listens to."""
        learning = list(self.learners) if self.peers else []
        names = [tutor.name for tutor in self.teachers]
        return names + [n for n in learning if n != learner or self.ensemble.with_self]

    def listens_to(self, term: Term, learner: str = STUDENT) -> str:
        """Return the name of the teacher that a term of a learner's loss listens to.

        Raises:
            RecipeError: there is no such teacher, or several for a loss that needs one's layers.
        """
        names = self.heard_by(learner)
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
        """Return the layers of a teacher or peer that the student's losses ask for."""
        terms = [term for term in self.terms if self.listens_to(term) == teacher]
        return [name for term in terms for name in term.loss.layers()[1]]

    @property
    def label_free(self) -> bool:
        """Say whether nothing that it learns from knows a label, so that its classes mean none."""
        taught = any(tutor.average is None for tutor in self.teachers)
        shown = self.ensemble.weigh == "correctness" and bool(self.teachers or self.peers)
        return not (taught or shown or any(term.loss.needs_labels for term in self.all_terms))

    @property
    def views(self) -> int:
        """How many views of a sample there are before they repeat; 0: one an epoch."""
        return max((t.cache.views for t in self.teachers if t.cache is not None), default=0)

    def example(self) -> Tensor:
        """Return two samples, not augmented, for dry runs."""
        return example_of(self.dataset)


def audible(job: Job, learner: str) -> Iterator[tuple[str, float]]:
    """Yield the names of those that a network listens to, with their shares."""
    shares = {STUDENT: 1.0, **{tutor.name: tutor.weight for tutor in job.tutors}}
    for name in job.heard_by(learner):
        yield name, shares[name]


def _known(names: Sequence[str]) -> str:
    return f"Teachers: {', '.join(names) or 'none'}."


def example_of(dataset: Dataset) -> Tensor:
    """Return two training samples as network input, not augmented."""
    part = dataset.splits["train"]
    return torch.from_numpy(dataset.normalised("train", np.arange(min(2, len(part)))))
