"""Two subjects on the same samples: where they differ, and whether that is more than chance."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgekd.evaluate.answers import Logits
from edgekd.evaluate.scoring import Labels
from edgekd.metrics.probabilities import confidences
from edgekd.records import RunManifest
from edgekd.records_evaluation import (
    Answer,
    Case,
    ClassGain,
    Disagreements,
    PairedComparison,
    SeedComparison,
    SubjectKind,
)
from edgekd.statistics.paired import RESAMPLES, compare
from edgekd.statistics.seeds import compare_seeds

#: Of the bootstrap.
SEED = 0


def pairs(kinds: dict[str, SubjectKind], others: dict[str, str]) -> list[tuple[str, str]]:
    """Return who is compared with whom: (a, b), the difference being a minus b.

    The student with its teachers and its twin, every file with the student, and each with its
    namesake of another run. Without a student, everything with what comes first.

    Args:
        kinds: name -> kind, of the run itself.
        others: name in this run -> name of the namesake.
    """
    names = list(kinds)
    student = next((name for name, kind in kinds.items() if kind == "student"), None)
    if student is None:
        found = [(name, names[0]) for name in names[1:]]
    else:
        found = [(student, n) for n, kind in kinds.items() if kind in ("teacher", "baseline")]
        found += [(n, student) for n, kind in kinds.items() if kind in ("artifact", "file")]
    return found + list(others.items())


def paired(a: str, b: str, logits_a: Logits, logits_b: Logits, targets: Labels) -> PairedComparison:
    """Test whether one of two subjects is better, and say in which classes."""
    right_a, right_b = logits_a.argmax(1) == targets, logits_b.argmax(1) == targets
    found = compare(right_a, right_b, seed=SEED)
    gains = []
    for label in range(logits_a.shape[1]):
        here = targets == label
        won = int((right_a & ~right_b & here).sum())
        lost = int((right_b & ~right_a & here).sum())
        if won or lost:
            gains.append(ClassGain(label=label, samples=int(here.sum()), won=won, lost=lost))
    gains.sort(key=lambda gain: (gain.lost - gain.won) / gain.samples)
    return PairedComparison(
        a=a,
        b=b,
        n=found.n,
        both=found.both,
        only_a=found.only_a,
        only_b=found.only_b,
        neither=found.neither,
        difference=found.difference,
        low=found.low,
        high=found.high,
        resamples=RESAMPLES,
        seed=SEED,
        mcnemar_exact_p=found.exact_p,
        mcnemar_midp_p=found.midp_p,
        classes=tuple(gains),
    )


def disagreements(
    a: str, b: str, logits_a: Logits, logits_b: Logits, targets: Labels, ids: Sequence[str]
) -> Disagreements:
    """Return every sample to which two subjects give different classes."""
    tops = logits_a.argmax(1), logits_b.argmax(1)
    sure = confidences(logits_a), confidences(logits_b)
    differ = tops[0] != tops[1]
    right = tops[0] == targets, tops[1] == targets
    # Whose confidence tells how hard a case is: that of the one who is wrong.
    wrong = np.where(right[0], sure[1], np.where(right[1], sure[0], np.maximum(*sure)))

    def cases(where: np.ndarray) -> tuple[Case, ...]:
        found = sorted(np.flatnonzero(differ & where).tolist(), key=lambda i: (-wrong[i], ids[i]))
        return tuple(
            Case(
                id=ids[i],
                target=int(targets[i]),
                a=Answer(label=int(tops[0][i]), confidence=min(1.0, float(sure[0][i]))),
                b=Answer(label=int(tops[1][i]), confidence=min(1.0, float(sure[1][i]))),
            )
            for i in found
        )

    return Disagreements(
        a=a,
        b=b,
        only_a_right=cases(right[0]),
        only_b_right=cases(right[1]),
        both_wrong=cases(~right[0] & ~right[1]),
    )


def over_seeds(manifest: RunManifest) -> SeedComparison | None:
    """Compare students with their twins seed by seed; None where no seed has both."""
    alone = {score.seed: score.test_accuracy for score in manifest.baseline_scores}
    both = [score for score in manifest.student_scores if score.seed in alone]
    if not both:
        return None
    ours = tuple(score.test_accuracy for score in both)
    theirs = tuple(alone[score.seed] for score in both)
    found = compare_seeds(ours, theirs)
    return SeedComparison(
        a="student",
        b="baseline",
        seeds=tuple(score.seed for score in both),
        a_accuracies=ours,
        b_accuracies=theirs,
        n=found.n,
        difference=found.difference,
        t_p=found.t_p,
        wilcoxon_p=found.wilcoxon_p,
    )
