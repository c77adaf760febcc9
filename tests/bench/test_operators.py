"""The profiler beside the agent, on real runtimes, and the table of what it found."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from edgekd.bench import agent, operators, profiler
from edgekd.bench.devices import Device
from edgekd.bench.result import Bench
from edgekd.bench.settings import Settings
from edgekd.cli.render_operators import TOP, operator_tables
from edgekd.records import Measurement
from edgekd.records_bench import OperatorTime
from edgekd.transports.base import Completed
from edgekd.transports.fake import FakeTransport
from edgekd.transports.local import LocalTransport
from tests.synthetic_runs import measurement


def here(fast: Settings) -> Bench:
    device = Device(name="here", runtimes=("litert", "onnxruntime"))
    return Bench(device, LocalTransport(), fast)


def test_tflite(fast: Settings, data_root: Path) -> None:
    pytest.importorskip("ai_edge_litert")
    model = data_root / "mlperf_tiny" / "kws_ref_model_int8.tflite"
    bench = here(fast)
    found, reason = operators.profile(bench, model=str(model), kind="tflite", threads=1)
    bench.transport.close()
    assert reason is None
    kinds = [operator.kind for operator in found]
    # The network: one convolution, four depthwise and pointwise pairs, pooling, softmax.
    assert sum("DWConv" in kind for kind in kinds) == 4
    assert "SOFTMAX" in kinds
    assert sum(operator.share for operator in found) == pytest.approx(1.0)
    assert 0 < sum(operator.mean_ms for operator in found) < 100


def test_onnx(fast: Settings, data_root: Path, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    model = data_root / "ultraface" / "version-RFB-320.onnx"
    bench = here(fast)
    found, reason = operators.profile(bench, model=str(model), kind="onnx", threads=1)
    left = list(Path(bench.transport.folder).iterdir())
    bench.transport.close()
    assert reason is None
    graph = onnx.load(str(model)).graph
    convolutions = sum(node.op_type == "Conv" for node in graph.node)
    assert sum(operator.kind.endswith("Conv") for operator in found) == convolutions
    assert all(operator.calls == 1 for operator in found)
    assert not [path for path in left if "trace" in path.name]


def test_the_sample_of_the_run_is_the_input(tmp_path: Path) -> None:
    np.savez(tmp_path / "s.npz", sample_0=np.arange(3, dtype=np.float32))
    specs = [{"name": "x", "shape": [None, 3], "dtype": "float32"}]
    (given,) = profiler.inputs(agent, specs, {"inputs": str(tmp_path / "s.npz")})
    assert given.tolist() == [0.0, 1.0, 2.0]
    (made,) = profiler.inputs(agent, specs, {"seed": 1})
    assert made.shape == (1, 3)


def test_another_version_of_litert_has_a_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Old:
        @staticmethod
        def find_runtime(request: object) -> tuple[str, str, None, dict[str, str]]:
            return "litert", "1.4.0", None, {}

        @staticmethod
        def pin(request: object) -> None:
            return None

    monkeypatch.setattr(profiler, "load_agent", lambda path: Old)
    reply = profiler.handle({"agent": "agent.py", "format": "tflite"})
    found, reason = operators.read(reply)
    assert found == ()
    assert reason is not None
    assert "litert 1.4.0 gives no profile" in reason


@pytest.mark.parametrize(
    ("device", "kind", "completed", "reason"),
    [
        ({"emulated": True}, "tflite", Completed(0), "emulated"),
        ({}, "factory", Completed(0), "TFLite and ONNX"),
        ({}, "onnx", Completed(-11, "noise"), "exit code -11"),
        ({}, "onnx", Completed(-9, timed_out=True), "too long"),
        ({}, "onnx", Completed(0, '{"schema": "edgekd.profile/1"'), "no answer"),
        ({}, "onnx", Completed(3, '{"schema": "edgekd.profile/1", "error": "x"}'), "failed: x"),
    ],
)
def test_no_profile_has_a_reason(
    fast: Settings, device: dict[str, object], kind: str, completed: Completed, reason: str
) -> None:
    profile = Device.model_validate({"name": "d", "runtimes": ("litert",), **device})
    bench = Bench(profile, FakeTransport(lambda argv, files: completed), fast)
    found, why = operators.profile(bench, model="/fake/m", kind=kind, threads=1)
    assert found == ()
    assert why is not None
    assert reason in why


def test_the_profiler_says_what_went_wrong(tmp_path: Path) -> None:
    request = tmp_path / "request.json"
    request.write_text(json.dumps({"agent": str(tmp_path / "none.py")}))
    done = subprocess.run(
        [sys.executable, profiler.__file__, str(request)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == profiler.FAILED
    assert "FileNotFoundError" in json.loads(done.stdout.splitlines()[-1])["error"]


def test_the_profiler_is_valid_in_python_3_9() -> None:
    import ast

    ast.parse(Path(profiler.__file__).read_text(), feature_version=(3, 9))


def drawn(found: Measurement, width: int) -> list[str]:
    console = Console(width=width, force_terminal=False, color_system=None)
    with console.capture() as captured:
        for table in operator_tables([found], width=width):
            console.print(table)
    return captured.get().splitlines()


@pytest.fixture
def profiled() -> Measurement:
    rows = tuple(
        OperatorTime(
            name=f"layer{i}",
            kind="Fully Connected (NC, QS8, QC8W) GEMM",
            calls=1,
            mean_ms=(i + 1) / 10,
            share=(i + 1) / 210,
        )
        for i in range(20)
    )
    return measurement("m", "d", 10, 1.0, 10, None, None, operators=rows)


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_table_fits(profiled: Measurement, width: int) -> None:
    lines = drawn(profiled, width)
    assert max(len(line) for line in lines) <= width
    text = "\n".join(lines)
    assert "20 operators" in text
    rows = [line for line in lines if "Fully" in line]
    assert len(rows) == TOP
    assert rows[0].split()[-1] == "9.5%"  # 20 of 210, the longest first
    assert "layer19" in rows[0]
    (rest,) = [line for line in lines if "the other 5" in line]
    # 0.1 + 0.2 + 0.3 + 0.4 + 0.5 ms, 15 of 210.
    assert rest.split()[-3:] == ["5", "1.50", "7.1%"]
