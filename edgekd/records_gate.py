"""What came of a duel: two model files that took turns on one device."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from edgekd.recordbase import Record, Sha256, Versioned
from edgekd.records import Provenance

DuelMode = Literal["one-process", "alternating-processes"]


class Duelist(Record):
    """One file of a duel.

    ``median_ms`` is the latency of one inference; ``raw_ms`` that of every turn, in order, each
    the mean of the duel's ``repeats`` inferences.
    """

    name: str
    path: str
    sha256: Sha256
    runtime: str
    version: str | None = None
    median_ms: float = Field(gt=0)
    raw_ms: tuple[float, ...]


class RatioInterval(Record):
    """The median of the paired ratios, and its interval by the block bootstrap.

    ``level`` is what it covers, ``block`` how many neighbouring pairs were drawn together.
    """

    median: float
    low: float
    high: float
    level: float
    block: int


class Duel(Versioned):
    """Two files that took turns on one device.

    ``ratios`` are latencies of ours over theirs, one a pair, in order; above 1, ours is slower.
    ``ours_first`` says which of the two began each pair, and ``order_effect`` what the median
    ratio of the pairs that ours began is over that of the others. ``repeats`` inferences make a
    timed turn, after ``settling`` that are not timed; both files were loaded ``loads`` times.
    ``repeated`` marks the duel that was to confirm another one. What it means is not in it.
    """

    kind: Literal["duel"] = "duel"
    device: str
    ours: Duelist
    theirs: Duelist
    mode: DuelMode
    threads: int
    pairs: int
    ratios: tuple[float, ...]
    ours_first: tuple[bool, ...]
    interval: RatioInterval
    order_effect: float | None = None
    repeats: int
    settling: int
    loads: int
    seconds: float
    repeated: bool = False
    environment: dict[str, Any] = {}
    warnings: tuple[str, ...] = ()
    provenance: Provenance
