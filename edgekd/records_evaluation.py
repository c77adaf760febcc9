"""The record of an evaluation: ``runs/ID/evaluations/NAME.json``.

Whatever is compared is called by its name: ``student``, ``teacher``, ``baseline`` (the student
trained without its teacher), an artifact, a file, or one of these of another run, ``NAME@RUN``.
Accuracies, agreements and calibration errors are fractions, divergences and likelihoods nats.
Classes stand in label order everywhere.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from edgekd.recordbase import Fraction, Record, Sha256, Versioned
from edgekd.records import Provenance

SubjectKind = Literal["student", "teacher", "baseline", "artifact", "file"]


class ReliabilityBin(Record):
    """Samples whose confidence is above ``low`` and at most ``high``; their means."""

    low: Fraction
    high: Fraction
    samples: int
    confidence: Fraction | None = None
    accuracy: Fraction | None = None


class CalibrationCurve(Record):
    """How well confidence matches accuracy at a temperature.

    ``ece`` is the expected calibration error over ``bins``, ``nll`` the mean negative
    log-likelihood of the labels.
    """

    temperature: float = Field(gt=0)
    ece: Fraction
    nll: float
    bins: tuple[ReliabilityBin, ...]


class SubjectScores(Record):
    """What one network or file does on the split.

    ``agreement`` and ``kl`` are held against the teacher; ``classes`` are the accuracies class by
    class. ``calibration`` is at temperature 1, ``calibrated`` at the temperature that fits the
    labels of the split ``fitted_on`` best. ``unknown`` says for each number that could not be had
    why, ``notes`` what to know beside.
    """

    name: str
    kind: SubjectKind
    path: str | None = None
    sha256: Sha256 | None = None
    runtime: str | None = None
    accuracy: Fraction
    agreement: Fraction | None = None
    kl: float | None = None
    classes: tuple[Fraction | None, ...]
    calibration: CalibrationCurve
    calibrated: CalibrationCurve | None = None
    fitted_on: str | None = None
    unknown: dict[str, str] = {}
    notes: tuple[str, ...] = ()


class Answer(Record):
    """A top-1 class, by its index, and the probability that it was given."""

    label: int
    confidence: Fraction


class Case(Record):
    """A sample to which two subjects give different classes."""

    id: str
    target: int
    a: Answer
    b: Answer


class Disagreements(Record):
    """Where two subjects differ: all such samples, by who is right.

    Each list begins with the sample whose wrong answer is the most confident.
    """

    a: str
    b: str
    only_a_right: tuple[Case, ...]
    only_b_right: tuple[Case, ...]
    both_wrong: tuple[Case, ...]


class ClassGain(Record):
    """A class in which two subjects differ: ``won`` samples only a gets right, ``lost`` only b."""

    label: int
    samples: int
    won: int
    lost: int


class PairedComparison(Record):
    """Subjects a and b on the same ``n`` samples.

    ``difference`` is accuracy of a minus accuracy of b, ``low`` to ``high`` its 95% bootstrap
    interval over resampled pairs, ``mcnemar_exact_p`` and ``mcnemar_midp_p`` the two-sided p of
    McNemar's test. ``classes`` are those in which they differ, the largest gain first.
    """

    a: str
    b: str
    n: int
    both: int
    only_a: int
    only_b: int
    neither: int
    difference: float
    low: float
    high: float
    resamples: int
    seed: int
    mcnemar_exact_p: Fraction
    mcnemar_midp_p: Fraction
    classes: tuple[ClassGain, ...] = ()


class SeedComparison(Record):
    """Test accuracies of two ways of training over the same ``n`` seeds: a minus b.

    ``t_p`` is the two-sided p of the paired t-test, ``wilcoxon_p`` of Wilcoxon's signed-rank test
    (None with fewer than 6 seeds).
    """

    a: str
    b: str
    seeds: tuple[int, ...]
    a_accuracies: tuple[Fraction, ...]
    b_accuracies: tuple[Fraction, ...]
    n: int
    difference: float
    t_p: Fraction | None = None
    wilcoxon_p: Fraction | None = None


class SliceScores(Record):
    """One part of the split: samples whose ``column`` has this value; accuracies by subject."""

    column: str
    value: str
    samples: int
    accuracies: dict[str, Fraction]
    agreements: dict[str, Fraction] = {}


class LayerSimilarity(Record):
    """Linear CKA of each of a's layers (rows) with each of b's (columns), on ``samples``."""

    a: str
    b: str
    a_layers: tuple[str, ...]
    b_layers: tuple[str, ...]
    values: tuple[tuple[Fraction, ...], ...]
    samples: int


class Evaluation(Versioned):
    """What networks and files do on one split, and how they compare.

    ``classes`` are the names, ``class_samples`` how many samples each has. ``layers`` is None where
    no two networks were at hand. ``against`` names the other run of the comparison.
    """

    kind: Literal["evaluation"] = "evaluation"
    name: str
    run: str | None = None
    against: str | None = None
    split: str
    samples: int
    data_sha256: Sha256 | None = None
    classes: tuple[str, ...]
    class_samples: tuple[int, ...]
    subjects: tuple[SubjectScores, ...]
    disagreements: tuple[Disagreements, ...] = ()
    paired: tuple[PairedComparison, ...] = ()
    seeds: tuple[SeedComparison, ...] = ()
    slices: tuple[SliceScores, ...] = ()
    layers: LayerSimilarity | None = None
    skipped: dict[str, str] = {}
    parents: dict[str, str] = {}
    provenance: Provenance
