"""Where a series of numbers changes: steps and slow drifts, and whether they are more than chance.

The split at which ranks before and after differ most (Pettitt, A non-parametric approach to the
change-point problem, Applied Statistics 28, 1979), each split standardised so that one near the end
counts as much as one in the middle; and the part in between that differs most from the rest
(Olshen et al., Circular binary segmentation, Biostatistics 5, 2004), which sees what came and went.
Ranks, since latencies have outliers. Whether the largest difference is chance is asked of the same
numbers in random order, in long series with neighbours kept together: checks that follow each
other on one machine resemble each other.

In pure Python: series are short, and the library for it (ruptures) needs SciPy, and 2 ms a split
where 1,000 orders are to be tried.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from operator import mul, sub
from statistics import fmean, median
from typing import Literal

#: Fewer points say nothing: the smallest p that they allow is too large.
LEAST_POINTS = 10

#: From so many points on, a part in the middle that differs is looked for, too.
LEAST_WITHIN = 30

#: Points on each side of a split.
LEAST_SIDE = 3

#: A change is named where chance gives as much in at most this share of series.
LEVEL = 0.01

#: Random orders that are tried.
ORDERS = 999

#: After so many orders that differ as much it is chance, and the rest need not be tried (Besag and
#: Clifford, Sequential Monte Carlo p-values, Biometrika 78, 1991).
_ENOUGH = 10

_ROUNDING = 1e-9


@dataclass(frozen=True)
class Found:
    """One change.

    Attributes:
        index: the first point after the step, or of the drift.
        kind: what it looks like.
        before: the level before.
        after: the level after; of a drift that at its end.
        p: probability of as much by chance.
    """

    index: int
    kind: Literal["step", "drift"]
    before: float
    after: float
    p: float


def find(values: Sequence[float], *, level: float = LEVEL, seed: int = 0) -> list[Found]:
    """Return every change of a series, in order.

    Args:
        values: oldest first.
        level: of the test.
        seed: of the random orders.

    >>> find([5.0, 5.1, 4.9, 5.0, 5.2, 5.1, 4.8, 5.0, 7.1, 6.9, 7.0, 7.2, 7.1, 6.8, 7.0])
    [Found(index=8, kind='step', before=5.0, after=7.0, p=0.001)]
    """
    return sorted(
        _changes(list(values), 0, len(values), level, random.Random(seed)),  # noqa: S311
        key=lambda found: found.index,
    )


def strongest(values: Sequence[float], rng: random.Random) -> tuple[int, float]:
    """Return the place at which a series differs most, and the probability of that by chance.

    Two questions are asked, of which either can find it: does what comes before one place differ
    from what comes after, and, of `LEAST_WITHIN` points or more, does a part in the middle differ
    from the rest. The second sees what came and went, at the cost of power for the first.

    Args:
        values: at least `LEAST_POINTS`.
        rng: for the random orders.

    Returns:
        The index of the first value after the change, and p; of two questions twice the smaller.
    """
    scores = ranks(values)
    n = len(scores)
    # The standard deviation of a sum of k ranks in random order, but for a constant factor.
    weights = [1 / math.sqrt(k * (n - k)) for k in range(1, n)]
    place, p = _split(scores, weights), _chance(scores, weights, _split_difference, rng)
    if n < LEAST_WITHIN:
        return place, p
    if p * 2 > LEVEL:
        within = _chance(scores, weights, _part_difference, rng)
        if within < p:
            place, p = _edge(scores, weights), within
    return place, min(1.0, 2 * p)


def ranks(values: Sequence[float]) -> list[float]:
    """Return ranks with mean 0; equal values share theirs.

    >>> ranks([3.0, 1.0, 3.0])
    [0.5, -1.0, 0.5]
    """
    order = sorted(range(len(values)), key=values.__getitem__)
    found = [0.0] * len(values)
    begin = 0
    while begin < len(order):
        end = begin
        while end < len(order) and values[order[end]] == values[order[begin]]:
            end += 1
        for position in order[begin:end]:
            found[position] = (begin + end - len(order)) / 2
        begin = end
    return found


def _changes(
    values: list[float], begin: int, end: int, level: float, rng: random.Random
) -> list[Found]:
    """Find the largest change between two places, then those on its two sides."""
    part = values[begin:end]
    if len(part) < LEAST_POINTS or min(part) == max(part):
        return []
    split, p = strongest(part, rng)
    if p > level:
        return []
    drift = _drift(part)
    if drift is None:
        step = Found(begin + split, "step", median(part[:split]), median(part[split:]), p)
        left = _changes(values, begin, step.index, level, rng)
        return [*left, step, *_changes(values, step.index, end, level, rng)]
    start, low, high = drift
    found = Found(begin + start, "drift", low, high, p)
    return [*_changes(values, begin, found.index, level, rng), found]


def _drift(values: list[float]) -> tuple[int, float, float] | None:
    """Return where a series begins to drift, and its two ends; None if a step fits better.

    Both have three parameters: a step has its place and two levels, a drift its beginning, the
    level until then and a slope. They are fitted by least squares after a running median of three,
    which takes single outliers away.
    """
    smooth = [median(values[max(0, i - 1) : i + 2]) for i in range(len(values))]
    n = len(smooth)
    splits = range(LEAST_SIDE, n - LEAST_SIDE + 1)
    step = min(_spread(smooth[:k]) + _spread(smooth[k:]) for k in splits)
    fits = [_bent(smooth, start) for start in range(n - LEAST_SIDE)]
    best = min(range(len(fits)), key=lambda start: fits[start][0])
    left, level, slope = fits[best]
    if left >= step:
        return None
    return best, level, level + slope * (n - 1 - best)


def _bent(values: list[float], start: int) -> tuple[float, float, float]:
    """Fit a level until ``start`` and a line from there; return squares, level and slope."""
    times = [float(max(0, i - start)) for i in range(len(values))]
    time, value = fmean(times), fmean(values)
    slope = sum((t - time) * (v - value) for t, v in zip(times, values, strict=True)) / _spread(
        times
    )
    level = value - slope * time
    squares = sum((v - level - slope * t) ** 2 for t, v in zip(times, values, strict=True))
    return squares, level, slope


def _spread(values: list[float]) -> float:
    """Return the sum of squared distances from the mean."""
    mean = fmean(values)
    return sum((value - mean) ** 2 for value in values)


def _chance(
    scores: list[float],
    weights: list[float],
    difference: Callable[[list[float], list[float]], float],
    rng: random.Random,
) -> float:
    """Return the share of random orders that differ as much."""
    most = difference(scores, weights) - _ROUNDING
    block = _block(len(scores))
    as_much = 0
    for tried in range(1, ORDERS + 1):
        if difference(_shuffled(scores, block, rng), weights) >= most:
            as_much += 1
            if as_much == _ENOUGH:
                return as_much / tried
    return (as_much + 1) / (ORDERS + 1)


def _split_difference(scores: list[float], weights: list[float]) -> float:
    """Return how much the two sides of a place differ at most."""
    sums = list(accumulate(scores))[LEAST_SIDE - 1 : len(scores) - LEAST_SIDE]
    standardised: Iterator[float] = map(mul, map(abs, sums), weights[LEAST_SIDE - 1 :])
    return max(standardised)


def _part_difference(scores: list[float], weights: list[float]) -> float:
    """Return how much a part in the middle differs from the rest at most."""
    sums = list(accumulate(scores))[LEAST_SIDE - 1 : len(scores) - LEAST_SIDE]
    most = 0.0
    for length in range(LEAST_SIDE, len(sums)):
        between = list(map(sub, sums[length:], sums))
        most = max(most, max(max(between), -min(between)) * weights[length - 1])
    return most


def _split(scores: list[float], weights: list[float]) -> int:
    """Return the place whose two sides differ most."""
    sums = list(accumulate(scores))
    places = range(LEAST_SIDE, len(scores) - LEAST_SIDE + 1)
    return max(places, key=lambda k: abs(sums[k - 1]) * weights[k - 1])


def _edge(scores: list[float], weights: list[float]) -> int:
    """Return an end of the part in the middle that differs most: that with the larger jump."""
    n = len(scores)
    sums = [0.0, *accumulate(scores)]
    places = range(LEAST_SIDE, n - LEAST_SIDE + 1)
    parts = [(i, j) for i in places for j in range(i + LEAST_SIDE, places.stop)]
    begin, end = max(
        parts, key=lambda part: abs(sums[part[1]] - sums[part[0]]) * weights[part[1] - part[0] - 1]
    )
    inside = fmean(scores[begin:end])
    first = abs(inside - fmean(scores[:begin])) / math.sqrt(1 / begin + 1 / (end - begin))
    second = abs(inside - fmean(scores[end:])) / math.sqrt(1 / (n - end) + 1 / (end - begin))
    return begin if first >= second else end


def _block(n: int) -> int:
    """Return how many neighbours stay together; short series have too few blocks for more."""
    return 1 if n < 30 else 2 if n < 60 else 3


def _shuffled(scores: list[float], block: int, rng: random.Random) -> list[float]:
    """Return scores in another order, blocks of neighbours whole; where blocks begin is random."""
    if block == 1:
        return rng.sample(scores, len(scores))
    first = rng.randrange(1, block + 1)
    blocks = [scores[:first], *(scores[i : i + block] for i in range(first, len(scores), block))]
    rng.shuffle(blocks)
    return [score for one in blocks for score in one]
