"""Metrics: one implementation for training, for files and for devices. NumPy and SciPy only."""

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
        Row(
            "cka",
            "edgekd.metrics.similarity:linear_cka",
            "linear centred kernel alignment of two layers: 1 where they hold the same",
            extra="bench",
        ),
        Row(
            "ece",
            "edgekd.metrics.calibration:expected_calibration_error",
            "expected calibration error: how far confidence and accuracy are apart, in 15 bins",
            extra="bench",
        ),
        Row(
            "kl",
            "edgekd.metrics.divergence:mean_kl",
            "mean KL divergence from the teacher's probabilities, in nats",
            extra="bench",
        ),
        Row(
            "nll",
            "edgekd.metrics.divergence:negative_log_likelihood",
            "mean negative log-likelihood of the label, in nats",
            extra="bench",
        ),
        Row(
            "per-class-accuracy",
            "edgekd.metrics.classes:per_class_accuracy",
            "accuracy of each class by itself",
            extra="bench",
        ),
    ],
)
