"""Learning-rate schedules: pure functions of the progress, so that a resume needs no state."""

from __future__ import annotations

import math


def constant(progress: float) -> float:
    """Return 1: the peak all along."""
    return 1.0


def cosine(progress: float) -> float:
    """Return half a cosine from 1 to 0 (Loshchilov & Hutter, https://arxiv.org/abs/1608.03983).

    Args:
        progress: fraction of all steps done, from 0 to 1.

    >>> cosine(0.0), round(cosine(0.5), 6), cosine(1.0)
    (1.0, 0.5, 0.0)
    """
    return 0.5 * (1.0 + math.cos(math.pi * progress))


def one_cycle(progress: float) -> float:
    """Return a factor that climbs from 1/25 to 1 in 30% of the steps, then falls to 1e-4 / 25.

    Both ways along half a cosine, the proportions of Smith & Topin
    (https://arxiv.org/abs/1708.07120) as PyTorch has them.

    >>> round(one_cycle(0.0), 6), one_cycle(0.3), round(one_cycle(1.0), 8)
    (0.04, 1.0, 4e-06)
    """
    low, end, top_at = 1 / 25, 1e-4 / 25, 0.3
    if progress < top_at:
        return low + (1.0 - low) * (1.0 - cosine(progress / top_at))
    return end + (1.0 - end) * cosine((progress - top_at) / (1.0 - top_at))


def with_warmup(factor: float, progress: float, warmup: float) -> float:
    """Scale a factor by a linear climb from 0 to 1 over the first ``warmup`` of all steps."""
    return factor if progress >= warmup else factor * progress / warmup
