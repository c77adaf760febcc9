"""Who else is trained in a student's loop: teachers that follow it, and its peers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from edgekd.distill.checkpoint import Checkpoint
from edgekd.distill.evaluate import predict
from edgekd.distill.following_teacher import with_followers
from edgekd.distill.job import Job
from edgekd.distill.named import named_teachers
from edgekd.distill.peers import build_peers
from edgekd.distill.teacher import Teacher
from edgekd.distill.tutor import Tutor
from edgekd.distill.validation import knn_of
from edgekd.metrics.classification import accuracy, agreement
from edgekd.recipe import Recipe
from edgekd.records import Score


@dataclass(frozen=True)
class Company:
    """What was trained beside a student.

    Attributes:
        followers: the teachers that followed it, as they are after its last step.
        peers: as they are after the last step, with what they reached.
    """

    followers: tuple[Teacher, ...] = ()
    peers: tuple[tuple[Tutor, Score], ...] = ()

    def teachers(self, recipe: Recipe, others: Sequence[Teacher]) -> list[Teacher]:
        """Return all teachers in the recipe's order.

        Args:
            recipe: says the order.
            others: those that follow nobody.
        """
        known = {teacher.named.name: teacher for teacher in (*others, *self.followers)}
        return [known[named.name] for named in named_teachers(recipe)]


class Quantized(NamedTuple):
    """A student that learned on with fake quantization.

    Attributes:
        model: with the weights and ranges to keep.
        score: what it reached, computing as its int8 file will.
    """

    model: nn.Module
    score: Score


class Trained(NamedTuple):
    """One student, or its twin without a teacher.

    Attributes:
        model: with the weights to keep.
        score: what it reached.
        company: what was trained beside it.
        quantized: what it became for int8, if the recipe wants that of this one.
    """

    model: nn.Module
    score: Score
    company: Company = Company()
    quantized: Quantized | None = None


def in_company(job: Job, recipe: Recipe) -> Job:
    """Return the job of a student with everybody that is trained beside it.

    Args:
        job: with the teachers that follow nobody.
        recipe: says who else there is.
    """
    named = named_teachers(recipe)
    if not recipe.peer and not any(one.spec.follows for one in named):
        return job
    return replace(
        job,
        teachers=with_followers(job, named),
        peers=build_peers(recipe, job.dataset, job.seed),
    )


def company_of(job: Job, recipe: Recipe, state: Checkpoint, device: torch.device) -> Company:
    """Score everybody that was trained beside a student.

    Args:
        job: done.
        recipe: it came from.
        state: its last checkpoint.
        device: where the networks are.
    """
    named = {one.name: one for one in named_teachers(recipe)}
    followers = [tutor for tutor in job.teachers if tutor.average is not None]
    peers = [peer.tutor for peer in job.peers]
    if not followers and not peers:
        return Company()
    logits = predict(job.student, job.dataset, "test", device=device)
    scores = {
        tutor.name: _score(tutor, logits, job, state, device) for tutor in (*followers, *peers)
    }
    return Company(
        tuple(Teacher(named[tutor.name], tutor, scores[tutor.name]) for tutor in followers),
        tuple((tutor, scores[tutor.name]) for tutor in peers),
    )


def _score(
    tutor: Tutor, student: np.ndarray, job: Job, state: Checkpoint, device: torch.device
) -> Score:
    """Return what a network reached; its agreement is with the student."""
    validation, test = (
        predict(tutor.model, tutor.dataset, split, device=device)
        for split in ("validation", "test")
    )
    splits = tutor.dataset.splits
    return Score(
        seed=job.seed,
        epochs=state.epoch,
        validation_accuracy=accuracy(validation, splits["validation"].targets),
        test_accuracy=accuracy(test, splits["test"].targets),
        test_agreement=agreement(test, student),
        knn_accuracy=knn_of(tutor.model, tutor.dataset, "test", device) if job.label_free else None,
    )
