"""Verdicts and measurements made up for tests of the history."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from edgekd.history.gather import Checked, rows_of
from edgekd.history.place import place
from edgekd.history.store import write
from edgekd.records import Latency, Measurement, Provenance, Verdict
from tests.synthetic_runs import PROVENANCE


def provenance(day: int, commit: str) -> Provenance:
    return PROVENANCE.model_copy(
        update={"created": f"2025-10-{day:02}T10:00:00+00:00", "git_commit": commit}
    )


def measured(
    day: int, ms: float, *, commit: str | None = None, name: str = "tflite-int8", **other: Any
) -> Measurement:
    given: dict[str, Any] = {
        "status": "ok",
        "device": "cpu",
        "artifact": name,
        "path": f"{name}.tflite",
        "model_sha256": "a" * 64,
        "size_bytes": 30_000,
        "runtime": "litert",
        "runtime_version": "2.3.0",
        "threads": 1,
        "accuracy": 0.97,
        "latency": Latency(
            n=100,
            load_ms=1.0,
            first_ms=ms,
            min_ms=ms,
            p50_ms=ms,
            p90_ms=ms,
            p99_ms=ms,
            mean_ms=ms,
            outliers=0,
            warmup_runs=10,
            raw_ms=(),
        ),
        "provenance": provenance(day, commit or f"{day:02}" * 20),
    }
    return Measurement.model_validate(given | other)


def keep(file: Path, found: Iterable[Measurement]) -> None:
    """Add one check a measurement, all in one go."""
    write(place(file), [row for one in found for row in rows_of(Checked(measurements=[one]))])


def verdict(status: str = "pass", **other: Any) -> Verdict:
    given: dict[str, Any] = {
        "artifact": "tflite-int8",
        "device": "cpu",
        "metric": "latency_ms_p50",
        "status": status,
        "value": 1.0,
        "limit": 2.0,
        "message": "",
    }
    return Verdict.model_validate(given | other)
