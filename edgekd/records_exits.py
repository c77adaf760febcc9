"""The record of early exits: ``runs/ID/exits/NAME.json``.

Accuracies and shares are fractions, latencies milliseconds by device, ``macs`` multiply-accumulates
of one sample.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from edgekd.recordbase import Fraction, Record, Versioned
from edgekd.records import Provenance


class ExitFile(Record):
    """One file, and what it does with all samples.

    ``exit`` counts from 1; the network's own end is the last. ``latency_ms`` is the median of one
    inference of this file alone, by device.
    """

    artifact: str
    exit: int = Field(ge=1)
    accuracy: Fraction
    macs: int | None = None
    latency_ms: dict[str, float] = {}


class ExitPoint(Record):
    """What a threshold does: a sample leaves at the first exit that is at least so confident.

    ``shares`` are the fractions of samples that leave at each exit. ``macs`` and ``latency_ms`` are
    means over the samples of the sums over all files that ran for them.
    """

    threshold: float = Field(ge=0)
    accuracy: Fraction
    shares: tuple[Fraction, ...]
    macs: float | None = None
    latency_ms: dict[str, float] = {}


class ExitCurve(Versioned):
    """Accuracy against cost over thresholds, of the exits of one network in one format.

    ``segments``: the files go on from one another; otherwise each begins with the sample and the
    common part is computed again. ``whole`` is the network without early exits, where exported.
    """

    kind: Literal["exits"] = "exits"
    name: str
    run: str
    split: str
    samples: int
    segments: bool
    files: tuple[ExitFile, ...]
    points: tuple[ExitPoint, ...]
    whole: ExitFile | None = None
    parents: dict[str, str] = {}
    provenance: Provenance
