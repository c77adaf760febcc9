"""The proof of the gate: its slower files are slower by real operators, its tables say what was."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import gate
from benchmarks.gate_proof import models, page
from benchmarks.gate_proof.slower import slow_down
from benchmarks.gate_proof.trials import Checkpoint, Trial, attempt, plan
from edgekd.bench import agent
from edgekd.runtimes.files import identify
from tests.bench import files


def answers(path: Path) -> list[np.ndarray]:
    kind = identify(path)
    _, _, loader, _ = agent.find_runtime({"format": kind})
    session: Any = {"tflite": agent.LiteRT, "onnx": agent.OnnxRuntime}[kind](loader, str(path), 1)
    run = session.feed(agent.random_inputs(session.inputs, 0))
    return [np.asarray(output) for output in session.fetch(run())]


@pytest.mark.parametrize("name", ["resnet8-int8.tflite", "resnet8-fp32.tflite"])
def test_a_slower_tflite_file_answers_the_same(data_root: Path, tmp_path: Path, name: str) -> None:
    source = data_root / models.FILES[name]
    before = answers(source)
    after = answers(slow_down(source, tmp_path / "slower.tflite", 8))
    assert len(after) == len(before) + 1
    np.testing.assert_array_equal(after[0], before[0])
    # 3,072 numbers of the input as 12 rows, eight times over, times 8 columns.
    assert after[1].shape == (96, 8) and np.abs(after[1]).max() > 0
    same = answers(slow_down(source, tmp_path / "same.tflite", 0))
    np.testing.assert_array_equal(same[0], before[0])


def test_a_slower_onnx_file_answers_the_same(tmp_path: Path) -> None:
    source = files.linear_onnx(tmp_path / "linear.onnx", batch=1)
    before, after = answers(source), answers(slow_down(source, tmp_path / "slower.onnx", 8))
    np.testing.assert_array_equal(after[0], before[0])
    assert after[1].shape == (96, 8)


def test_the_plan() -> None:
    found = plan(["a", "b"], (3, 2), (2, 1))
    assert [len(found[name]) for name in page.CONDITIONS] == [2 * (3 + 2 + 2), 2 * (2 + 1 + 1)]
    assert len({trial.key for trials in found.values() for trial in trials}) == 22
    assert found == plan(["a", "b"], (3, 2), (2, 1)), "started again, it goes on in the same order"


def test_the_checkpoint_survives_an_interruption(tmp_path: Path) -> None:
    path, trial = tmp_path / "trials.jsonl", Trial("a", 0.05, "quiet", 3)
    Checkpoint(path).add(trial, tried(model="a", slower=0.05, number=3))
    with path.open("a") as file:
        file.write('{"model": "a", "slo')
    assert list(Checkpoint(path).done) == [trial.key]


def tried(**changes: Any) -> dict[str, Any]:
    found = {
        "model": "a",
        "slower": 0.0,
        "condition": "quiet",
        "number": 0,
        "status": "pass",
        "seconds": 2.0,
        "duels": [{"ratio": 1.0, "low": 0.99, "high": 1.01, "pairs": 300}],
        "usual": {"mean": 1.04, "p50": 1.0, "p90": 1.2, "p": 0.001},
    }
    return {**found, **changes}


def test_what_the_tables_count() -> None:
    trials = [tried(status=status) for status in ("pass", "pass", "inconclusive", "fail")]
    trials += [tried(slower=0.05, status=status) for status in ("fail", "inconclusive")]
    trials += [tried(slower=0.10, status="fail", usual={"mean": 1, "p50": 1, "p90": 1, "p": 0.5})]
    found = page.rates(trials)
    assert found[page.OURS] == {
        (0.0, "quiet"): (1, 4),
        (0.05, "quiet"): (1, 2),  # inconclusive is not found
        (0.10, "quiet"): (1, 1),
    }
    assert found["stored mean, 3%"][0.0, "quiet"] == (4, 4)
    assert found["stored mean, 5%"][0.0, "quiet"] == (0, 4)
    assert found["Mann-Whitney, p < 0.05"][0.10, "quiet"] == (0, 1)
    assert page.met(trials) == {"0.00 quiet": False, "0.05 quiet": False, "0.10 quiet": True}


@pytest.mark.slow
def test_one_trial(tmp_path: Path) -> None:
    base = files.linear_onnx(tmp_path / "base.onnx", batch=1)
    entrant = models.Entrant("a", base, {0.05: base}, {0.05: 1.05})
    stored = [{"mean": 1.0, "p50": 1e-9, "p90": 1e9, "raw": [1e-9, 1e9]}]
    found = attempt(Trial("a", 0.05, "quiet", 0), entrant, stored)
    assert found["status"] in ("pass", "fail", "inconclusive") and found["seconds"] > 0
    assert found["duels"][0]["low"] <= found["duels"][0]["ratio"] <= found["duels"][0]["high"]
    assert found["usual"]["p50"] > 1 > found["usual"]["p90"]


@pytest.mark.skipif(not gate.RESULT.exists(), reason="the proof was not run in full yet")
def test_the_committed_result() -> None:
    result = json.loads(gate.RESULT.read_text())
    assert len(result["models"]) >= 4
    assert {Path(name).suffix for name in result["models"]} == {".tflite", ".onnx"}
    assert result["met"] == page.met(result["trials"]) and all(result["met"].values())
    assert page.render(result) in gate.PAGE.read_text()
