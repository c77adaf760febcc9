"""The training benchmark runs, and its committed results have the shape that the page needs.

Nothing here looks at timings: they mean nothing while tests run side by side.
"""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

import pytest

from benchmarks import training
from benchmarks.speed.page import render
from benchmarks.speed.rows import ROWS, Row, judge


def check_shape(result: dict[str, Any]) -> None:
    """Every ratio is the quotient of times that stand beside it."""
    assert (result["kind"], result["version"]) == ("training-speed", 1)
    assert result["packages"]["edgekd"].keys() >= {"torch", "kornia", "numpy"}
    assert result["provenance"]["cpu"] and result["provenance"]["cores"]
    for row in result["rows"]:
        times = result["times"][row["group"]]
        pairs = zip(times[row["over"]], times[row["under"]], strict=True)
        ratios = [over["seconds"] / under["seconds"] for over, under in pairs]
        assert len(ratios) == row["repetitions"]
        assert row["ratio"] == pytest.approx(statistics.median(ratios), rel=2e-3)
        assert row["lowest"] <= row["ratio"] <= row["highest"]
        if row["goal"] is None:
            assert row["met"] is None
            continue
        reached = row["ratio"] - row["goal"]
        assert row["met"] == (reached >= 0 if row["at_least"] else reached <= 0)


def check_memory(memory: dict[str, Any]) -> None:
    small, large = memory["folders"]
    assert large["images"] == 10 * small["images"]
    assert large["decoded_bytes"] == 10 * small["decoded_bytes"]
    peaks = [statistics.median_high(entry["peak_rss_bytes"]) for entry in (small, large)]
    assert memory["ratio"] == pytest.approx(peaks[1] / peaks[0], abs=1e-3)
    assert min(peaks) > 50e6  # PyTorch alone takes more


@pytest.mark.slow
def test_quick_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "training.json"
    arguments = ["--quick", "--only", "loop", "--repetitions", "2", "--threads", "1"]
    training.main([*arguments, "--out", str(out)])
    result = json.loads(out.read_text())
    check_shape(result)
    assert result["memory"] is None
    assert [row["name"] for row in result["rows"]] == ["loop", "loop-memory-kept"]
    assert result["times"].keys() == {"loop"}
    assert result["setting"]["threads"] == 1
    assert all(
        entry["seconds"] > 0 and entry["cpu_seconds"] > 0
        for entries in result["times"]["loop"].values()
        for entry in entries
    )
    assert render(result) in capsys.readouterr().out


@pytest.mark.slow
def test_quick_run_of_cache_and_memory(tmp_path: Path) -> None:
    out = tmp_path / "training.json"
    arguments = ["--quick", "--only", "cache", "--only", "memory", "--threads", "1"]
    training.main([*arguments, "--out", str(out)])
    result = json.loads(out.read_text())
    check_shape(result)
    check_memory(result["memory"])
    assert len(result["rows"]) == 2


def test_a_ratio_is_held_against_its_goal() -> None:
    times = {
        "a": [{"seconds": s, "cpu_seconds": 2 * s} for s in (2.0, 3.0, 9.0)],
        "b": [{"seconds": 2.0, "cpu_seconds": 1.0}] * 3,
    }
    row = Row("x", "g", "a", "b", 1.4, True, "a over b")
    assert judge(row, times)["ratio"] == 1.5  # the median of 1, 1.5 and 4.5
    assert judge(row, times)["cpu_ratio"] == 6.0
    assert judge(row, times)["met"]
    assert not judge(Row("x", "g", "a", "b", 1.4, False, "a over b"), times)["met"]


def test_committed_results_and_their_page() -> None:
    result = json.loads(training.RESULT.read_text())
    check_shape(result)
    check_memory(result["memory"])
    assert [row["name"] for row in result["rows"]] == [row.name for row in ROWS]
    assert all(row["repetitions"] >= 5 for row in result["rows"])
    assert result["steps"] >= 20
    assert result["packages"]["torchdistill"]["torchdistill"] == "1.1.5"
    assert training.PAGE.read_text() == render(result)
