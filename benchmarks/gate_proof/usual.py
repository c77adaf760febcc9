"""The gates that are in use: one measurement now against one that was stored.

A stored mean, median or 90th percentile with a tolerance, and the Mann-Whitney test of the raw
latencies (one-sided, p < 0.05).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgekd.bench.stage import benchmark

#: Figure -> field of `edgekd.records.Latency`.
FIGURES = {"mean": "mean_ms", "p50": "p50_ms", "p90": "p90_ms"}
TOLERANCES = (0.03, 0.05, 0.10)
P = 0.05


def measured(path: Path) -> dict[str, Any]:
    """Measure a file alone in a fresh process, as ``edgekd benchmark`` does."""
    record = benchmark(path, devices=["cpu"])[0]
    if record.latency is None:
        raise SystemExit(f"{path} could not be measured: {record.error}")
    figures = {name: getattr(record.latency, field) for name, field in FIGURES.items()}
    return {**figures, "raw": list(record.latency.raw_ms)}


def judged(now: dict[str, Any], stored: dict[str, Any]) -> dict[str, float]:
    """Return the ratio of each figure, and the p of the test that the file is slower."""
    from scipy.stats import mannwhitneyu

    test = mannwhitneyu(now["raw"], stored["raw"], alternative="greater")
    return {**{name: now[name] / stored[name] for name in FIGURES}, "p": float(test.pvalue)}


def alarms(found: dict[str, float]) -> dict[str, bool]:
    """Return which gates say that it is slower, by name.

    >>> alarms({"mean": 1.04, "p50": 1.01, "p90": 1.2, "p": 0.3})["stored mean, 3%"]
    True
    """
    said = {
        f"stored {name}, {tolerance:.0%}": found[name] > 1 + tolerance
        for tolerance in TOLERANCES
        for name in FIGURES
    }
    return {**said, "Mann-Whitney, p < 0.05": found["p"] < P}
