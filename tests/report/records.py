"""Records of evaluations with round numbers."""

from __future__ import annotations

from typing import Any

from edgekd.records_evaluation import (
    Answer,
    CalibrationCurve,
    Case,
    ClassGain,
    Disagreements,
    Evaluation,
    LayerSimilarity,
    PairedComparison,
    ReliabilityBin,
    SeedComparison,
    SliceScores,
    SubjectKind,
    SubjectScores,
)
from edgekd.records_robustness import CorruptedScore, Robustness, SubjectRobustness
from tests.synthetic_runs import PROVENANCE

CLASSES = ("cat", "dog", "owl")

#: Name -> (kind, accuracy of each class).
SUBJECTS: dict[str, tuple[SubjectKind, tuple[float, ...]]] = {
    "teacher": ("teacher", (1.0, 0.9, 0.8)),
    "student": ("student", (0.9, 0.5, 0.7)),
    "baseline": ("baseline", (0.8, 0.6, 0.6)),
    "tflite-int8": ("artifact", (0.9, 0.5, 0.7)),
}


def curve(temperature: float, ece: float) -> CalibrationCurve:
    bins = (
        ReliabilityBin(low=0.0, high=0.5, samples=0),
        ReliabilityBin(low=0.5, high=1.0, samples=30, confidence=0.8, accuracy=0.7),
    )
    return CalibrationCurve(temperature=temperature, ece=ece, nll=0.4, bins=bins)


def subject(name: str, **changes: Any) -> SubjectScores:
    kind, classes = SUBJECTS[name]
    fields: dict[str, Any] = {
        "name": name,
        "kind": kind,
        "accuracy": sum(classes) / 3,
        "agreement": 0.8125,
        "kl": 0.1234,
        "classes": classes,
        "calibration": curve(1.0, 0.0751),
        "calibrated": curve(1.75, 0.0252),
        "fitted_on": "validation",
    }
    return SubjectScores(**{**fields, **changes})


def case(key: str, a: int, b: int, target: int, sure: float = 0.9) -> Case:
    return Case(
        id=key,
        target=target,
        a=Answer(label=a, confidence=sure),
        b=Answer(label=b, confidence=0.6),
    )


def comparison(a: str, b: str, won: int, lost: int, p: float, **changes: Any) -> PairedComparison:
    return PairedComparison(
        a=a, b=b, n=30, both=20, only_a=won, only_b=lost, neither=10 - won - lost,
        difference=(won - lost) / 30, low=-0.3, high=0.05, resamples=99, seed=0,
        mcnemar_exact_p=p, mcnemar_midp_p=p, **changes,
    )  # fmt: skip


def evaluation(**changes: Any) -> Evaluation:
    """Everything that an evaluation may hold; ``changes`` replaces any field."""
    gains = (
        ClassGain(label=0, samples=10, won=2, lost=1),
        ClassGain(label=1, samples=10, won=0, lost=3),
    )
    fields: dict[str, Any] = {
        "name": "test",
        "split": "test",
        "samples": 30,
        "classes": CLASSES,
        "class_samples": (10, 10, 10),
        "subjects": tuple(subject(name) for name in SUBJECTS),
        "disagreements": (
            Disagreements(
                a="student",
                b="teacher",
                only_a_right=(case("s-1", 2, 0, 2),),
                only_b_right=tuple(case(f"t-{i}", 0, 1, 1) for i in range(11)),
                both_wrong=(),
            ),
        ),
        "paired": (
            comparison("student", "teacher", 1, 8, 0.0391),
            comparison("student", "baseline", 2, 4, 0.45, classes=gains),
            comparison("tflite-int8", "student", 0, 0, 1.0),
        ),
        "seeds": (
            SeedComparison(
                a="student", b="baseline", seeds=(0, 1), a_accuracies=(0.7, 0.72),
                b_accuracies=(0.66, 0.69), n=2, difference=0.035, t_p=0.09,
            ),
        ),
        "slices": tuple(
            SliceScores(
                column="speaker",
                value=f"v{i}",
                samples=10,
                accuracies={name: 0.5 + i / 100 for name in SUBJECTS},
                agreements={name: 0.75 for name in SUBJECTS},
            )
            for i in reversed(range(25))
        ),
        "layers": LayerSimilarity(
            a="student", b="teacher", a_layers=("l1", "output"), b_layers=("t1", "t2", "output"),
            values=((0.91, 0.5, 0.25), (0.125, 0.5, 1.0)), samples=30,
        ),
        "provenance": PROVENANCE,
    }  # fmt: skip
    return Evaluation(**{**fields, **changes})


def robustness(names: tuple[str, ...] = (*SUBJECTS,), **changes: Any) -> Robustness:
    """Two corruptions at two severities; each subject is a percent better than the one before."""
    fields: dict[str, Any] = {
        "split": "test",
        "samples": 30,
        "sample_kinds": {"input": "image"},
        "corruptions": ("blur", "noise"),
        "severities": (1, 5),
        "seed": 0,
        "subjects": tuple(
            SubjectRobustness(
                name=name,
                clean_accuracy=0.9,
                scores=tuple(
                    CorruptedScore(corruption=c, severity=s, accuracy=0.5 + place / 100)
                    for c in ("blur", "noise")
                    for s in (1, 5)
                ),
                mean_corruption_error=0.5 - place / 100,
                mean_agreement=0.6125,
                relative_error=0.4 - place / 100,
                error_over_teacher=1.5,
            )
            for place, name in enumerate(names)
        ),
        "provenance": PROVENANCE,
    }
    return Robustness(**{**fields, **changes})
