"""From the recipe's ``[[loss]]`` tables to the terms of a network's loss."""

from __future__ import annotations

from collections.abc import Sequence

from edgekd.distill.job import Term
from edgekd.losses.base import Loss
from edgekd.recipe import LossSpec, TrainSpec
from edgekd.registry import options_of, table
from edgekd.schedule import value_at


def student_terms(specs: Sequence[LossSpec], train: TrainSpec) -> list[Term]:
    """Return the terms of the distilled student, named apart where a loss stands twice."""
    terms: list[Term] = []
    for spec in specs:
        taken = sum(1 for term in terms if term.name.split("#")[0] == spec.name)
        name = spec.name if not taken else f"{spec.name}#{taken + 1}"
        terms.append(Term(name, spec.weight, _build(spec, train), spec.teacher))
    return terms


def label_terms(specs: Sequence[LossSpec], train: TrainSpec) -> list[Term]:
    """Return the terms of a network that has no teacher.

    These are the recipe's terms that need none, with their weights scaled to sum to 1, so that a
    small weight beside a large ``kd`` does not become a small learning rate; plain cross-entropy
    where the recipe has no such term.
    """
    own = [term for term in student_terms(specs, train) if not term.loss.needs_teacher]
    # A schedule counts with what it ends at; for the twin it stays constant.
    weights = [value_at(term.weight, 1.0) for term in own]
    total = sum(weights)
    if not total:
        return student_terms([LossSpec(name="cross-entropy")], train)
    return [
        Term(term.name, weight / total, term.loss)
        for term, weight in zip(own, weights, strict=True)
    ]


def _build(spec: LossSpec, train: TrainSpec) -> Loss:
    factory = table("loss").resolve(spec.name)
    options = dict(spec.options)
    if "label_smoothing" in options_of(factory):
        options.setdefault("label_smoothing", train.label_smoothing)
    loss: Loss = factory(**options)
    return loss
