"""Channels that the student loses before it learns: ``[student.prune]``.

S. Han et al. ("Learning both Weights and Connections for Efficient Neural Networks", NIPS 2015)
prune what is trained and train on; here whole channels go, and the teacher helps to train on.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from edgekd import format as fmt
from edgekd.data.split import Dataset
from edgekd.distill.session import Session
from edgekd.distill.sizes import expected
from edgekd.errors import ModelError, RecipeError
from edgekd.models.build import build
from edgekd.models.importance import Criterion
from edgekd.models.modes import evaluating
from edgekd.models.prunable import OUTPUT, require
from edgekd.models.prune import KEPT, Pruned, prune
from edgekd.models.shrink import shrink
from edgekd.models.weights import load_weights, read_state, save_weights
from edgekd.recipe import PruneSpec, Recipe, StudentSpec
from edgekd.records import ModelFacts

#: So many training samples show the loss to ``taylor``.
SHOWN = 512


def check_prune(recipe: Recipe) -> None:
    """Say before training what is wrong with ``[student.prune]``.

    Raises:
        RecipeError: the student has no trained weights to prune.
        MissingExtraError: torch-pruning is not installed.
    """
    student = recipe.student
    if student.prune is None:
        return
    if student.start is None and student.weights is None:
        taught = any(teacher.model is not None for teacher in recipe.teacher)
        raise RecipeError(
            "student.prune",
            ["there are no trained weights to prune: random channels are all alike"],
            hint='Start from a trained network: student.start = "teacher" with the same model and '
            "options as the teacher, or the name of a run."
            if taught
            else 'Start from a trained network: student.start = "runs/some-run", or a file.',
        )
    require()


def prune_student(session: Session, student: nn.Module, seed: int) -> str:
    """Prune a student that has its first weights, in place, and keep the result for a resume.

    The twin without a teacher has the same seed and so the same first weights, those kept.

    Args:
        session: the run in the making.
        student: built, with the weights that it starts from.
        seed: of its first weights.

    Returns:
        what was taken out, in a line.

    Raises:
        ModelError: nothing can be taken out, or not as much as the recipe wants.
        MissingExtraError: torch-pruning is not installed.
    """
    spec, dataset = _spec(session), session.dataset
    name, kept = session.recipe.student.model, session.pruned_file(seed)
    before = expected(name, student, dataset.sample_shape)
    if kept.exists():
        shrink(student, read_state(kept))
        load_weights(student, kept)
        return _line(before, expected(name, student, dataset.sample_shape), None)
    if spec.criterion == "taylor":
        _add_gradients(student, dataset, session.recipe.seed)
    found = _prune(student, spec, dataset, spec.criterion)
    save_weights(student, kept)
    return _line(before, expected(name, student, dataset.sample_shape), found)


def prune_untrained(session: Session, student: nn.Module, seed: int) -> None:
    """Prune a student without trained weights, in place, to say what will be left of it.

    Exact where every layer loses the same share of its channels; otherwise weights decide, which
    are known when the teacher is trained.

    Args:
        session: the run in the making; one that is resumed knows what is left.
        student: built.
        seed: of its first weights.

    Raises:
        ModelError: nothing can be taken out, or not as much as the recipe wants.
        MissingExtraError: torch-pruning is not installed.
    """
    spec, kept = _spec(session), session.pruned_file(seed)
    if kept.exists():
        shrink(student, read_state(kept))
        return
    criterion: Criterion = "l1" if spec.criterion == "taylor" else spec.criterion
    _prune(student, spec, session.dataset, criterion)


def before_pruning(spec: StudentSpec, dataset: Dataset) -> ModelFacts | None:
    """Return what a student was before it was pruned; None where it is whole."""
    if spec.prune is None:
        return None
    whole = build(
        spec.model,
        spec.options,
        num_classes=len(dataset.classes),
        input_shape=dataset.sample_shape,
        where="student",
    )
    return expected(spec.model, whole, dataset.sample_shape)


def _spec(session: Session) -> PruneSpec:
    spec = session.recipe.student.prune
    if spec is None:
        raise ValueError("the recipe prunes nothing")
    return spec


def _prune(student: nn.Module, spec: PruneSpec, dataset: Dataset, criterion: Criterion) -> Pruned:
    try:
        with torch.random.fork_rng(devices=[]):
            return prune(
                student,
                dataset.sample_shape,
                amount=spec.amount,
                criterion=criterion,
                of=spec.of,
                scope=spec.scope,
                keep=spec.keep,
                round_to=spec.round_to,
            )
    except ModelError as error:
        raise ModelError(f"student.prune: {error.message}", hint=error.hint) from error


def _add_gradients(student: nn.Module, dataset: Dataset, seed: int) -> None:
    """Add the gradients of the cross-entropy on some training samples."""
    part = dataset.splits["train"]
    labelled = np.flatnonzero(part.labelled)
    if not len(labelled):
        raise ModelError(
            "student.prune: taylor needs training samples with a label", hint='criterion = "l1"'
        )
    count = min(SHOWN, len(labelled))
    shown = np.sort(np.random.default_rng(seed).choice(labelled, count, replace=False))
    inputs = torch.from_numpy(dataset.normalised("train", shown))
    student.zero_grad(set_to_none=True)
    with evaluating(student), torch.enable_grad():
        loss = nn.functional.cross_entropy(student(inputs), torch.from_numpy(part.targets[shown]))
        loss.backward()  # type: ignore[no-untyped-call]


def _line(before: ModelFacts, after: ModelFacts, found: Pruned | None) -> str:
    """Say how much smaller it is, and which layers are not."""
    text = (
        f"pruned: {fmt.count(before.parameters)} → {fmt.count(after.parameters)} parameters, "
        f"{fmt.count(before.macs)} → {fmt.count(after.macs)} MACs, "
        f"about {fmt.size(before.int8_bytes)} → {fmt.size(after.int8_bytes)} as int8 TFLite"
    )
    whole = found.whole if found is not None else {}
    others = {root: why for root, why in whole.items() if why not in (OUTPUT, KEPT)}
    for why in dict.fromkeys(others.values()):
        layers = ", ".join(root for root in others if others[root] == why)
        text += f"; left whole, since {why}: {layers}"
    return text
