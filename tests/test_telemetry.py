"""No telemetry, neither ours nor that of the packages underneath."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from edgekd.bench import agent
from edgekd.telemetry import VARIABLES, switch_off


@pytest.fixture
def model(tmp_path: Path) -> Path:
    def value(name: str) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, [1])

    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])], "g", [value("x")], [value("y")]
    )
    path = tmp_path / "model.onnx"
    onnx.save(
        helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 18)]), path
    )
    return path


def files_written(home: Path, code: str, *arguments: str) -> list[str]:
    """Run Python with an empty home and nothing that says it is a test; return what it leaves."""
    home.mkdir()
    hidden = {"CI", "GITHUB_ACTIONS", "ORT_RUNNING_UNIT_TESTS", *VARIABLES}
    environment = {k: v for k, v in os.environ.items() if k not in hidden and "PYTEST" not in k}
    environment |= {"HOME": str(home), "XDG_CACHE_HOME": str(home / ".cache")}
    subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=environment,
        check=True,
        capture_output=True,
        timeout=120,
    )
    return sorted(path.name for path in home.rglob("*") if path.is_file())


SESSION = "import sys, onnxruntime; onnxruntime.InferenceSession(sys.argv[1])"


def test_onnxruntime_leaves_nothing_behind_once_edgekd_is_imported(
    model: Path, tmp_path: Path
) -> None:
    bare = files_written(tmp_path / "bare", SESSION, str(model))
    if not bare:
        pytest.skip("this onnxruntime has no telemetry: there is nothing to switch off")
    assert files_written(tmp_path / "ours", f"import edgekd; {SESSION}", str(model)) == []


def test_the_agent_switches_it_off_by_itself(model: Path, tmp_path: Path) -> None:
    """It runs on devices that have no edgekd."""
    folder = str(Path(agent.__file__).parent)
    code = f"import sys; sys.path.insert(0, {folder!r}); import agent; {SESSION}"
    assert files_written(tmp_path / "device", code, str(model)) == []


def test_a_choice_that_was_made_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORT_DISABLE_TELEMETRY", "0")
    monkeypatch.delenv("HF_HUB_DISABLE_TELEMETRY", raising=False)
    switch_off()
    assert os.environ["ORT_DISABLE_TELEMETRY"] == "0"
    assert os.environ["HF_HUB_DISABLE_TELEMETRY"] == "1"
