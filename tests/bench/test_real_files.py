"""Other people's files: all of them can be measured, and what is not known is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekd.bench.settings import Settings
from edgekd.bench.stage import benchmark


@pytest.mark.parametrize(
    ("folder", "pattern", "count"),
    [("mlperf_tiny", "*.tflite", 6), ("ultraface", "*.onnx", 1), ("coral", "*.tflite", 2)],
)
def test_third_party_files(
    data_root: Path, fast: Settings, folder: str, pattern: str, count: int
) -> None:
    found = sorted((data_root / folder).glob(pattern))
    if not found:
        pytest.skip(f"no {data_root / folder}")
    measurements = benchmark(*found, settings=fast)
    assert len(measurements) >= count
    for measured in measurements:
        assert measured.status == "ok", measured.error
        assert measured.latency is not None and measured.latency.p50_ms > 0
        memory = measured.memory
        assert memory is not None and memory.raw_peak_rss_bytes and memory.raw_peak_rss_bytes > 0
        # Less than the null model's noise may be left of a small file; see docs/measuring.md.
        least = 1 if measured.size_bytes and measured.size_bytes > 1_000_000 else 0
        assert memory.peak_rss_bytes >= least
        assert measured.parameters is not None and measured.parameters > 10_000
        assert measured.macs is not None and measured.macs > 100_000
        assert set(measured.unknown) - {"energy"} == {"accuracy", "agreement"}
        assert len(measured.inputs) == 1
