"""Metrics of classifiers, from logits or scores (N, C). The first of equal scores is top-1."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edgekd.errors import DataError

Scores = npt.NDArray[np.number]


def accuracy(logits: Scores, targets: npt.NDArray[np.integer]) -> float:
    """Return the fraction of samples whose top-1 class is the target.

    Args:
        logits: scores (N, C); quantized integers will do, the order alone counts.
        targets: class indices (N,), from 0 to C - 1.

    Raises:
        DataError: no samples, shapes that do not fit, labels out of range, or NaN.

    >>> accuracy(np.array([[0.1, 0.9], [0.8, 0.2], [0.3, 0.7]]), np.array([1, 1, 1]))
    0.6666666666666666
    """
    logits, targets = np.asarray(logits), np.asarray(targets)
    top = _top1(logits, "logits")
    if targets.shape != top.shape:
        raise DataError(
            f"accuracy: logits {logits.shape} and targets {targets.shape} do not fit",
            hint="Give scores (N, C) and class indices (N,).",
        )
    if targets.dtype.kind not in "iu":
        raise DataError(
            f"accuracy: targets are {targets.dtype}", hint="Give class indices, whole numbers."
        )
    if targets.min() < 0 or targets.max() >= logits.shape[1]:
        raise DataError(
            f"accuracy: targets from {targets.min()} to {targets.max()} "
            f"for {logits.shape[1]} classes",
            hint="Does the model have as many outputs as the data has classes?",
        )
    return float((top == targets).mean())


def agreement(a: Scores, b: Scores) -> float:
    """Return the fraction of samples that two models give the same top-1 class.

    Args:
        a: scores (N, C) of one model.
        b: scores (N, C) of the other one, for the same samples in the same order.

    Raises:
        DataError: no samples, shapes that do not fit, or NaN.

    >>> agreement(np.array([[0.1, 0.9], [0.8, 0.2]]), np.array([[0.4, 0.6], [0.3, 0.7]]))
    0.5
    """
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape:
        raise DataError(
            f"agreement: scores {a.shape} and {b.shape} do not fit",
            hint="Both models must see the same samples and have the same classes.",
        )
    return float((_top1(a, "a") == _top1(b, "b")).mean())


def _top1(scores: Scores, name: str) -> npt.NDArray[np.intp]:
    if scores.ndim != 2 or 0 in scores.shape:
        raise DataError(
            f"{name} has the shape {scores.shape}",
            hint="Give scores (N, C) of at least one sample and one class.",
        )
    if scores.dtype.kind == "f" and np.isnan(scores).any():
        first = int(np.flatnonzero(np.isnan(scores).any(axis=1))[0])
        raise DataError(
            f"{name} of sample {first} is NaN",
            hint="NaN has no largest value: the model or its input is broken.",
        )
    top: npt.NDArray[np.intp] = scores.argmax(axis=1)
    return top
