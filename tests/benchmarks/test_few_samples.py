"""The study of few samples runs; its committed results are what its page says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import few_samples
from edgekd.statistics.seeds import compare_seeds


def test_a_short_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEKD_RUNS", str(tmp_path / "runs"))
    out = tmp_path / "few.json"
    short = ["train.epochs=2", "teacher.0.train.epochs=4", "train.doctor=off"]
    few_samples.main(
        ["--seeds", "2", "--out", str(out), *(part for item in short for part in ("--set", item))]
    )
    result = json.loads(out.read_text())
    assert result["splits"]["train"] == 300
    assert len(result["students"]) == len(result["twins"]) == 2
    assert result["tests"]["n"] == 2


@pytest.mark.skipif(not few_samples.RESULT.exists(), reason="the study was not run yet")
def test_the_committed_result() -> None:
    """With 300 samples the student does better with its teacher, and not by chance."""
    result = json.loads(few_samples.RESULT.read_text())
    assert result["overrides"] == [] and len(result["students"]) == few_samples.SEEDS
    tests = compare_seeds(result["students"], result["twins"])
    assert tests.t_p is not None and tests.t_p == pytest.approx(result["tests"]["t_p"])
    assert tests.difference > 0 and tests.t_p < 0.05
