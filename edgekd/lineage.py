"""The networks of a run in order, and what a chain of them cost and brought, in words.

Pure Python, so that both the command line and the report can say it with the base install.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from edgekd import format as fmt
from edgekd.records import ModelFacts, RunManifest, Score

#: A row of the table of networks: what it is, its size, and what it reached.
Row = tuple[str, ModelFacts | None, Sequence[Score | None]]

#: The name of the comparison with a student that the teachers taught without a chain.
DIRECT = "direct"


def network_rows(manifest: RunManifest) -> list[Row]:
    """Return the networks of a run, from the teacher to what the student is compared with."""
    first = manifest.teachers[0] if manifest.teachers else None
    student = manifest.student
    return [
        ("teacher", first, manifest.teacher_scores),
        *(
            ("peer", facts, (score,))
            for facts, score in zip(manifest.peers, manifest.peer_scores, strict=True)
        ),
        *((link.name, link.facts, link.scores) for link in manifest.links),
        ("student", student, manifest.student_scores),
        ("student, no teacher", student, manifest.baseline_scores),
        *((f"student, {how}", student, scores) for how, scores in manifest.compared_scores.items()),
        ("student, int8 (QAT)", student, (manifest.qat_score,)),
    ]


def lineage(manifest: RunManifest) -> list[tuple[str, str]]:
    """Say what a chain was, cost and gained; nothing where there is none.

    Args:
        manifest: of the run.

    Returns:
        (name, text) of each fact.
    """
    if not manifest.links or manifest.student is None or not manifest.student_scores:
        return []
    steps = [
        (facts.name, facts, [score])
        for facts, score in zip(manifest.teachers, manifest.teacher_scores, strict=True)
        if score is not None
    ]
    steps += [(link.name, link.facts, list(link.scores)) for link in manifest.links]
    steps.append(("student", manifest.student, list(manifest.student_scores)))
    found = [
        ("Chain", " → ".join(_step(*step) for step in steps)),
        ("Chain, cost", _cost(manifest)),
    ]
    gain = _gain(manifest)
    return [*found, ("Chain, gain", gain)] if gain else found


def _step(name: str, facts: ModelFacts, scores: Sequence[Score]) -> str:
    accuracy = fmt.percent(fmean(score.test_accuracy for score in scores)) if scores else "?"
    return f"{name} ({fmt.count(facts.parameters)}) {accuracy}"


def _cost(manifest: RunManifest) -> str:
    between = _seconds([score for link in manifest.links for score in link.scores])
    own = _seconds(manifest.student_scores)
    text = f"{between:.1f} s of training between teachers and student, {own:.1f} s of the student"
    kept = any(link.role == "assistant" for link in manifest.links)
    return text + ("; assistants are kept for other runs" if kept else "")


def _gain(manifest: RunManifest) -> str:
    """Compare with the student that had no chain, seed by seed."""
    direct = {score.seed: score for score in manifest.compared_scores.get(DIRECT, ())}
    pairs = [
        (score, direct[score.seed]) for score in manifest.student_scores if score.seed in direct
    ]
    if not pairs:
        return ""
    gain = fmean(ours.test_accuracy - theirs.test_accuracy for ours, theirs in pairs)
    seeds = "1 seed" if len(pairs) == 1 else f"{len(pairs)} seeds"
    return f"{fmt.points(gain)} against the same student taught directly ({seeds})"


def _seconds(scores: Sequence[Score]) -> float:
    return sum(score.train_seconds or 0.0 for score in scores)
