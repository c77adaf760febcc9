"""How one number went from check to check, and where it changed."""

from __future__ import annotations

from typing import Literal

from edgekd.recordbase import Record


class Point(Record):
    """One number at one check.

    ``time`` is when it was measured, or checked where nothing had to be measured; UTC. ``commit``
    is the one that it was measured at. ``limit`` and ``status`` are those of the check, None
    where no limit held. ``ratio``, ``low`` and ``high`` are the paired comparison with the
    baseline, where there was one. ``runtime`` has its version in it, ``machine`` is the processor.
    """

    time: str
    value: float
    commit: str | None = None
    branch: str | None = None
    run: str | None = None
    limit: float | None = None
    status: str | None = None
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    model_sha256: str | None = None
    runtime: str | None = None
    threads: int | None = None
    machine: str | None = None


class Change(Record):
    """A place from which on a number is another one, or goes away from what it was.

    ``kind`` is ``step``, or ``drift`` where it goes on and on. ``index`` is the first point after
    it, with its ``time`` and ``commit``; ``commit_before`` that of the point before. ``before`` and
    ``after`` are medians of the points on the two sides; of a drift, what a line through the points
    has at its two ends. ``p`` is the probability of as much by chance; None where the number is
    exact. ``worse`` says whether it went the wrong way, ``also`` what else became different there.
    """

    kind: Literal["step", "drift"]
    index: int
    time: str
    commit: str | None = None
    commit_before: str | None = None
    before: float
    after: float
    p: float | None = None
    worse: bool
    also: tuple[str, ...] = ()


class Trend(Record):
    """One number of one file on one device, oldest point first.

    ``device`` is None for what no device decides. ``left_out`` counts the points of other
    processors than the newest one's: times cannot be compared with theirs.
    """

    artifact: str
    device: str | None = None
    metric: str
    points: tuple[Point, ...] = ()
    changes: tuple[Change, ...] = ()
    left_out: int = 0
