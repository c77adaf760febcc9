"""What a file answers on the test split, held against the labels and the teacher."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd.data.load import load_for_student
from edgekd.data.seen import as_raw, as_trained
from edgekd.errors import DataError, EdgekdError, MeasurementError
from edgekd.metrics.classification import accuracy, agreement
from edgekd.records import Network, TensorSpec
from edgekd.rundir import Run
from edgekd.runtimes.codec import decode, encode

#: The split that files are judged by: nothing was trained, chosen or calibrated with it.
SPLIT = "test"


@dataclass(frozen=True, eq=False)
class TestSet:
    """The test split of a run.

    Attributes:
        inputs: network input ``(N, *sample_shape)``.
        targets: class indices ``(N,)``.
        teacher: the teacher's logits ``(N, C)`` for the same samples, or None.
        no_teacher: why they are not there.
        classes: the number of classes.
    """

    inputs: NDArray[np.float32]
    targets: NDArray[np.int64]
    teacher: NDArray[np.floating[Any]] | None
    no_teacher: str | None
    classes: int


@dataclass(frozen=True)
class Scores:
    """What a file reached; ``unknown`` says why a number is missing."""

    accuracy: float | None = None
    agreement: float | None = None
    samples: int | None = None
    unknown: dict[str, str] = field(default_factory=dict)

    @classmethod
    def none(cls, reason: str) -> Scores:
        """Return scores of which nothing is known."""
        return cls(unknown={"accuracy": reason, "agreement": reason})


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
        inputs=dataset.normalised(SPLIT),
        targets=part.targets,
        teacher=teacher,
        no_teacher=reason,
        classes=len(dataset.classes),
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


def why_not(inputs: Sequence[TensorSpec], test: TestSet) -> str | None:
    """Say why the samples cannot be fed to a file; None if they can."""
    if len(inputs) != 1:
        return f"the file takes {len(inputs)} inputs, a sample of the data is one"
    shape = test.inputs.shape[1:]
    wanted = inputs[0].shape[1:]
    if inputs[0].layout == "nhwc":
        shape = (*shape[1:], shape[0])
    fits = len(wanted) == len(shape) and all(
        w in (None, n) for w, n in zip(wanted, shape, strict=True)
    )
    return None if fits else f"the file takes samples of shape {wanted}, the data has {shape}"


def write_inputs(test: TestSet, spec: TensorSpec, path: Path) -> None:
    """Write the samples as the file wants them, and the first one for latency."""
    encoded = encode(test.inputs, spec)
    batch = spec.shape[0] or 1
    # A file of a fixed batch is timed on it: one inference is one call.
    sample = encoded[np.minimum(np.arange(batch), len(encoded) - 1)]
    np.savez(path, input_0=encoded, sample_0=sample)


def judge(path: Path, outputs: Sequence[TensorSpec], test: TestSet) -> Scores:
    """Score what the agent wrote.

    Args:
        path: the .npz with ``output_0``, ..., one row a sample.
        outputs: the specs of the outputs, in the same order.
        test: the samples.

    Raises:
        MeasurementError: the answers cannot be read.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as found:
            answers = {name: found[name] for name in found.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise MeasurementError(f"the device's answers cannot be read: {error}") from error
    expected = (len(test.targets), test.classes)
    for index, spec in enumerate(outputs):
        answer = answers.get(f"output_{index}")
        if answer is not None and answer.shape == expected:
            return _score(decode(answer, spec), test)
    return Scores.none(f"the file has no output of shape (N, {test.classes})")


def _score(logits: NDArray[np.float32], test: TestSet) -> Scores:
    try:
        reached = accuracy(logits, test.targets)
        agrees = None if test.teacher is None else agreement(logits, test.teacher)
    except EdgekdError as error:
        return Scores.none(error.message)
    unknown = {} if test.no_teacher is None else {"agreement": test.no_teacher}
    return Scores(reached, agrees, len(test.targets), unknown)
