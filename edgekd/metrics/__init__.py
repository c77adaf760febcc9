"""Metrics: one implementation for training, for files and for devices. NumPy only."""

from __future__ import annotations

from edgekd.registry import Row, Table

METRICS = Table(
    "metric",
    [
        Row(
            "accuracy",
            "edgekd.metrics.classification:accuracy",
            "fraction of samples whose top-1 class is the target",
            extra="bench",
        ),
        Row(
            "agreement",
            "edgekd.metrics.classification:agreement",
            "fraction of samples that two models give the same top-1 class",
            extra="bench",
        ),
    ],
)
