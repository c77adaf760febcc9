"""How far a model's probabilities are from the labels and from another model's."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edgekd.errors import DataError
from edgekd.metrics.classification import Scores
from edgekd.metrics.probabilities import log_probabilities


def mean_kl(teacher: Scores, student: Scores) -> float:
    r"""Return the mean Kullback-Leibler divergence of the student from the teacher, in nats.

    .. math:: \frac{1}{N} \sum_i \sum_c p_{ic} (\log p_{ic} - \log q_{ic})

    with p of the teacher and q of the student, both at temperature 1. 0: the same probabilities.

    Args:
        teacher: logits (N, C).
        student: logits (N, C) for the same samples in the same order.

    Raises:
        DataError: shapes that do not fit, or logits that are not finite.

    Example (p = (1/2, 1/2), q = (1/4, 3/4): 1/2 log 2 + 1/2 log 2/3 = 0.143841):
        >>> round(mean_kl(np.array([[0.0, 0.0]]), np.log(np.array([[0.25, 0.75]]))), 6)
        0.143841
    """
    p, q = log_probabilities(teacher), log_probabilities(student)
    if p.shape != q.shape:
        raise DataError(
            f"divergence: logits {p.shape} and {q.shape} do not fit",
            hint="Both models must see the same samples and have the same classes.",
        )
    # Rounding can give a sum just below 0.
    return max(0.0, float((np.exp(p) * (p - q)).sum(axis=1).mean()))


def negative_log_likelihood(
    logits: Scores, targets: npt.NDArray[np.integer], temperature: float = 1.0
) -> float:
    """Return the mean of -log p(label), in nats: what cross-entropy minimises.

    Args:
        logits: (N, C).
        targets: class indices (N,).
        temperature: logits are divided by it.

    Raises:
        DataError: shapes that do not fit, labels out of range, or logits that are not finite.
    """
    logs = log_probabilities(logits, temperature)
    targets = np.asarray(targets)
    fits = targets.shape == logs.shape[:1]
    if not fits or targets.min() < 0 or targets.max() >= logs.shape[1]:
        raise DataError(
            f"logits {logs.shape} and targets {targets.shape} do not fit",
            hint="Give logits (N, C) and class indices (N,) from 0 to C - 1.",
        )
    return float(-logs[np.arange(len(targets)), targets].mean())
