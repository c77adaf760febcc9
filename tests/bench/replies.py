"""Answers of the agent, for tests that need no agent."""

from __future__ import annotations

from typing import Any

SHA = "0" * 64


def good(**changes: Any) -> dict[str, Any]:
    """Return what the agent says of a file that was measured."""
    return {
        "schema": "edgekd.run/1",
        "model_sha256": SHA,
        "runtime": "litert",
        "version": "2.3.0",
        "skipped": {},
        "cores": [0],
        "environment": {"before": {"cores": 4, "load": [0.1, 0.1, 0.1]}, "after": {}},
        "memory": {
            "method": "reset",
            "before_reset": {"rss": 30_000_000, "anonymous": 9_000_000, "peak": 40_000_000},
            "imported": {"rss": 30_000_000, "anonymous": 9_000_000, "peak": 30_000_000},
            "loaded": {"rss": 31_000_000, "anonymous": 9_200_000, "peak": 31_000_000},
            "ran": {"rss": 32_000_000, "anonymous": 9_500_000, "peak": 33_000_000},
        },
        "inputs": [{"name": "x", "shape": [None, 4], "dtype": "float32"}],
        "outputs": [{"name": "y", "shape": [None, 4], "dtype": "float32"}],
        "latency": timed([1.0, 1.1, 1.2]),
        "python": "3.11.2",
        "machine": "x86_64",
        **changes,
    }


def timed(raw_ms: list[float]) -> dict[str, Any]:
    """Return a latency."""
    return {
        "raw_ms": raw_ms,
        "n": len(raw_ms),
        "min_ms": min(raw_ms),
        "p50_ms": raw_ms[len(raw_ms) // 2],
        "p90_ms": max(raw_ms),
        "p99_ms": max(raw_ms),
        "mean_ms": sum(raw_ms) / len(raw_ms),
        "every": 1,
        "warmup_runs": 10,
        "load_ms": 3.0,
        "first_ms": 2.0,
    }
