"""The agent, as a device runs it: a process that gets a request and prints a reply."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekd.bench import agent
from tests.bench import files

SOURCE = Path(agent.__file__)
FAST = {
    "warmup_runs": 3,
    "warmup_seconds": 0.01,
    "min_runs": 20,
    "min_seconds": 0.05,
    "max_seconds": 3.0,
    "max_samples": 1000,
}


def request(model: Path | str, kind: str, **changes: Any) -> dict[str, Any]:
    base = {
        "schema": "edgekd.run/1",
        "model": str(model),
        "format": kind,
        "threads": 1,
        "pin": True,
        "mode": "latency",
        "limits": FAST,
    }
    return {**base, **changes}


def factory(name: str, argument: str = "", **changes: Any) -> dict[str, Any]:
    folder = str(Path(__file__).parent)
    return request(argument, "factory", function=f"factories:{name}", path=[folder], **changes)


def run(
    given: dict[str, Any] | str, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    text = given if isinstance(given, str) else json.dumps(given)
    return subprocess.run(
        [sys.executable, str(SOURCE), "-"],
        input=text,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **(environment or {})},
        check=False,
    )


def reply(given: dict[str, Any], **options: Any) -> dict[str, Any]:
    done = run(given, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert found["schema"] == "edgekd.run/1"
    return found


def refusal(given: dict[str, Any] | str) -> tuple[str, str]:
    done = run(given)
    assert done.returncode == 3, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    return found["stage"], found["error"]


def test_one_file_for_python_3_9_that_imports_nothing_of_edgekd() -> None:
    tree = ast.parse(SOURCE.read_text(), feature_version=(3, 9))
    imported = {
        name.split(".")[0]
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert imported <= {*sys.stdlib_module_names, "numpy"}


def test_tflite(tmp_path: Path) -> None:
    path = files.add(tmp_path / "add.tflite")
    found = reply(request(path, "tflite"))
    assert found["runtime"] == "litert"
    assert found["version"].count(".") >= 1
    assert found["model_sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert found["inputs"][0] == {
        "name": "x",
        "shape": [1, 4],
        "dtype": "float32",
        "scale": None,
        "zero_point": None,
    }
    latency = found["latency"]
    raw = sorted(latency["raw_ms"])
    assert latency["n"] == len(raw) >= 20
    assert latency["min_ms"] == raw[0]
    assert latency["mean_ms"] == pytest.approx(sum(raw) / len(raw))
    assert raw[0] <= latency["p50_ms"] <= latency["p90_ms"] <= latency["p99_ms"] <= raw[-1]
    assert latency["warmup_runs"] >= 3
    assert latency["load_ms"] > 0 < latency["first_ms"]


def test_a_request_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "request.json"
    path.write_text(json.dumps(request(files.add(tmp_path / "add.tflite"), "tflite")))
    command = [sys.executable, str(SOURCE), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(done.stdout.splitlines()[-1])["latency"]["n"] >= 20
    assert subprocess.run(command[:2], capture_output=True, timeout=60, check=False).returncode == 2


def test_onnx_weights_that_are_listed_as_inputs_are_not_fed(tmp_path: Path) -> None:
    path = files.linear_onnx(tmp_path / "linear.onnx", listed=True)
    found = reply(request(path, "onnx"))
    assert found["runtime"] == "onnxruntime"
    assert found["inputs"] == [{"name": "x", "shape": [None, 4], "dtype": "float32"}]


def test_the_first_inference_and_the_warm_up_are_no_samples() -> None:
    latency = reply(factory("sleeper", "2"))["latency"]
    assert latency["first_ms"] >= 30
    assert max(latency["raw_ms"]) < 30
    assert 2 <= latency["p50_ms"] < 6


def test_where_an_inference_takes_microseconds_not_every_one_is_timed() -> None:
    limits = {**FAST, "max_samples": 100}
    latency = reply(factory("busy", "20", limits=limits))["latency"]
    assert latency["every"] >= 2
    assert 20 <= latency["n"] <= 1250  # all of them would be 2,500
    assert latency["p50_ms"] >= 0.02


def test_a_long_inference_stops_at_the_cap() -> None:
    limits = {**FAST, "min_runs": 1000, "max_seconds": 0.3}
    latency = reply(factory("sleeper", "20", limits=limits))["latency"]
    assert 5 <= latency["n"] <= 16


def test_memory_is_the_models_own() -> None:
    """Not the runtime's, not this test's, and not that of the samples."""
    ballast = np.ones(300 << 20, np.uint8)
    memory = reply(factory("hoarder"))["memory"]
    assert ballast[-1] == 1
    mib = 1 << 20
    grown = memory["ran"]["anonymous"] - memory["imported"]["anonymous"]
    assert 64 * mib <= grown <= 68 * mib
    peak = memory["ran"]["peak"] - memory["imported"]["peak"]
    # The kernel counts pages in batches, so that a mark may be a few short.
    assert 191 * mib <= peak <= 200 * mib
    assert memory["method"] == "reset"
    assert memory["imported"]["peak"] < 200 * mib


def test_many_samples_do_not_count_as_memory() -> None:
    limits = {**FAST, "min_seconds": 0.5, "max_samples": 10_000_000}
    found = reply(factory("identity", limits=limits))
    assert found["latency"]["n"] > 20_000
    memory = found["memory"]
    assert memory["ran"]["anonymous"] - memory["imported"]["anonymous"] < 1 << 20


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="no affinity on this system")
def test_one_thread_is_bound_to_the_last_core(tmp_path: Path) -> None:
    path = files.add(tmp_path / "add.tflite")
    last = max(os.sched_getaffinity(0))
    assert reply(request(path, "tflite"))["cores"] == [last]
    assert reply(request(path, "tflite", threads=2))["cores"] is None
    assert reply(request(path, "tflite", pin=False))["cores"] is None
    first = min(os.sched_getaffinity(0))
    assert reply(request(path, "tflite", threads=2, cores=[first]))["cores"] == [first]


def test_a_factory_names_its_runtime_and_may_print() -> None:
    found = reply(factory("noisy"))
    assert (found["runtime"], found["version"]) == ("toy", "1.2")
    assert found["outputs"] == [{"name": "output_0", "shape": [1, 4], "dtype": "float32"}]


def test_its_neighbours_do_not_hide_the_users_modules(tmp_path: Path) -> None:
    (tmp_path / "stats.py").write_text(
        "def load(argument, threads):\n"
        "    return (lambda arrays: arrays), [{'name': 'x', 'shape': [1], 'dtype': 'float32'}]\n"
    )
    given = request("", "factory", function="stats:load", path=[str(tmp_path)])
    assert reply(given)["runtime"] == "stats"


def test_a_broken_runtime_is_skipped_and_said(tmp_path: Path) -> None:
    """The next one is taken: here an old tflite-runtime, played by a few lines."""
    (tmp_path / "ai_edge_litert").mkdir()
    (tmp_path / "ai_edge_litert" / "__init__.py").write_text("raise ImportError('no such wheel')")
    (tmp_path / "tflite_runtime").mkdir()
    (tmp_path / "tflite_runtime" / "__init__.py").write_text("__version__ = '2.14.0'")
    (tmp_path / "tflite_runtime" / "interpreter.py").write_text(OLD_RUNTIME)
    path = files.add(tmp_path / "add.tflite")
    found = reply(request(path, "tflite"), environment={"PYTHONPATH": str(tmp_path)})
    assert found["runtime"] == "tflite-runtime"
    assert found["version"] == "2.14.0"
    assert found["skipped"] == {"litert": "ImportError: no such wheel"}


OLD_RUNTIME = """
import numpy
class Interpreter:
    def __init__(self, model_path, num_threads): pass
    def allocate_tensors(self): pass
    def get_input_details(self):
        return [dict(index=0, name="x", shape=numpy.array([1, 4]), dtype=numpy.float32,
                     quantization=(0.0, 0))]
    get_output_details = get_input_details
    def set_tensor(self, index, array): pass
    def get_tensor(self, index): return numpy.zeros((1, 4))
    def invoke(self): pass
"""


def test_every_stage_can_fail_with_a_word(tmp_path: Path) -> None:
    good = files.add(tmp_path / "add.tflite")
    assert refusal("{")[0] == "request"
    stage, error = refusal(request(good, "tflite", runtimes=["onnxruntime"]))
    assert (stage, error) == ("import", "ImportError: no runtime for tflite files: none allowed")
    (tmp_path / "junk.tflite").write_bytes(b"\0\0\0\0TFL3" + bytes(100))
    assert refusal(request(tmp_path / "junk.tflite", "tflite"))[0] in ("load", "allocate")
    assert refusal(request(tmp_path / "gone.onnx", "onnx"))[0] == "load"
    stage, error = refusal(request(files.linear_onnx(tmp_path / "o.onnx", opset=999), "onnx"))
    assert stage == "load" and "opset" in error
    stage, error = refusal(request(files.add(tmp_path / "v.tflite", version=99), "tflite"))
    assert stage in ("load", "allocate") and "ADD" in error and "99" in error
    stage, error = refusal(request(files.out_of_bounds(tmp_path / "g.tflite"), "tflite"))
    assert stage == "invoke" and "out of bounds" in error
    assert refusal(factory("exiting")) == ("load", "SystemExit: I would rather leave")
    stage, error = refusal(factory("words"))
    assert stage == "load" and "give inputs" in error


@pytest.mark.parametrize("total", [1, 5, 7])
@pytest.mark.parametrize("kind", ["fixed", "free"])
def test_all_samples_are_run_in_order(tmp_path: Path, total: int, kind: str) -> None:
    """In pieces of the file's own batch of 2, or of 3 where it is free; the last is filled up."""
    x = np.random.default_rng(0).standard_normal((total, 4)).astype(np.float32)
    np.savez(tmp_path / "in.npz", input_0=x, sample_0=x[:2] if kind == "fixed" else x[:1])
    path = files.linear_onnx(tmp_path / "m.onnx", batch=2 if kind == "fixed" else "n")
    ends = {"inputs": str(tmp_path / "in.npz"), "outputs": str(tmp_path / "out.npz")}
    if total == 1 and kind == "fixed":
        np.savez(tmp_path / "in.npz", input_0=x, sample_0=np.repeat(x, 2, axis=0))
    reply(request(path, "onnx", mode="both", chunk=3, **ends))
    weight, bias = np.arange(12.0).reshape(3, 4), np.array([0.5, 0.0, -0.5])
    with np.load(tmp_path / "out.npz") as found:
        assert list(found) == ["output_0"]
        np.testing.assert_allclose(found["output_0"], x @ weight.T + bias, rtol=1e-5)


def test_random_inputs_are_seeded_and_fit() -> None:
    specs: list[dict[str, Any]] = [
        {"name": "image", "shape": [None, 3, 8, 8], "dtype": "float32"},
        {"name": "bytes", "shape": [1, 500], "dtype": "uint8"},
        {"name": "tokens", "shape": [1, 64], "dtype": "int64"},
        {"name": "coded", "shape": [1, 500], "dtype": "int16", "scale": 0.1, "zero_point": 0},
        {"name": "mask", "shape": [1, 64], "dtype": "bool"},
        {"name": "scalar", "shape": [], "dtype": "float16"},
    ]
    made = agent.random_inputs(specs, 7)
    assert [a.dtype.name for a in made] == [spec["dtype"] for spec in specs]
    assert [a.shape for a in made] == [(1, 3, 8, 8), (1, 500), (1, 64), (1, 500), (1, 64), ()]
    assert made[1].min() < 30 and made[1].max() > 220
    assert set(np.unique(made[2])) == {0, 1}
    assert made[3].min() < -20_000 and made[3].max() > 20_000
    again = agent.random_inputs(specs, 7)
    assert all(np.array_equal(a, b) for a, b in zip(made, again, strict=True))
