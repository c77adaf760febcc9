"""From logits (N, C) to probabilities, computed stably in float64."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import log_softmax

from edgekd.errors import DataError
from edgekd.metrics.classification import Scores

Floats = npt.NDArray[np.float64]


def log_probabilities(logits: Scores, temperature: float = 1.0) -> Floats:
    """Return the logarithms of softmax(logits / temperature), (N, C).

    Args:
        logits: (N, C).
        temperature: above 1 softens, below 1 sharpens.

    Raises:
        DataError: no samples, not two axes, or a value that is not finite.
    """
    values = np.asarray(logits, dtype=np.float64)
    if values.ndim != 2 or 0 in values.shape:
        raise DataError(
            f"logits have the shape {values.shape}",
            hint="Give logits (N, C) of at least one sample and one class.",
        )
    if not np.isfinite(values).all():
        raise DataError(
            f"logits of sample {int(np.flatnonzero(~np.isfinite(values).all(axis=1))[0])} are NaN "
            "or infinite",
            hint="They have no probabilities: the model or its input is broken.",
        )
    found: Floats = log_softmax(values / temperature, axis=1)
    return found


def confidences(logits: Scores, temperature: float = 1.0) -> Floats:
    """Return the probability of each sample's top-1 class, (N,)."""
    top: Floats = np.exp(log_probabilities(logits, temperature).max(axis=1))
    return top


def looks_like_probabilities(outputs: Scores, tolerance: float = 0.02) -> bool:
    """Say whether every row is a distribution: nothing negative, and the sum is 1.

    Args:
        outputs: (N, C).
        tolerance: of the sum; 8-bit probabilities of 10 classes are off by up to 10 / 512.
    """
    values = np.asarray(outputs, dtype=np.float64)
    if not len(values) or values.min() < 0.0:
        return False
    return bool((abs(values.sum(axis=1) - 1.0) <= tolerance).all())


def logits_of(probabilities: Scores, least: float = 6e-5) -> Floats:
    """Return logarithms of probabilities, which are logits, as every softmax undoes them.

    Args:
        probabilities: (N, C).
        least: what 0 is taken for: about float16's smallest normal number.
    """
    found: Floats = np.log(np.maximum(np.asarray(probabilities, dtype=np.float64), least))
    return found
