"""Peers: networks that learn beside the student, each from the other.

"Deep Mutual Learning", Zhang et al. 2018, https://arxiv.org/abs/1706.00384. The paper updates the
networks in turn, each from what the others say after their updates; here all move at once, from
what they say before. That needs one forward pass of each instead of several.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

import torch
from torch import Tensor

from edgekd.data.paths import expand
from edgekd.data.split import Dataset
from edgekd.distill.batches import Batch, TrainingBatches
from edgekd.distill.features import Capture
from edgekd.distill.job import STUDENT, Job, Peer, Term, example_of
from edgekd.distill.named import Named, build_tutor
from edgekd.distill.taught import inner
from edgekd.distill.terms import student_terms
from edgekd.distill.tutor import Reads
from edgekd.errors import RecipeError
from edgekd.models.weights import load_weights
from edgekd.recipe import PeerSpec, Recipe, TeacherSpec
from edgekd.seeds import derive_seed


class Company(NamedTuple):
    """What a forward pass needs of a peer.

    Attributes:
        capture: its layers that the student's losses ask for; the hooks are on.
        reads: what it sees of a batch.
    """

    capture: Capture
    reads: Callable[[Batch], Tensor]


@contextmanager
def company(
    job: Job, batches: TrainingBatches, device: torch.device
) -> Iterator[tuple[Company, ...]]:
    """Give what a forward pass needs of each peer; hooks come off at the end.

    Args:
        job: what is being trained.
        batches: the student's batches.
        device: where the peers are about to be.
    """
    with ExitStack() as stack:
        found = []
        for peer in job.peers:
            tutor = peer.tutor
            tutor.model.to(device)
            capture = Capture(tutor.model, job.captured_of(tutor.name), "peer")
            capture.rehearse(example_of(tutor.dataset).to(device))
            stack.enter_context(capture.hooked())
            found.append(Company(capture, Reads(tutor, batches)))
        yield tuple(found)


def peer_names(recipe: Recipe) -> list[str]:
    """Return what losses call the peers of a recipe.

    Raises:
        RecipeError: two have one name, or one has that of the student.
    """
    names: list[str] = []
    for number, spec in enumerate(recipe.peer):
        name = spec.name or spec.model
        if name in names and spec.name is None:
            name = f"{name}-{number + 1}"
        if name in names or name == STUDENT:
            raise RecipeError(
                f"peer[{number}].name",
                [f"two networks are called {name!r}"],
                hint="Give each a name of its own.",
            )
        names.append(name)
    return names


def build_peers(recipe: Recipe, dataset: Dataset, seed: int) -> tuple[Peer, ...]:
    """Build the peers of one student, each with weights of its own, and the terms of their losses.

    Args:
        recipe: says which.
        dataset: the recipe's data.
        seed: of the student.
    """
    found = []
    for number, (spec, name) in enumerate(zip(recipe.peer, peer_names(recipe), strict=True)):
        # The same architecture as the student's must not begin with the student's weights.
        own = derive_seed(seed, "peer", number)
        named = Named(name, as_teacher(spec), f"peer[{number}]", own, recipe.train)
        tutor = build_tutor(named, dataset)
        if spec.weights is not None:
            load_weights(inner(tutor.model), expand(spec.weights))
        found.append(Peer(tutor, peer_terms(recipe, name)))
    return tuple(found)


def as_teacher(spec: PeerSpec) -> TeacherSpec:
    """Return the table of a peer as that of a teacher, which it is for the others."""
    return TeacherSpec.model_validate(spec.model_dump(exclude_none=True))


def peer_terms(recipe: Recipe, name: str) -> list[Term]:
    """Return a peer's terms: those of the recipe that capture no layer and are not about it.

    Args:
        recipe: whose losses.
        name: of the peer, which goes before the names of its terms.
    """
    return [
        Term(f"{name}/{term.name}", term.weight, term.loss, term.teacher)
        for term in student_terms(recipe.loss, recipe.train)
        if not any(term.loss.layers()) and term.teacher != name
    ]


def check_peers(recipe: Recipe, teachers: Sequence[str]) -> list[str]:
    """Say before anything is trained what is wrong with ``[[peer]]``.

    Args:
        recipe: the recipe.
        teachers: the names of its teachers.

    Returns:
        The names of the peers.

    Raises:
        RecipeError: a name is taken, a peer has nothing to learn from, or nobody is there to be
            an ensemble with oneself.
    """
    names = peer_names(recipe)
    for number, name in enumerate(names):
        if name in teachers:
            raise RecipeError(
                f"peer[{number}].name", [f"a teacher is called {name!r} too"], hint="Rename one."
            )
        if not peer_terms(recipe, name):
            raise RecipeError(
                f"peer[{number}]",
                ["every [[loss]] captures layers, so there is nothing that a peer could learn"],
                hint='Add a loss on outputs, e.g. name = "kd".',
            )
    if names and recipe.stage:
        raise RecipeError(
            "stage",
            ["peers learn all the time, by all their terms, and know no stages"],
            hint="Leave out [[peer]] or [[stage]].",
        )
    if names and STUDENT in teachers:
        raise RecipeError(
            "teacher",
            [f"peers call the student {STUDENT!r}, and so is a teacher"],
            hint="Rename it.",
        )
    if recipe.ensemble.with_self and not names:
        raise RecipeError(
            "ensemble.with_self",
            ["only peers answer together with the student"],
            hint="Add [[peer]], or leave it out.",
        )
    return names
