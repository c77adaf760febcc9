"""What fake quantization promises, held against the TFLite file itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.qat import CASES, measure


@pytest.mark.slow
def test_badly_scaled_channels_are_learned_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Post-training int8 loses the network; trained by its float self, the file has it again."""
    pytest.importorskip("litert_torch")
    monkeypatch.setenv("EDGEKD_RUNS", str(tmp_path / "runs"))
    found = measure(tmp_path, CASES)
    reached = {name: case["file"] for name, case in found.items()}
    float32 = found["post-training"]["float32"]
    assert float32 > 0.95
    assert reached["post-training"] < 0.5
    assert reached["trained, equalized first"] > 0.95 * float32
    assert reached["trained"] > 0.95 * float32  # the training has to find it all by itself
    # The file computes what the training scored.
    for name in ("trained", "trained, equalized first"):
        assert abs(found[name]["simulated"] - reached[name]) < 0.01
