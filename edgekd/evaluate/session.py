"""One evaluation under way: who was asked, and what they answered."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from edgekd.data.load import load_dataset
from edgekd.data.split import Dataset
from edgekd.errors import DataError, EdgekdError
from edgekd.evaluate.answers import Answers, Logits, StoredAnswers
from edgekd.evaluate.scoring import Answered, Labels
from edgekd.evaluate.slicing import slices
from edgekd.evaluate.subjects import Subject
from edgekd.rundir import Run


@dataclass(frozen=True)
class Asked:
    """What the user wants to know.

    Attributes:
        split: to evaluate on.
        slices: columns.
        cka: compare layers.
        explicit: subjects were named, so that one that cannot answer is an error.
    """

    split: str
    slices: tuple[str, ...]
    cka: bool
    explicit: bool

    @property
    def fitted_on(self) -> str:
        """The split that temperatures are fitted on: never the one they are judged by."""
        return "validation" if self.split == "test" else "calibration"


@dataclass
class Session:
    """What goes through one evaluation.

    Attributes:
        asked: by the user.
        run: that it belongs to, if any.
        dataset: as it was loaded.
        say: is told what is being run.
        began: when it began, by `time.perf_counter`.
        other: the run that it is compared with.
        namesakes: name -> name of what is called the same in the other run.
        subjects: whoever answered, by name.
        answers: how.
        answered: what.
        skipped: whoever could not answer, and why.
    """

    asked: Asked
    run: Run | None
    dataset: Dataset
    say: Callable[[str], None]
    began: float = field(default_factory=time.perf_counter)
    other: Run | None = None
    namesakes: dict[str, str] = field(default_factory=dict)
    subjects: dict[str, Subject] = field(default_factory=dict)
    answers: dict[str, Answers] = field(default_factory=dict)
    answered: dict[str, Answered] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)

    def check_data(self, run: Run | None) -> None:
        """Refuse data that is not what a run was trained with.

        Raises:
            DataError: it has changed.
        """
        if run is not None and run.manifest.data_sha256 not in (None, self.dataset.sha256):
            raise DataError(
                f"the data has changed since the run {run.path.name} was distilled",
                hint="Evaluate it where its data is as it was.",
            )
        for column in self.asked.slices:
            slices(self.dataset, self.asked.split, column, {}, self.targets, "not asked")

    @property
    def targets(self) -> Labels:
        """The labels of the split."""
        return self.dataset.splits[self.asked.split].targets

    def ask(self, subjects: Sequence[Subject]) -> None:
        """Let every subject answer.

        Raises:
            EdgekdError: one that was asked for by name cannot, or none of them can.
        """
        errors = []
        for number, subject in enumerate(subjects):
            self.say(f"{subject.name} ({number + 1} of {len(subjects)})")
            try:
                self._ask(subject.name, subject, self.dataset)
            except EdgekdError as error:
                if self.asked.explicit:
                    raise
                errors.append(error)
                self.skipped[subject.name] = error.message.splitlines()[0]
        if not self.answered:
            raise errors[0]

    def ask_others(self, run: Run, subjects: Sequence[Subject]) -> None:
        """Let the subjects of another run answer the same samples.

        Raises:
            DataError: its samples or labels are others.
            EdgekdError: one that was asked for by name cannot answer.
        """
        self.other = run
        dataset = load_dataset(run.recipe.data)
        dataset = _same_samples(self.dataset, dataset, self.asked.split, run)
        for subject in subjects:
            if subject.name not in self.answered:
                continue
            name = f"{subject.name}@{run.path.name}"
            self.say(name)
            try:
                self._ask(name, subject, dataset)
            except EdgekdError as error:
                if self.asked.explicit:
                    raise
                self.skipped[name] = error.message.splitlines()[0]
                continue
            self.namesakes[subject.name] = name
        if not self.namesakes:
            raise DataError(
                f"nothing of {run.path.name} could be compared",
                hint="Name with --on what both runs have, e.g. --on student.",
            )

    def _ask(self, name: str, subject: Subject, dataset: Dataset) -> None:
        answers = subject.open()
        logits = answers.logits(dataset, self.asked.split)
        if not np.isfinite(logits).all():
            raise DataError(
                f"{name} gives values that are NaN or infinite", hint="The model is broken."
            )
        try:
            fitting: Logits | str = answers.logits(dataset, self.asked.fitted_on)
        except EdgekdError as error:
            if not isinstance(answers, StoredAnswers):
                raise
            fitting = error.message
        self.subjects[name] = subject
        self.answers[name] = answers
        self.answered[name] = Answered(logits, fitting)

    def teacher(self) -> Logits | str:
        """Return what agreement is with: all teachers together, or why that is not known."""
        if self.run is None:
            return "a file without a run has no teacher"
        try:
            stored = StoredAnswers(self.run.predictions_path, "teacher_logits")
            return stored.logits(self.dataset, self.asked.split)
        except EdgekdError as error:
            own = [n for n, s in self.subjects.items() if s.kind == "teacher" and "@" not in n]
            # What several teachers answer together is known where the run wrote it down.
            if len(own) == 1 == max(1, len(self.run.manifest.teachers)):
                return self.answered[own[0]].logits
            return f"what the teachers answer together is not known: {error.message}"


def _same_samples(ours: Dataset, theirs: Dataset, split: str, run: Run) -> Dataset:
    """Return another run's data with the samples of a split in our order.

    Raises:
        DataError: samples, labels or classes are others.
    """
    here, there = ours.splits[split], theirs.splits[split]
    place = {name: index for index, name in enumerate(there.ids)}
    hint = "Both runs need the same data and the same split of it."
    if len(here) != len(there) or any(name not in place for name in here.ids):
        raise DataError(f"the run {run.path.name} has other {split} samples", hint=hint)
    found = there.subset(np.array([place[name] for name in here.ids]))
    if ours.classes != theirs.classes or (found.targets != here.targets).any():
        raise DataError(f"the run {run.path.name} has other labels or classes", hint=hint)
    return replace(theirs, splits={**theirs.splits, split: found})
