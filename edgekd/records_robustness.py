"""The record of how networks and files bear corrupted samples."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from edgekd.recordbase import Fraction, Record, Sha256, Versioned
from edgekd.records import Provenance


class CorruptedScore(Record):
    """What one network or file reached on samples of one corruption and severity.

    ``agreement`` is with the teacher's answers to the very same corrupted samples.
    """

    corruption: str
    severity: int = Field(ge=1)
    accuracy: Fraction
    agreement: Fraction | None = None


class SubjectRobustness(Record):
    """What one network or file reached.

    ``mean_corruption_error`` is the error (1 - accuracy), averaged over severities and then over
    corruptions; ``relative_error`` is that minus the clean error: what corruption costs, as a
    fraction of the samples (below 0 where it helps). ``error_over_teacher`` is the sum of a
    corruption's errors over severities divided by the teacher's, averaged over the corruptions:
    the mCE of Hendrycks and Dietterich with the teacher in the place of AlexNet. It is None
    without a teacher, and where the teacher makes no error.
    """

    name: str
    clean_accuracy: Fraction
    clean_agreement: Fraction | None = None
    scores: tuple[CorruptedScore, ...]
    mean_corruption_error: Fraction
    mean_agreement: Fraction | None = None
    relative_error: float
    error_over_teacher: float | None = None


class Robustness(Versioned):
    """How networks and files bear corrupted samples: ``runs/ID/robustness/NAME.json``.

    Every subject met the very same samples: the random numbers of each depend on ``seed``, the
    corruption and the sample's id. ``sample_kinds`` says what samples were taken for, as each of
    the data's inputs. ``skipped`` names what could not be asked and why, ``unknown`` numbers that
    could not be had.
    """

    kind: Literal["robustness"] = "robustness"
    run: str | None = None
    split: str
    samples: int
    sample_kinds: dict[str, str]
    corruptions: tuple[str, ...]
    severities: tuple[int, ...]
    seed: int
    subjects: tuple[SubjectRobustness, ...]
    skipped: dict[str, str] = {}
    unknown: dict[str, str] = {}
    data_sha256: Sha256 | None = None
    parents: dict[str, str] = {}
    provenance: Provenance
