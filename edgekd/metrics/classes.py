"""Accuracy class by class."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edgekd.metrics.classification import Scores, accuracy


def per_class_accuracy(
    logits: Scores, targets: npt.NDArray[np.integer]
) -> tuple[float | None, ...]:
    """Return for each class the fraction of its samples whose top-1 class it is: its recall.

    Args:
        logits: scores (N, C).
        targets: class indices (N,), from 0 to C - 1.

    Returns:
        C numbers; None for a class without samples.

    Raises:
        DataError: as `edgekd.metrics.classification.accuracy`.

    >>> per_class_accuracy(np.eye(3)[[0, 1, 1]], np.array([0, 0, 1]))
    (0.5, 1.0, None)
    """
    accuracy(logits, targets)  # refuses what does not fit
    right = np.asarray(logits).argmax(axis=1) == targets
    classes = np.asarray(logits).shape[1]
    return tuple(
        float(right[targets == label].mean()) if (targets == label).any() else None
        for label in range(classes)
    )
