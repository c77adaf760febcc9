"""The samples that files are judged by, read only when they are sent."""

from __future__ import annotations

import threading
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd.bench.subjects import Subject
from edgekd.data.load import load_for_student
from edgekd.data.seen import as_raw, as_trained
from edgekd.errors import DataError, EdgekdError
from edgekd.records import Network, Preprocess
from edgekd.rundir import Run, teacher_name

#: The split that files are judged by: nothing was trained, chosen or calibrated with it.
SPLIT = "test"

NO_LABELS = "no labels: a bare file without a run"

Indices = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class TestSet:
    """The test split of a run, as one network or file sees it.

    Attributes:
        read: indices ``(n,)`` -> network input ``(n, *sample_shape)``.
        sample_shape: of one sample, channels first.
        targets: class indices ``(N,)``.
        teacher: the teacher's logits ``(N, C)`` for the same samples, or None.
        no_teacher: why they are not there.
        classes: the number of classes.
        sha256: stands for the data and for how it is normalised.
    """

    read: Callable[[Indices], NDArray[np.float32]]
    sample_shape: tuple[int, ...]
    targets: NDArray[np.int64]
    teacher: NDArray[np.floating[Any]] | None
    no_teacher: str | None
    classes: int
    sha256: str = ""

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.targets)


def load_test_set(run: Run, network: Network | None = None, *, raw: bool = False) -> TestSet:
    """Load the data that a run names.

    Args:
        run: the run.
        network: one of its networks, which may see the samples otherwise; None: the student.
        raw: for a file that normalises the samples itself.

    Raises:
        EdgekdError: it cannot be loaded, or is not what the run was trained with.
    """
    dataset = load_for_student(run.recipe)
    if run.manifest.data_sha256 not in (None, dataset.sha256):
        raise DataError("the data has changed since the run was distilled")
    if network is not None:
        dataset = as_trained(dataset, network)
    if raw:
        dataset = as_raw(dataset)
    part = dataset.splits[SPLIT]
    teacher, reason = _teacher_logits(run.predictions_path, part.ids)
    return TestSet(
        read=lambda indices: dataset.normalised(SPLIT, indices),
        sample_shape=dataset.sample_shape,
        targets=part.targets,
        teacher=teacher,
        no_teacher=reason,
        classes=len(dataset.classes),
        sha256=f"{dataset.sha256} {dataset.input} {dataset.preprocess.model_dump_json()}",
    )


def _teacher_logits(
    path: Path, ids: Sequence[str]
) -> tuple[NDArray[np.floating[Any]] | None, str | None]:
    """Return the stored logits in the order of ``ids``, or why there are none."""
    try:
        # NumPy leaves a file open that it cannot read; this way it is closed.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            place = {str(name): row for row, name in enumerate(stored["ids"])}
            logits = stored["teacher_logits"]
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        return None, f"the run's predictions cannot be read ({type(error).__name__})"
    missing = sum(name not in place for name in ids)
    if missing:
        return None, f"the run's predictions lack {missing} of {len(ids)} test samples"
    return logits[[place[name] for name in ids]], None


def choose(targets: NDArray[np.int64], count: int | None, seed: int = 0) -> Indices:
    """Choose test samples, every class as often as in the whole, in ascending order.

    A smaller choice with the same seed is part of every larger one.

    Args:
        targets: class indices ``(N,)``.
        count: how many; None, or more than there are: all.
        seed: of the choice.

    >>> choose(np.array([0, 0, 0, 0, 1, 1]), 3).size
    3
    """
    total = len(targets)
    if count is None or count >= total:
        return np.arange(total, dtype=np.int64)
    shuffled = np.random.default_rng(seed).permutation(total)
    # The k-th of a class with n samples comes at (k + 1/2) / n: classes alternate by their size.
    by_class = shuffled[np.argsort(targets[shuffled], kind="stable")]
    _, sizes = np.unique(targets, return_counts=True)
    turns = np.concatenate([(np.arange(size) + 0.5) / size for size in sizes])
    return np.sort(by_class[np.argsort(turns, kind="stable")][:count]).astype(np.int64)


@dataclass
class TestSets:
    """The test splits that the files of one call need, each loaded once; safe among threads."""

    _loaded: dict[tuple[Path, bool], TestSet | str] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def of(self, subject: Subject) -> TestSet | str:
        """Return the test split as a file sees it, or why there is none."""
        if subject.run is None:
            return NO_LABELS
        manifest = subject.artifact.manifest if subject.artifact else None
        if manifest and manifest.segment and manifest.exit != 1:
            return "it goes on from an earlier segment: edgekd exits"
        network = subject.run.manifest.networks.get(subject.path.name)
        if network is not None and _other_classes(subject.run, subject.name):
            return "its classes are in another order than the data's: edgekd evaluate"
        student = subject.run.manifest.networks.get(subject.run.student_path.name)
        # Most teachers see the samples as the student does: those are loaded once.
        own = network if network and student and _sees(network) != _sees(student) else None
        raw = manifest is not None and manifest.embed_preprocess
        key = (subject.run.path if own is None else subject.path, raw)
        with self._lock:
            if key not in self._loaded:
                try:
                    self._loaded[key] = load_test_set(subject.run, own, raw=raw)
                except EdgekdError as error:
                    reason = error.message.splitlines()[0]
                    self._loaded[key] = f"the run's data cannot be loaded: {reason}"
            return self._loaded[key]


def _sees(network: Network) -> tuple[str, Preprocess]:
    return network.input, network.preprocess


def _other_classes(run: Run, name: str) -> bool:
    """Say whether a network is a teacher that knows the classes by another order, or others."""
    for number, spec in enumerate(run.recipe.every_teacher):
        if teacher_name(number) == name:
            return bool(spec.classes) and spec.classes != run.manifest.classes
    return False
