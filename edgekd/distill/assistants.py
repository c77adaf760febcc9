"""Assistants: trained by those before them, kept and reused as teachers are.

"Improved Knowledge Distillation via Teacher Assistant", Mirzadeh et al. 2020,
https://arxiv.org/abs/1902.03393; densely, "Densely Guided Knowledge Distillation using Multiple
Teacher Assistants", Son et al. 2021, https://arxiv.org/abs/2009.08825.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from lightning_fabric import Fabric

from edgekd.distill.chain import Chain, Lesson, assistant_terms, named_assistants
from edgekd.distill.evaluate import predict
from edgekd.distill.finishing import answers_on
from edgekd.distill.job import Job
from edgekd.distill.named import build_tutor
from edgekd.distill.progress import Progress
from edgekd.distill.session import Session
from edgekd.distill.teacher import Teacher, find, obtain_one
from edgekd.distill.terms import student_terms
from edgekd.distill.trainable import freeze
from edgekd.distill.tutor import Tutor
from edgekd.metrics.classification import agreement
from edgekd.models.weights import state_sha256
from edgekd.recipe import Recipe
from edgekd.records import Score


@dataclass(frozen=True)
class Apprenticeship:
    """How an assistant is trained; an `edgekd.distill.teacher.Course`.

    Attributes:
        recipe: of the run.
        chain: everybody before it.
        lesson: what it learns by, and from whom.
    """

    recipe: Recipe
    chain: Chain
    lesson: Lesson

    def job(self, job: Job) -> Job:
        """Return the job with what it learns by, and from whom."""
        return replace(
            job,
            terms=self.lesson.terms,
            teachers=self.lesson.tutors,
            ensemble=self.recipe.ensemble,
            views_seed=self.recipe.seed,
        )

    def decides(self) -> dict[str, Any]:
        """Return what decides the weights: the losses, and whom they hear, by their weights."""
        terms = student_terms(self.recipe.loss, self.recipe.train)
        specs = dict(zip((term.name for term in terms), self.recipe.loss, strict=True))
        return {
            "losses": [
                [term.name, term.teacher, specs[term.name].model_dump(mode="json")]
                for term in self.lesson.terms
            ],
            "teachers": [_heard(tutor) for tutor in self.lesson.tutors],
            "agrees with": [_heard(tutor) for tutor in self.chain.teachers],
            "ensemble": self.recipe.ensemble.model_dump(mode="json"),
            "views_seed": self.recipe.seed,
        }

    def judged(self, score: Score, tutor: Tutor, fabric: Fabric) -> Score:
        """Return the score with the agreement with the teachers that the chain begins with."""
        top = answers_on(self.chain.teachers, self.recipe.ensemble, "test", fabric.device)
        if top is None:
            return score
        ours = predict(tutor.model, tutor.dataset, "test", device=fabric.device)
        return score.model_copy(update={"test_agreement": agreement(ours, top)})


def _heard(tutor: Tutor) -> dict[str, Any]:
    return {
        "name": tutor.name,
        "weights": state_sha256(tutor.model),
        "network": repr(tutor.model),
        "input": tutor.dataset.input,
        "preprocess": tutor.dataset.preprocess.model_dump(mode="json"),
        "share": tutor.weight,
        "view": tutor.view,
        "cache": None if tutor.cache is None else tutor.cache.model_dump(mode="json"),
        "fold": tutor.fold,
    }


def obtain_assistants(
    session: Session, chain: Chain, fabric: Fabric, progress: Progress
) -> list[Teacher]:
    """Return the recipe's assistants, each reused or taught now by those before it.

    Args:
        session: the run in the making.
        chain: the teachers.
        fabric: device and precision.
        progress: who watches.
    """
    found = []
    for number, named in enumerate(named_assistants(session.recipe)):
        course = _course(session.recipe, chain, number)
        assistant = obtain_one(session, named, fabric, progress, course)
        heard = () if assistant.kept is None else course.lesson.tutors
        found.append(replace(assistant, hears=tuple(tutor.name for tutor in heard)))
        chain = chain.followed_by(assistant.tutor)
    return found


def assistants_at_hand(
    session: Session, chain: Chain, fabric: Fabric, progress: Progress
) -> Iterator[tuple[str, Job | None, Tutor]]:
    """Yield what each assistant is called, its job if it is yet to be trained, and itself.

    Nothing is trained. Args are those of `obtain_assistants`.
    """
    for number, named in enumerate(named_assistants(session.recipe)):
        course = _course(session.recipe, chain, number)
        tutor, score = find(session, named, progress, course)
        trained = score is not None or named.spec.weights is not None
        job = None
        if not trained:
            learner = build_tutor(named, session.dataset)
            job = course.job(
                Job(
                    phase=f"assistant {named.name}",
                    seed=named.seed,
                    student=learner.model.to(fabric.device),
                    terms=(),
                    train=named.train,
                    dataset=learner.dataset,
                    checkpoint=session.checkpoint(f"assistant-{named.name}", named.seed),
                )
            )
        freeze(tutor.model.to(fabric.device))
        tutor = replace(tutor, trained=trained)
        yield f"assistant {named.name}", job, tutor
        chain = chain.followed_by(tutor)


def _course(recipe: Recipe, chain: Chain, number: int) -> Apprenticeship:
    return Apprenticeship(recipe, chain, chain.lesson(assistant_terms(recipe, number)))
