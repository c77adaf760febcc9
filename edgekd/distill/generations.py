"""Generations of one student, and who is behind it: what a run trains after its teachers.

"Born-Again Neural Networks", Furlanello et al. 2018, https://arxiv.org/abs/1805.04770: a student
of its teacher's own architecture, taught by it, becomes the teacher of the next.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from edgekd.distill.chain import Chain, generation_name, links_of
from edgekd.distill.job import Job
from edgekd.distill.session import Session
from edgekd.distill.tutor import Tutor
from edgekd.recipe import Recipe, StageSpec, TrainSpec
from edgekd.seeds import derive_seed

#: The phase of a student that is trained without the chain, to compare.
DIRECT = "direct"

#: The phase of the student that is kept.
LAST = "student"


def chain_of(recipe: Recipe, tutors: Sequence[Tutor]) -> Chain:
    """Return the chain as it begins: the teachers, and nobody behind them.

    Args:
        recipe: says who is still to come.
        tutors: the teachers.
    """
    names = tuple(links_of(recipe))
    return Chain(tuple(tutors), densely=recipe.chain.densely, names=names)


def phases_of(recipe: Recipe) -> list[str]:
    """Return the generations of a student by name, the one that is kept last."""
    return [*map(generation_name, range(1, recipe.student.generations)), LAST]


def as_tutor(session: Session, name: str, model: nn.Module, *, trained: bool = True) -> Tutor:
    """Return a generation as the teacher of the next.

    Args:
        session: of the run.
        name: of the generation.
        model: the network.
        trained: False in a dry run.
    """
    cache = session.recipe.chain.cache
    return Tutor(name=name, model=model, dataset=session.dataset, cache=cache, trained=trained)


def weights_seed(seed: int, phase: str) -> int:
    """Return the seed of a student's first weights.

    The student that is kept begins as its twin without a teacher does; every generation before
    it has weights of its own. The order of samples and their views is that of the seed.

    Args:
        seed: of the student.
        phase: its generation.
    """
    return derive_seed(seed, phase) if phase.startswith(generation_name(1)[:-1]) else seed


def stages_of(recipe: Recipe, job: Job) -> tuple[StageSpec, ...]:
    """Return the stages of a job: those of the recipe, but for a student that has no teacher.

    Args:
        recipe: of the run.
        job: of a student.
    """
    return recipe.stage if job.teachers or job.phase == LAST else ()


def whole_train(recipe: Recipe) -> TrainSpec:
    """Return ``[train]`` of a student that has no teacher: as many epochs as all stages."""
    if not recipe.stage:
        return recipe.train
    epochs = sum(stage.epochs for stage in recipe.stage)
    return recipe.train.model_copy(update={"epochs": epochs})
