"""How sure a share of samples is."""

from __future__ import annotations

from math import sqrt

#: 97.5% quantile of the normal distribution.
_Z = 1.959963984540054


def wilson(share: float, n: int) -> tuple[float, float]:
    """Return the 95% interval of a share by Wilson's score method, which holds near 0 and 1 too.

    Args:
        share: of the samples, 0 to 1.
        n: the number of samples.

    Source: Wilson, Probable inference, the law of succession, and statistical inference, 1927.

    >>> [round(value, 4) for value in wilson(0.9, 100)]
    [0.8256, 0.9448]
    """
    spread = _Z * _Z / n
    middle = (share + spread / 2) / (1 + spread)
    half = _Z / (1 + spread) * sqrt(share * (1 - share) / n + spread / (4 * n))
    return max(0.0, middle - half), min(1.0, middle + half)
