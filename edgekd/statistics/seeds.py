"""Two ways of training over the same seeds: would they differ if they were trained again?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import ttest_rel, wilcoxon

from edgekd.errors import DataError

#: With fewer pairs Wilcoxon's test cannot reach p < 0.05 whatever they are: 2 / 2**5 = 0.0625.
LEAST_FOR_WILCOXON = 6


@dataclass(frozen=True)
class SeedTests:
    """Differences over seeds.

    Attributes:
        n: pairs of runs with one seed.
        difference: mean of first minus second.
        t_p: of the paired t-test, two-sided; None with one pair, or if all differences are equal.
        wilcoxon_p: of Wilcoxon's signed-rank test; None with fewer than `LEAST_FOR_WILCOXON` pairs.
    """

    n: int
    difference: float
    t_p: float | None
    wilcoxon_p: float | None


def compare_seeds(first: Sequence[float], second: Sequence[float]) -> SeedTests:
    """Compare what two ways of training reached, seed by seed.

    The t-test takes the differences for normally distributed; with three seeds it finds large and
    regular differences only. Wilcoxon's test does without that and needs six seeds.

    Args:
        first: one number a seed.
        second: of the same seeds, in the same order.

    Raises:
        DataError: there are none, or not equally many.

    >>> found = compare_seeds([0.95, 0.96, 0.97], [0.94, 0.93, 0.95])
    >>> found.n, round(found.difference, 4), round(found.t_p, 4), found.wilcoxon_p
    (3, 0.02, 0.0742, None)
    """
    if len(first) != len(second) or not first:
        raise DataError(
            f"a test over seeds of {len(first)} and {len(second)} runs",
            hint="Every seed needs both runs.",
        )
    differences = np.subtract(first, second)
    n = len(differences)
    spread = bool(np.ptp(differences) > 1e-12)
    t_p = float(ttest_rel(first, second).pvalue) if n > 1 and spread else None
    enough = n >= LEAST_FOR_WILCOXON and bool(np.any(differences))
    # Equal accuracies differ in the last bit after subtraction; ranks must see them as ties.
    signed = float(wilcoxon(np.round(differences, 12)).pvalue) if enough else None
    return SeedTests(n, float(differences.mean()), t_p, signed)
