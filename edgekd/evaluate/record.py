"""From what everybody answered to the record of an evaluation."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np

from edgekd import provenance
from edgekd.evaluate.answers import NetworkAnswers
from edgekd.evaluate.comparing import disagreements, over_seeds, paired, pairs
from edgekd.evaluate.scoring import Truth, score
from edgekd.evaluate.session import Session
from edgekd.evaluate.slicing import slices
from edgekd.records_evaluation import Evaluation, LayerSimilarity, SliceScores, SubjectScores


def make_record(session: Session, name: str) -> Evaluation:
    """Compute everything from the answers.

    Args:
        session: after everybody was asked.
        name: of the record.

    Raises:
        DataError: answers do not fit the labels.
    """
    dataset, split, run = session.dataset, session.asked.split, session.run
    targets, ids = session.targets, dataset.splits[split].ids
    logits = {subject: found.logits for subject, found in session.answered.items()}
    kinds = {n: s.kind for n, s in session.subjects.items() if n not in _others(session)}
    compared = [(a, b, logits[a], logits[b], targets) for a, b in pairs(kinds, session.namesakes)]
    seeds = None if run is None else over_seeds(run.manifest)
    parents = {} if run is None else {"run": run.manifest_sha256}
    if session.other is not None:
        parents["against"] = session.other.manifest_sha256
    return Evaluation(
        name=name,
        run=None if run is None else run.path.name,
        against=None if session.other is None else session.other.path.name,
        split=split,
        samples=len(targets),
        data_sha256=dataset.sha256,
        classes=dataset.classes,
        class_samples=tuple(np.bincount(targets, minlength=len(dataset.classes)).tolist()),
        subjects=_scores(session),
        disagreements=tuple(disagreements(*pair, ids) for pair in compared),
        paired=tuple(paired(*pair) for pair in compared),
        seeds=() if seeds is None else (seeds,),
        slices=_slices(session),
        layers=_layers(session),
        skipped=session.skipped,
        parents=parents,
        provenance=provenance.collect(
            seed=None if run is None else run.recipe.seed,
            wall_seconds=round(time.perf_counter() - session.began, 3),
        ),
    )


def _others(session: Session) -> set[str]:
    return set(session.namesakes.values())


def _scores(session: Session) -> tuple[SubjectScores, ...]:
    truth = Truth(
        targets=session.targets,
        fitting=session.dataset.splits[session.asked.fitted_on].targets,
        fitted_on=session.asked.fitted_on,
        teacher=session.teacher(),
    )
    return tuple(
        score(replace(subject, name=name), session.answers[name], session.answered[name], truth)
        for name, subject in session.subjects.items()
    )


def _slices(session: Session) -> tuple[SliceScores, ...]:
    answers = {name: found.logits for name, found in session.answered.items()}
    return tuple(
        part
        for column in session.asked.slices
        for part in slices(
            session.dataset,
            session.asked.split,
            column,
            answers,
            session.targets,
            session.teacher(),
        )
    )


def _layers(session: Session) -> LayerSimilarity | None:
    """Compare the student with the first teacher, where both are networks that can be run."""
    networks = {
        name: answers
        for name, answers in session.answers.items()
        if isinstance(answers, NetworkAnswers) and name in ("student", "teacher")
    }
    enough = len(session.targets) >= 2
    if not session.asked.cka or len(networks) < 2 or not enough:
        return None
    from edgekd.evaluate.layers import similarity

    return similarity("student", "teacher", networks, session.dataset, session.asked.split)
