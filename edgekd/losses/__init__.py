"""Losses of distillation: pure functions with thin modules on them.

A loss is one file and one row here. `edgekd.losses.base.Loss` says what it takes and gives.
"""

from __future__ import annotations

from edgekd.registry import Row, Table

LOSSES = Table(
    "loss",
    [
        Row(
            "cross-entropy",
            "edgekd.losses.cross_entropy:CrossEntropy",
            "cross-entropy with the labels; needs no teacher",
            extra="train",
        ),
        Row(
            "kd",
            "edgekd.losses.kd:KD",
            "KL divergence from the teacher at a temperature T, times T^2 (Hinton et al. 2015)",
            extra="train",
        ),
    ],
)
