"""What the loop trains: one module of all that learns, and one forward through it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from edgekd.distill.batches import Batch
from edgekd.distill.ensemble import ALL, combine
from edgekd.distill.features import Capture, shapes_of
from edgekd.distill.freezing import set_still
from edgekd.distill.job import STUDENT, Answers, Job, Peer, Term, audible, example_of
from edgekd.distill.peers import Company
from edgekd.distill.ranks import gathered, gathered_targets
from edgekd.distill.recorded import Recorded
from edgekd.errors import RecipeError, UnknownNameError
from edgekd.losses.base import Facts, Loss, Outputs, labelled, only
from edgekd.quantize.fake.network import FakeQuantized
from edgekd.schedule import value_at

__all__ = ["Answers", "Job", "Peer", "Term", "Trainable", "build_losses", "detached", "freeze"]


class Learner(NamedTuple):
    """One network that learns, as a forward pass needs it.

    Attributes:
        name: what the others call it.
        run: the network, compiled if the recipe says so.
        capture: its layers that somebody asks for; the hooks are on.
        reads: what it sees of a batch; None: what the student sees.
        terms: of its loss.
        hears: for each term, whom it listens to.
        shares: the weights of those that it listens to, by name.
    """

    name: str
    run: Callable[[Tensor], Tensor]
    capture: Capture
    reads: Callable[[Batch], Tensor] | None
    terms: tuple[Term, ...]
    hears: tuple[str, ...]
    shares: Mapping[str, float]


class Trainable(nn.Module):
    """Everything with gradients in one module, and one forward through all of it.

    A single forward keeps gradient synchronisation right when Fabric wraps the module for
    several processes, and one module gives the optimizer, the clipping and the checkpoint the
    parameters of losses and of peers beside those of the student.
    """

    def __init__(
        self,
        job: Job,
        capture: Capture,
        fabric: Fabric | None = None,
        company: Sequence[Company] = (),
    ) -> None:
        """Register the student, the losses, and the peers.

        Args:
            job: what to train.
            capture: of the student's layers.
            fabric: the processes.
            company: of each peer, what it sees of a batch and its captured layers.
        """
        super().__init__()
        self.student = job.student
        self.frozen = job.frozen
        self.losses = nn.ModuleList(term.loss for term in job.all_terms)
        self.peers = nn.ModuleList(peer.tutor.model for peer in job.peers)
        self.terms = tuple(job.all_terms)
        self.ensemble = job.ensemble
        self.partly = not job.dataset.splits["train"].labelled.all()
        self.fabric = fabric
        self.loss_seed = 0
        self.heard: dict[str, dict[str, Outputs]] = {}
        self.said: dict[str, Outputs] = {}
        compiled = torch.compile if job.train.compile else _as_it_is
        # In a tuple: a compiled module must not be registered as a second student.
        self.learners = (
            _learner(job, STUDENT, compiled(job.student), capture, None),
            *(
                _learner(job, peer.tutor.name, compiled(peer.tutor.model), own.capture, own.reads)
                for peer, own in zip(job.peers, company, strict=True)
            ),
        )

    def train(self, mode: bool = True) -> Trainable:
        """Switch to training, but for the student's layers that do not learn."""
        super().train(mode)
        set_still(self.student, self.frozen)
        return self

    @property
    def last(self) -> Outputs | None:
        """The student's outputs of the last whole batch, detached."""
        return self.said.get(STUDENT)

    def forward(self, batch: Batch, answers: Answers) -> dict[str, Tensor]:
        """Return the weighted terms by name.

        ``said`` keeps what everybody that learns gave for the whole batch, detached; ``heard``
        what it listened to.
        """
        given = {learner.name: self._outputs(learner, batch) for learner in self.learners}
        self.said = {name: detached(outputs) for name, outputs in given.items()}
        told = {name: gathered(self.fabric, a, batch.total) for name, a in answers.items()}
        targets = gathered_targets(self.fabric, batch)
        found: dict[str, Tensor] = {}
        for learner in self.learners:
            heard = self._heard(learner, {**self.said, **told}, targets)
            self.heard[learner.name] = heard
            # What losses draw (negatives) is the same in every process; dropout is not.
            torch.manual_seed(self.loss_seed)
            for term, name in zip(learner.terms, learner.hears, strict=True):
                value = self._value(term, given[learner.name], heard.get(name), targets)
                found[term.name] = value_at(term.weight, term.loss.progress) * value
        return found

    def _outputs(self, learner: Learner, batch: Batch) -> Outputs:
        """Return what a network gives for the whole batch, with gradients."""
        inputs = batch.inputs if learner.reads is None else learner.reads(batch)
        logits = learner.run(inputs)
        ours = Outputs(logits, learner.capture.take(), batch.mask, batch.indices)
        return gathered(self.fabric, ours, batch.total)

    def _heard(self, learner: Learner, said: Answers, targets: Tensor) -> dict[str, Outputs]:
        """Return what a network listens to: each alone, and all together where a term wants it."""
        heard = {name: said[name] for name in learner.shares if name in said}
        if ALL in learner.hears and heard:
            heard[ALL] = combine(
                heard, learner.shares, self.ensemble, targets=targets, seed=self.loss_seed
            )
        return heard

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
        """Tell every loss how far the training is, for their schedules; and fake quantization."""
        for term in self.terms:
            term.loss.progress = progress
        if isinstance(self.student, FakeQuantized):
            self.student.set_progress(progress)

    def opponents(self) -> list[tuple[Loss, nn.Module, tuple[str, str]]]:
        """Return the losses that have opponents, with them, whose they are, and whom they hear."""
        return [
            (term.loss, opponent, (learner.name, name))
            for learner in self.learners
            for term, name in zip(learner.terms, learner.hears, strict=True)
            if (opponent := term.loss.opponents()) is not None
        ]

    def learns(self, term: str) -> nn.Module:
        """Return the network that a term of the log teaches."""
        networks: tuple[nn.Module, ...] = (self.student, *self.peers)
        return next(
            network
            for learner, network in zip(self.learners, networks, strict=True)
            if term in [own.name for own in learner.terms]
        )


def _learner(
    job: Job,
    name: str,
    run: Callable[[Tensor], Tensor],
    capture: Capture,
    reads: Callable[[Batch], Tensor] | None,
) -> Learner:
    terms = tuple(job.learners[name])
    hears = tuple(job.listens_to(term, name) for term in terms)
    return Learner(name, run, capture, reads, terms, hears, dict(audible(job, name)))


def _as_it_is(network: nn.Module) -> nn.Module:
    return network


def detached(outputs: Outputs) -> Outputs:
    """Return the same outputs without gradients."""
    features = {name: value.detach() for name, value in outputs.features.items()}
    return Outputs(outputs.logits.detach(), features, outputs.mask, outputs.indices)


def freeze(teacher: nn.Module) -> nn.Module:
    """Switch a teacher to eval mode, for good, and take its gradients away."""
    teacher.requires_grad_(False)
    return teacher.eval()


def build_losses(job: Job) -> None:
    """Show every loss the shapes it works with, so that it can make its adapters.

    Raises:
        RecipeError: a loss names a layer that is not there, or the shapes do not suit it.
    """
    check_layers(job)
    part = job.dataset.splits["train"]
    student, logits = _shapes(job.student, job.captured(), job.example(), "student")
    known = {STUDENT: (student, logits)}
    for tutor in job.tutors:
        wanted = job.captured_of(tutor.name)
        known[tutor.name] = _shapes(tutor.model, wanted, example_of(tutor.dataset), "teacher")
    for learner, terms in job.learners.items():
        ours, our_logits = known[learner]
        for term in terms:
            # All together share no layers, and have the logits of each.
            theirs, their_logits = known.get(job.listens_to(term, learner), ({}, our_logits))
            term.loss.build(Facts(ours, theirs, our_logits, their_logits, len(part)))
            if term.name in job.carried:
                term.loss.load_state_dict(job.carried[term.name])


def _shapes(
    network: nn.Module, names: Sequence[str], example: Tensor, role: str
) -> tuple[dict[str, tuple[int, ...]], tuple[int, ...]]:
    if isinstance(network, Recorded):
        return {}, (network.classes,)
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
        asked += [(t.model, theirs, "teacher") for t in job.tutors if t.name == heard]
        for network, names, role in asked:
            for name in names:
                try:
                    Capture(network, [name], role)
                except UnknownNameError as error:
                    faults.append(f"{term.name}: {error.message}. {error.hint}")
    if faults:
        raise RecipeError("loss", faults, hint="What there is: edgekd layers RECIPE")
