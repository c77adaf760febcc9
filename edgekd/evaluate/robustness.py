"""The verb: how networks and files of a run bear corrupted samples."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from edgekd import provenance
from edgekd.data.load import load_dataset
from edgekd.data.split import Dataset
from edgekd.errors import DataError, EdgekdError, RunError
from edgekd.evaluate.answers import Answers
from edgekd.evaluate.corruptions.measure import measure
from edgekd.evaluate.corruptions.samples import choose, samples_of
from edgekd.evaluate.corruptions.severity import STRONGEST, check_severity
from edgekd.evaluate.stage import find_subjects, record_name
from edgekd.evaluate.subjects import Subject, of_run
from edgekd.evaluate.together import Together
from edgekd.recipe import Recipe
from edgekd.records_robustness import Robustness
from edgekd.rundir import Run, write_record

#: Severities that are measured unless others are asked for.
SEVERITIES = (1, 3, 5)

#: Packages that decide what a corrupted sample looks like.
_PACKAGES = (*provenance.PACKAGES, "scipy", "pillow", "python-stretch")


def evaluate_corruptions(
    source: str | Path | Run | None = None,
    *,
    on: Sequence[str | Path] | None = None,
    corruptions: Iterable[str] | None = None,
    severities: Sequence[int] = SEVERITIES,
    samples: str | None = None,
    seed: int = 0,
    split: Literal["test", "validation"] = "test",
    recipe: Recipe | str | Path | None = None,
    out: str | Path | None = None,
    say: Callable[[str], None] | None = None,
) -> Robustness:
    """Ask networks and files about corrupted samples: the very same ones for each of them.

    The record is written to ``robustness/NAME.json`` of the run; that of a bare file only where
    ``out`` says.

    Args:
        source: a run (open, path or id; None: the newest), or a model file.
        on: names of what to ask; None: all that the run has.
        corruptions: names; None: all that fit the data.
        severities: each from 1 to 5.
        samples: what samples are, where their shape does not tell: ``image``, ``waveform``,
            ``spectrogram``, ``spectrogram-time-first`` or ``vector``.
        seed: of the corruptions' random numbers.
        split: ``test``, or ``validation``.
        recipe: whose data a file is run on that belongs to no run.
        out: where to write the record instead.
        say: is told what is going on.

    Raises:
        UnknownNameError: there is no such corruption, or nothing is called as asked.
        DataError: a corruption does not fit the data, or the data has changed.
        MissingExtraError: a corruption needs a package that is not installed.
        RunError: a run cannot be found or trusted, or a bare file comes without a recipe.
        ModelFileError: a file that was asked for cannot be run.
    """
    began = time.perf_counter()
    say = say or (lambda text: None)
    severities = _severities(severities)
    corruptions = None if corruptions is None else tuple(corruptions)
    asked = None if on is None else [str(name) for name in on]
    run, subjects, names = find_subjects(source, asked, recipe)
    dataset = load_dataset(subjects[0].recipe.data)
    _check_data(dataset, subjects)
    known = samples_of(dataset, samples)
    chosen = choose(corruptions, [each.kind for each in known.values()])
    answers, skipped = _open(subjects, dataset, split, explicit=names is not None)
    teacher, why = _teacher(subjects, answers, dataset, split)
    found = measure(
        answers,
        dataset,
        split,
        known,
        corruptions=chosen,
        severities=severities,
        seed=seed,
        teacher=teacher,
        say=say,
    )
    record = Robustness(
        run=None if run is None else run.path.name,
        split=split,
        samples=len(dataset.splits[split]),
        sample_kinds={name: each.kind for name, each in known.items()},
        corruptions=chosen,
        severities=severities,
        seed=seed,
        subjects=found,
        skipped=skipped,
        unknown={} if why is None else {"agreement": why},
        data_sha256=dataset.sha256,
        parents={s.name: s.sha256 for s in subjects if s.sha256 and s.name in answers},
        provenance=provenance.collect(
            seed=seed, packages=_PACKAGES, wall_seconds=round(time.perf_counter() - began, 3)
        ),
    )
    if out is not None:
        write_record(Path(out), record)
    elif run is not None:
        name = record_name(split, _asked(names, corruptions, severities), None)
        write_record(run.robustness_dir / f"{name}.json", record)
    return record


def _asked(
    names: Sequence[str] | None, corruptions: Sequence[str] | None, severities: Sequence[int]
) -> list[str]:
    """Return what tells a record from that of everything, so that none overwrites another.

    >>> _asked(None, None, (1, 3, 5)), _asked(["student"], ["jpeg"], (2, 5))
    ([], ['student', 'jpeg', 'severity-2-5'])
    """
    found = [*(names or ()), *(corruptions or ())]
    if tuple(severities) != SEVERITIES:
        found.append("-".join(["severity", *map(str, severities)]))
    return found


def _severities(given: Sequence[int]) -> tuple[int, ...]:
    for severity in given:
        check_severity(severity)
    found = tuple(sorted(set(given) - {0}))
    if not found:
        raise EdgekdError(
            "no severity to measure is named", hint=f"Name some of 1 to {STRONGEST}; 0 is clean."
        )
    return found


def _check_data(dataset: Dataset, subjects: Sequence[Subject]) -> None:
    for run in (subject.run for subject in subjects if subject.run is not None):
        if run.manifest.data_sha256 not in (None, dataset.sha256):
            raise DataError(
                f"the data has changed since the run {run.path.name} was distilled",
                hint="Evaluate it where its data is as it was.",
            )


def _open(
    subjects: Sequence[Subject], dataset: Dataset, split: str, *, explicit: bool
) -> tuple[dict[str, Answers], dict[str, str]]:
    """Load everybody and ask for one sample, so that what cannot run says so at once.

    Returns:
        Those that can answer, and why the others cannot.
    """
    answers: dict[str, Answers] = {}
    skipped: dict[str, str] = {}
    for subject in subjects:
        try:
            answers[subject.name] = _ready(subject, dataset, split)
        except EdgekdError as error:
            if explicit or len(subjects) == 1:
                raise
            skipped[subject.name] = error.message.splitlines()[0]
    if not answers:
        raise RunError(
            f"nothing of {', '.join(skipped)} can be asked about new samples: "
            f"{next(iter(skipped.values()))}"
        )
    return answers, skipped


def _ready(subject: Subject, dataset: Dataset, split: str) -> Answers:
    answers = subject.open()
    if not answers.live:
        raise RunError(
            f"{subject.name} cannot be asked about new samples: only its answers were kept",
            hint="Its weights are not in the run.",
        )
    part = dataset.splits[split].subset(np.arange(1))
    answers.logits(replace(dataset, splits={**dataset.splits, split: part}), split)
    return answers


def _teacher(
    subjects: Sequence[Subject], answers: Mapping[str, Answers], dataset: Dataset, split: str
) -> tuple[Answers | None, str | None]:
    """Return whom agreement is with, all teachers of the run together, or why nobody."""
    run = next((subject.run for subject in subjects if subject.run is not None), None)
    teachers = [] if run is None else [s for s in of_run(run) if s.kind == "teacher"]
    if run is None or not teachers:
        return None, "there is no teacher"
    try:
        found = [answers.get(s.name) or _ready(s, dataset, split) for s in teachers]
    except EdgekdError as error:
        return None, error.message.splitlines()[0]
    if len(found) == 1:
        return found[0], None
    weights = [spec.weight for spec in run.recipe.every_teacher]
    if len(weights) != len(found):
        return None, "not every teacher of the run was kept"
    spec = run.recipe.ensemble
    return Together(found, weights, spec.average, spec.temperature), None
