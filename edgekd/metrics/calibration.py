"""Does a model know how sure it may be? Calibration error, and the temperature that mends it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar

from edgekd.metrics.classification import Scores
from edgekd.metrics.divergence import negative_log_likelihood
from edgekd.metrics.probabilities import confidences

#: Bins of the calibration error, of equal width.
BINS = 15

#: Between which temperatures the best one is looked for.
LIMITS = (0.05, 20.0)


@dataclass(frozen=True)
class Bin:
    """The samples whose confidence is above ``low`` and at most ``high``.

    Attributes:
        low: lower end.
        high: upper end.
        samples: how many.
        confidence: their mean; None without samples.
        accuracy: how many of them the model gets right; None without samples.
    """

    low: float
    high: float
    samples: int
    confidence: float | None
    accuracy: float | None


def reliability(
    logits: Scores,
    targets: npt.NDArray[np.integer],
    *,
    temperature: float = 1.0,
    bins: int = BINS,
) -> tuple[Bin, ...]:
    """Sort samples into bins of equal width by the confidence of the top-1 class.

    Args:
        logits: (N, C).
        targets: class indices (N,).
        temperature: logits are divided by it.
        bins: how many.

    Raises:
        DataError: shapes that do not fit, or logits that are not finite.
    """
    sure = confidences(logits, temperature)
    right = np.asarray(logits).argmax(axis=1) == np.asarray(targets)
    edges = np.linspace(0.0, 1.0, bins + 1)
    # A confidence on an edge belongs to the bin below it, as in Guo et al.
    place = np.clip(np.searchsorted(edges, sure, side="left") - 1, 0, bins - 1)
    found = []
    for index in range(bins):
        here = place == index
        count = int(here.sum())
        found.append(
            Bin(
                low=float(edges[index]),
                high=float(edges[index + 1]),
                samples=count,
                confidence=min(1.0, float(sure[here].mean())) if count else None,
                accuracy=float(right[here].mean()) if count else None,
            )
        )
    return tuple(found)


def expected_calibration_error(
    logits: Scores,
    targets: npt.NDArray[np.integer],
    *,
    temperature: float = 1.0,
    bins: int = BINS,
) -> float:
    """Return the expected calibration error (ECE), a fraction.

    The mean over all samples of how far confidence and accuracy of their bin are apart (Guo,
    Pleiss, Sun and Weinberger, On Calibration of Modern Neural Networks, ICML 2017, equation 3).
    It depends on the number of bins, and is never quite 0 for a finite number of samples.

    Args:
        logits: (N, C).
        targets: class indices (N,).
        temperature: logits are divided by it.
        bins: of equal width.

    Raises:
        DataError: shapes that do not fit, or logits that are not finite.

    Example (confidence 0.8 twice, one of the two right: |0.8 - 0.5|):
        >>> logits = np.log(np.array([[0.8, 0.2], [0.8, 0.2]]))
        >>> round(expected_calibration_error(logits, np.array([0, 1])), 6)
        0.3
    """
    return ece_of(reliability(logits, targets, temperature=temperature, bins=bins))


def ece_of(bins: tuple[Bin, ...]) -> float:
    """Return the expected calibration error of samples that are in bins already."""
    total = sum(found.samples for found in bins)
    gaps = sum(
        found.samples * abs(found.confidence - found.accuracy)
        for found in bins
        if found.confidence is not None and found.accuracy is not None
    )
    return gaps / total


def fit_temperature(logits: Scores, targets: npt.NDArray[np.integer]) -> float:
    """Return the temperature that makes the labels likeliest: temperature scaling.

    One number, found by minimising the negative log-likelihood (Guo et al., section 4.2). Fit it on
    samples that are not those it is judged by; no top-1 class changes.

    Args:
        logits: (N, C), of the validation split.
        targets: class indices (N,).

    Returns:
        A temperature within `LIMITS`; at the lower one where every label is top-1, so that no
        temperature is small enough.

    Raises:
        DataError: shapes that do not fit, or logits that are not finite.
    """
    loss = partial(negative_log_likelihood, logits, targets)
    if loss(1.0) >= 0.0 and bool((np.asarray(logits).argmax(axis=1) == targets).all()):
        return LIMITS[0]
    found = minimize_scalar(
        lambda exponent: loss(float(np.exp(exponent))),
        bounds=(float(np.log(LIMITS[0])), float(np.log(LIMITS[1]))),
        method="bounded",
        options={"xatol": 1e-5},
    )
    return float(np.exp(found.x))


def at_limit(temperature: float) -> bool:
    """Say whether a temperature that was fitted lies at an end of what was looked through."""
    return any(abs(np.log(temperature / limit)) < 1e-3 for limit in LIMITS)
