"""The numbers of one network or file, from its logits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgekd.evaluate.answers import Answers, Logits
from edgekd.evaluate.subjects import Subject
from edgekd.metrics.calibration import LIMITS, at_limit, ece_of, fit_temperature, reliability
from edgekd.metrics.classes import per_class_accuracy
from edgekd.metrics.classification import accuracy, agreement
from edgekd.metrics.divergence import mean_kl, negative_log_likelihood
from edgekd.records_evaluation import CalibrationCurve, ReliabilityBin, SubjectScores

Labels = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Answered:
    """What one subject answered.

    Attributes:
        logits: (N, C) on the split.
        fitting: logits on the split that the temperature is fitted on, or why there are none.
    """

    logits: Logits
    fitting: Logits | str


@dataclass(frozen=True, eq=False)
class Truth:
    """What answers are held against.

    Attributes:
        targets: labels (N,) of the split.
        fitting: labels of the split that temperatures are fitted on.
        fitted_on: its name.
        teacher: the teacher's logits (N, C), or why there are none.
    """

    targets: Labels
    fitting: Labels
    fitted_on: str
    teacher: Logits | str


def score(subject: Subject, answers: Answers, answered: Answered, truth: Truth) -> SubjectScores:
    """Return everything that is computed of one subject by itself.

    Args:
        subject: the network or file, under the name that the record gives it.
        answers: how it answered.
        answered: what.
        truth: what that is held against.

    Raises:
        DataError: logits do not fit, or are not finite.
    """
    logits, targets = answered.logits, truth.targets
    unknown: dict[str, str] = {}
    notes = answers.notes
    agrees = divergence = calibrated = None
    if isinstance(truth.teacher, str):
        unknown |= {"agreement": truth.teacher, "kl": truth.teacher}
    else:
        agrees, divergence = agreement(logits, truth.teacher), mean_kl(truth.teacher, logits)
    if isinstance(answered.fitting, str):
        unknown["calibrated"] = answered.fitting
    else:
        temperature = fit_temperature(answered.fitting, truth.fitting)
        calibrated = curve(logits, targets, temperature)
        if at_limit(temperature):
            low, high = (f"{limit:g}" for limit in LIMITS)
            notes += (f"the temperature that fits {truth.fitted_on} is beyond {low} to {high}",)
    return SubjectScores(
        name=subject.name,
        kind=subject.kind,
        path=None if subject.path is None else str(subject.path),
        sha256=subject.sha256,
        runtime=answers.runtime,
        accuracy=accuracy(logits, targets),
        agreement=agrees,
        kl=divergence,
        classes=per_class_accuracy(logits, targets),
        calibration=curve(logits, targets, 1.0),
        calibrated=calibrated,
        fitted_on=None if calibrated is None else truth.fitted_on,
        unknown=unknown,
        notes=notes,
    )


def curve(logits: Logits, targets: Labels, temperature: float) -> CalibrationCurve:
    """Return the calibration at a temperature."""
    bins = reliability(logits, targets, temperature=temperature)
    return CalibrationCurve(
        temperature=temperature,
        ece=ece_of(bins),
        nll=negative_log_likelihood(logits, targets, temperature),
        bins=tuple(ReliabilityBin(**vars(found)) for found in bins),
    )
