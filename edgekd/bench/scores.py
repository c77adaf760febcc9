"""What a file answers on the test split, held against the labels and the teacher."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd.bench.testset import Indices, TestSet
from edgekd.errors import EdgekdError
from edgekd.metrics.classification import accuracy, agreement
from edgekd.records import TensorSpec
from edgekd.runtimes.codec import decode


@dataclass(frozen=True, eq=False)
class Kept:
    """The class scores that a file gave, on disk, to hold two devices against each other.

    Attributes:
        path: the bytes of an array ``(n, classes)``, as the file gave them.
        samples: which test samples they are of, ascending.
        spec: the output.
        dtype: of the array.
        classes: the number of classes.
    """

    path: Path
    samples: Indices
    spec: TensorSpec
    dtype: np.dtype[Any]
    classes: int

    def rows(self, samples: Indices) -> NDArray[Any]:
        """Return the scores ``(m, classes)`` of some of the samples, which must be among them."""
        shape = (len(self.samples), self.classes)
        stored: NDArray[Any] = np.memmap(self.path, self.dtype, "r", shape=shape)
        return np.asarray(stored[np.searchsorted(self.samples, samples)])


@dataclass(frozen=True)
class Scores:
    """What a file reached; ``unknown`` says why a number is missing.

    Attributes:
        accuracy: share of the samples whose top class is the label.
        agreement: share of the samples that get the teacher's top class.
        samples: how many were run.
        of: how many the split holds.
        unknown: number -> why it is missing.
        kept: the answers themselves.
    """

    accuracy: float | None = None
    agreement: float | None = None
    samples: int | None = None
    of: int | None = None
    unknown: dict[str, str] = field(default_factory=dict)
    kept: Kept | None = field(default=None, compare=False)

    @classmethod
    def none(cls, reason: str) -> Scores:
        """Return scores of which nothing is known."""
        return cls(unknown={"accuracy": reason, "agreement": reason})


def why_not(inputs: Sequence[TensorSpec], test: TestSet) -> str | None:
    """Say why the samples cannot be fed to a file; None if they can."""
    if len(inputs) != 1:
        return f"the file takes {len(inputs)} inputs, a sample of the data is one"
    shape = test.sample_shape
    wanted = inputs[0].shape[1:]
    if inputs[0].layout == "nhwc":
        shape = (*shape[1:], shape[0])
    fits = len(wanted) == len(shape) and all(
        w in (None, n) for w, n in zip(wanted, shape, strict=True)
    )
    return None if fits else f"the file takes samples of shape {wanted}, the data has {shape}"


def judge(
    answers: Iterable[tuple[Indices, dict[str, NDArray[Any]]]],
    outputs: Sequence[TensorSpec],
    test: TestSet,
    keep: Path | None = None,
) -> Scores:
    """Score what the agent wrote, piece by piece.

    Args:
        answers: samples ``(n,)`` and ``output_0``, ..., one row a sample; pieces in order.
        outputs: the specs of the outputs, in the same order.
        test: the samples.
        keep: a file to write the class scores to.

    Raises:
        MeasurementError: the answers cannot be read.
    """
    right = same = 0
    seen: list[Indices] = []
    kept: Kept | None = None
    with contextlib.ExitStack() as stack:
        file = None if keep is None else stack.enter_context(keep.open("wb"))
        for samples, found in answers:
            index = _classes(found, outputs, (len(samples), test.classes))
            if index is None:
                return Scores.none(f"the file has no output of shape (N, {test.classes})")
            answer = found[f"output_{index}"]
            logits = decode(answer, outputs[index])
            try:
                # Counts, not shares: pieces differ in size. A share of n is a count, exactly.
                right += round(accuracy(logits, test.targets[samples]) * len(samples))
                if test.teacher is not None:
                    same += round(agreement(logits, test.teacher[samples]) * len(samples))
            except EdgekdError as error:
                return Scores.none(error.message)
            seen.append(samples)
            if file is not None and keep is not None:
                file.write(answer.tobytes())
                chosen = np.concatenate(seen)
                kept = Kept(keep, chosen, outputs[index], answer.dtype, test.classes)
    count = sum(map(len, seen))
    if not count:
        return Scores.none("no test sample was run")
    return Scores(
        accuracy=right / count,
        agreement=None if test.teacher is None else same / count,
        samples=count,
        of=len(test),
        unknown={} if test.no_teacher is None else {"agreement": test.no_teacher},
        kept=kept,
    )


def _classes(
    found: dict[str, NDArray[Any]], outputs: Sequence[TensorSpec], shape: tuple[int, int]
) -> int | None:
    """Return the number of the first output that scores the classes."""
    for index in range(len(outputs)):
        answer = found.get(f"output_{index}")
        if answer is not None and answer.shape == shape:
            return index
    return None
