"""Two models on the same samples: McNemar's test, and a bootstrap interval of the difference.

Both look at the samples where one model is right and the other is wrong; samples that both get
right, or both wrong, say nothing about which is better. Both take the two networks as they are:
what another training run would give is asked by `edgekd.statistics.seeds`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import binom

from edgekd.errors import DataError

#: Resamples of the bootstrap: enough for a 95% interval to repeat to about a hundredth of itself.
RESAMPLES = 9999

#: What intervals cover.
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Paired:
    """Two models, a and b, on the same samples.

    Attributes:
        n: samples.
        both: both are right.
        only_a: a is right and b is wrong.
        only_b: b is right and a is wrong.
        neither: both are wrong.
        difference: accuracy of a minus accuracy of b.
        low: lower end of the bootstrap interval of the difference.
        high: its upper end.
        exact_p: of McNemar's exact conditional test, two-sided.
        midp_p: of its mid-p version.
    """

    n: int
    both: int
    only_a: int
    only_b: int
    neither: int
    difference: float
    low: float
    high: float
    exact_p: float
    midp_p: float


def compare(
    right_a: npt.ArrayLike, right_b: npt.ArrayLike, *, seed: int = 0, resamples: int = RESAMPLES
) -> Paired:
    """Compare two models on the same samples.

    Args:
        right_a: which samples the one gets right, booleans (N,).
        right_b: likewise of the other, in the same order.
        seed: of the bootstrap.
        resamples: of the bootstrap.

    Raises:
        DataError: there are no samples, or not equally many.

    >>> found = compare([True, True, True, False], [True, False, False, False])
    >>> found.only_a, found.only_b, found.difference, found.exact_p
    (2, 0, 0.5, 0.5)
    """
    a, b = np.asarray(right_a, dtype=bool), np.asarray(right_b, dtype=bool)
    if a.ndim != 1 or a.shape != b.shape or not len(a):
        raise DataError(
            f"a paired test of {a.shape} and {b.shape} samples",
            hint="Both models must have answered the same samples, at least one.",
        )
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    low, high = bootstrap_interval(only_a, only_b, len(a), seed=seed, resamples=resamples)
    exact_p, midp_p = mcnemar(only_a, only_b)
    return Paired(
        n=len(a),
        both=int((a & b).sum()),
        only_a=only_a,
        only_b=only_b,
        neither=int((~a & ~b).sum()),
        difference=(only_a - only_b) / len(a),
        low=low,
        high=high,
        exact_p=exact_p,
        midp_p=midp_p,
    )


def mcnemar(only_a: int, only_b: int) -> tuple[float, float]:
    """Return the two-sided p of McNemar's exact conditional test and of its mid-p version.

    If neither model is better, each sample that only one of them gets right is a fair coin. The
    exact p is the probability of counts at least as uneven as these; it is conservative. The mid-p
    counts the probability of equally uneven ones by half, and keeps its level in practice
    (Fagerland, Lydersen and Laake, The McNemar test for binary matched-pairs data: mid-p and
    asymptotic are better than exact conditional, BMC Medical Research Methodology 13:91, 2013).

    Args:
        only_a: samples that only the one model gets right.
        only_b: samples that only the other gets right.

    Example (the table in the paper: 1 and 7):
        >>> [round(p, 4) for p in mcnemar(1, 7)]
        [0.0703, 0.0391]
    """
    total = only_a + only_b
    if not total:
        return 1.0, 1.0
    fewer = min(only_a, only_b)
    point = float(binom.pmf(fewer, total, 0.5))
    if only_a == only_b:
        return 1.0, 1.0 - point / 2
    exact = min(1.0, 2 * float(binom.cdf(fewer, total, 0.5)))
    return exact, exact - point


def bootstrap_interval(
    only_a: int, only_b: int, n: int, *, seed: int = 0, resamples: int = RESAMPLES
) -> tuple[float, float]:
    """Return the percentile interval of the difference of two accuracies over resampled pairs.

    Samples are drawn with replacement, each with the answers of both models. How many of the drawn
    ones only a, or only b, gets right then follows a multinomial distribution, so that the counts
    are drawn rather than the samples (Efron and Tibshirani, An Introduction to the Bootstrap,
    chapter 13, 1993).

    Args:
        only_a: samples that only a gets right.
        only_b: samples that only b gets right.
        n: all samples.
        seed: of the draws.
        resamples: how often n samples are drawn.
    """
    shares = np.array([only_a, only_b, n - only_a - only_b]) / n
    drawn = np.random.default_rng(seed).multinomial(n, shares, size=resamples)
    differences = (drawn[:, 0] - drawn[:, 1]) / n
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(differences, [tail, 1 - tail])
    return float(low), float(high)
