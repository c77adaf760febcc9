"""Asking networks and files about corrupted samples, and counting what they get right."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from edgekd.data.split import Dataset
from edgekd.evaluate.answers import Answers, Logits
from edgekd.evaluate.corruptions.apply import corrupted, read_once
from edgekd.evaluate.corruptions.samples import Samples
from edgekd.metrics.classification import accuracy, agreement
from edgekd.records_robustness import CorruptedScore, SubjectRobustness

Labels = NDArray[np.int64]

#: (corruption, severity); severity 0 stands for the clean samples.
Setting = tuple[str, int]

#: How much is corrupted and kept at a time: float32 values, and samples.
_VALUES, _SAMPLES = 2**24, 4096

_CLEAN: Setting = ("", 0)


def measure(
    answers: Mapping[str, Answers],
    dataset: Dataset,
    split: str,
    samples: Mapping[str, Samples],
    *,
    corruptions: Sequence[str],
    severities: Sequence[int],
    seed: int = 0,
    teacher: Answers | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> tuple[SubjectRobustness, ...]:
    """Ask everybody about every corruption of a split.

    Args:
        answers: the subjects by name.
        dataset: the data.
        split: which part of it.
        samples: what its samples are, as each of the data's inputs.
        corruptions: by name.
        severities: each from 1 to 5.
        seed: of the corruptions.
        teacher: whom agreement is with, if there is one; may be a subject, too.
        say: is told which corruption is next.

    Returns:
        One record a subject, in the order of ``answers``.

    Raises:
        EdgekdError: see `edgekd.evaluate.corruptions.apply.corrupted`.
    """
    settings = [_CLEAN, *((name, level) for name in corruptions for level in severities)]
    counts = {name: _Counts.of(settings) for name in answers}
    reference = _Counts.of(settings)
    for chunk in _chunks(dataset, split):
        targets = chunk.splits[split].targets
        for setting in settings:
            if setting[1] in (0, severities[0]):
                say(f"{setting[0] or 'clean'}: {len(targets)} samples")
            made = chunk
            if setting != _CLEAN:
                made = corrupted(chunk, split, *setting, samples, seed=seed)
            theirs = None if teacher is None else teacher.logits(made, split)
            if theirs is not None:
                reference.add(setting, theirs, targets, theirs)
            for name, each in answers.items():
                known = theirs if each is teacher else None
                given = each.logits(made, split) if known is None else known
                counts[name].add(setting, given, targets, theirs)
    total = len(dataset.splits[split])
    against = None if teacher is None else reference.errors(total)
    return tuple(
        _subject(
            name,
            found.errors(total),
            None if teacher is None else found.agreements(total),
            against,
        )
        for name, found in counts.items()
    )


@dataclass
class _Counts:
    """How many samples somebody got right, and as the teacher; whole numbers but for rounding."""

    right: dict[Setting, float]
    same: dict[Setting, float]

    @classmethod
    def of(cls, settings: Sequence[Setting]) -> _Counts:
        """Start from nothing."""
        return cls(dict.fromkeys(settings, 0.0), dict.fromkeys(settings, 0.0))

    def add(self, setting: Setting, given: Logits, targets: Labels, theirs: Logits | None) -> None:
        """Count some samples."""
        self.right[setting] += accuracy(given, targets) * len(targets)
        if theirs is not None:
            self.same[setting] += agreement(given, theirs) * len(targets)

    def errors(self, total: int) -> dict[Setting, float]:
        """Return the fraction that is wrong."""
        return {setting: 1 - round(count) / total for setting, count in self.right.items()}

    def agreements(self, total: int) -> dict[Setting, float]:
        """Return the fraction that is as the teacher's."""
        return {setting: round(count) / total for setting, count in self.same.items()}


def _chunks(dataset: Dataset, split: str) -> Iterator[Dataset]:
    """Yield the data with a part of the split at a time, read once and for all."""
    part = dataset.splits[split]
    size = max(1, min(_SAMPLES, _VALUES // max(1, math.prod(dataset.sample_shape))))
    for indices in part.batches(size):
        chunk = read_once(part.subset(indices))
        yield replace(dataset, splits={**dataset.splits, split: chunk})


def _subject(
    name: str,
    errors: Mapping[Setting, float],
    agrees: Mapping[Setting, float] | None,
    reference: Mapping[Setting, float] | None,
) -> SubjectRobustness:
    """Sum up what one subject reached; ``errors`` and ``agrees`` are fractions."""
    settings = [setting for setting in errors if setting != _CLEAN]
    mean_error = fmean(_by_corruption(errors))
    return SubjectRobustness(
        name=name,
        clean_accuracy=1 - errors[_CLEAN],
        clean_agreement=None if agrees is None else agrees[_CLEAN],
        scores=tuple(
            CorruptedScore(
                corruption=corruption,
                severity=severity,
                accuracy=1 - errors[corruption, severity],
                agreement=None if agrees is None else agrees[corruption, severity],
            )
            for corruption, severity in settings
        ),
        mean_corruption_error=mean_error,
        mean_agreement=None if agrees is None else fmean(_by_corruption(agrees)),
        relative_error=mean_error - errors[_CLEAN],
        error_over_teacher=None if reference is None else _ratio(errors, reference),
    )


def _by_corruption(values: Mapping[Setting, float]) -> list[float]:
    """Return the mean over severities of each corruption."""
    found: dict[str, list[float]] = {}
    for (corruption, severity), value in values.items():
        if severity:
            found.setdefault(corruption, []).append(value)
    return [fmean(each) for each in found.values()]


def _ratio(errors: Mapping[Setting, float], reference: Mapping[Setting, float]) -> float | None:
    ours, theirs = _by_corruption(errors), _by_corruption(reference)
    if min(theirs) == 0:
        return None
    return fmean(our / their for our, their in zip(ours, theirs, strict=True))
