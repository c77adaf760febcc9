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


STATUS = "Name:\tx\nVmHWM:\t    5000 kB\nVmRSS:\t    4200 kB\nRssAnon:\t     900 kB\n"
ROLLUP = "55d0-7ffc ---p 00000000 00:00 0   [rollup]\nRss:  4100 kB\nAnonymous:  950 kB\n"


@pytest.mark.parametrize(
    ("status", "rollup", "wanted"),
    [
        # Counted pages, and the mark 800 KiB above what its own counter says.
        (STATUS, ROLLUP, {"rss": 4100, "anonymous": 950, "peak": 4900}),
        # A counter ahead of its mark.
        (STATUS.replace("5000", "4100"), ROLLUP, {"rss": 4100, "anonymous": 950, "peak": 4100}),
        (STATUS, "", {"rss": 4200, "anonymous": 900, "peak": 5000}),
        ("", "", {}),
    ],
)
def test_pages_are_counted_where_the_system_does(
    monkeypatch: pytest.MonkeyPatch, status: str, rollup: str, wanted: dict[str, int]
) -> None:
    texts = {"/proc/self/status": status, "/proc/self/smaps_rollup": rollup}
    monkeypatch.setattr(agent, "read", lambda path: texts[path])
    assert agent.memory() == {name: 1024 * kib for name, kib in wanted.items()}


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
    np.savez(tmp_path / "in.npz", input_0=x)
    path = files.linear_onnx(tmp_path / "m.onnx", batch=2 if kind == "fixed" else "n")
    np.savez(tmp_path / "sample.npz", sample_0=np.resize(x, (2 if kind == "fixed" else 1, 4)))
    piece = {"inputs": str(tmp_path / "in.npz"), "outputs": str(tmp_path / "out.npz")}
    given = request(path, "onnx", mode="both", chunk=3, chunks=[piece])
    told = reply({**given, "inputs": str(tmp_path / "sample.npz")})
    assert not (tmp_path / "in.npz").exists()  # a small device has no room for all of them
    weight, bias = np.arange(12.0).reshape(3, 4), np.array([0.5, 0.0, -0.5])
    with np.load(tmp_path / "out.npz") as found:
        assert list(found) == ["output_0"]
        np.testing.assert_allclose(found["output_0"], x @ weight.T + bias, rtol=1e-5)
        digest = hashlib.sha256(found["output_0"].tobytes()).hexdigest()
    assert told["scored"] == [{"samples": total, "sha256": {"output_0": digest}}]


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


SENSORS = str(SOURCE.with_name("sensors.py"))


def board(folder: Path, *, clock: int = 2_400_000) -> str:
    """Write what a board tells of itself; return its root."""
    written = {
        "devices/system/cpu/cpu{}/cpufreq/scaling_cur_freq": clock,
        "devices/system/cpu/cpu{}/cpufreq/scaling_max_freq": 2_400_000,
        "devices/system/cpu/cpu{}/cpufreq/cpuinfo_max_freq": 2_400_000,
        "devices/system/cpu/cpu{}/cpufreq/scaling_governor": "performance",
        "class/thermal/thermal_zone0/type": "cpu-thermal",
        "class/thermal/thermal_zone0/temp": 55_000,
    }
    for name, value in written.items():
        for core in range(os.cpu_count() or 1):
            path = folder / "sys" / name.format(core)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{value}\n")
    return str(folder)


def test_clock_and_heat_are_read_while_it_runs(tmp_path: Path) -> None:
    root = board(tmp_path / "root")
    limits = {**FAST, "min_seconds": 0.6}
    given = factory("busy", "500", limits=limits, sensors=SENSORS, root=root, energy=True)
    found = reply({**given, "max_temperature": 60.0})
    assert found["environment"]["before"]["governor"] == "performance"
    assert found["environment"]["after"]["temperature_c"] == 55.0
    assert 2 <= len(found["readings"]) <= 4
    assert {r["frequency_mhz"] for r in found["readings"]} == {2400.0}
    assert found["throttling"] == {"throttled": False, "reasons": []}
    assert found["energy"] is None and "no sensor" in found["no_energy"]
    cooled = {"rested_s": 0.0, "waited_s": 0.0, "gave_up": False, "temperature_c": 55.0}
    assert found["cooled"] == cooled


def test_a_device_that_stays_hot_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgekd.bench.sensors import System

    now = [0.0]
    monkeypatch.setattr(agent.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(agent.time, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    system = System(board(tmp_path), [0])
    found = agent.cool({"cooldown": 5, "max_temperature": 50.0}, system)
    assert found == {"rested_s": 5.0, "waited_s": 120.0, "gave_up": True, "temperature_c": 55.0}
    assert not agent.cool({"max_temperature": 50.0}, None)["gave_up"]  # nothing tells


def test_offline_counts_samples_in_batches(tmp_path: Path) -> None:
    """Each batch takes 5 ms, whatever its size."""
    given = factory("busy", "5000", scenario="offline", batch=16)
    found = reply(given)
    rate = found["throughput"]
    assert "latency" not in found and rate["batch"] == 16
    assert rate["samples"] == 16 * rate["calls"]
    assert rate["per_second"] == pytest.approx(rate["samples"] / rate["seconds"])
    assert 16 / 0.005 / 30 < rate["per_second"] <= 16 / 0.005  # others may use the same cores
    fixed = files.linear_onnx(tmp_path / "m.onnx", batch=2)
    assert reply(request(fixed, "onnx", scenario="offline", batch=16))["throughput"]["batch"] == 2


def test_soak_keeps_the_median_of_every_second(tmp_path: Path) -> None:
    given = factory("busy", "2000", soak=1.5, sensors=SENSORS, root=board(tmp_path))
    found = reply(given)["soak"]
    assert found["seconds"] >= 1.5 and len(found["p50_ms"]) == 2
    assert all(2 <= p50 < 6 for p50 in found["p50_ms"])
    assert found["n"] <= 1000 * found["seconds"] / 2
    assert found["drift"] == pytest.approx(found["p50_ms"][1] / found["p50_ms"][0])
    assert found["frequency_mhz"] == [2400.0, 2400.0] and found["temperature_c"] == [55.0, 55.0]


def test_memory_only_and_accuracy_only(tmp_path: Path) -> None:
    path = files.linear_onnx(tmp_path / "m.onnx")
    only = reply(request(path, "onnx", mode="memory"))
    assert "latency" not in only and "scored" not in only
    np.savez(tmp_path / "in.npz", input_0=np.ones((3, 4), np.float32))
    piece = {"inputs": str(tmp_path / "in.npz"), "outputs": str(tmp_path / "out.npz")}
    scored = reply(request(path, "onnx", mode="accuracy", chunks=[piece]))
    assert "latency" not in scored and scored["scored"][0]["samples"] == 3
    for found in (only, scored):
        assert found["memory"]["ran"]["anonymous"] >= found["memory"]["imported"]["anonymous"]


def test_equal_inputs_give_equal_hashes(tmp_path: Path) -> None:
    """The hash is that of the output's bytes, for inputs that anybody can make again."""
    from edgekd.runtimes import onnxruntime

    path = files.linear_onnx(tmp_path / "m.onnx")
    specs: list[dict[str, Any]] = [{"name": "x", "shape": [None, 4], "dtype": "float32"}]
    for seed in (3, 4):
        y = onnxruntime.load(path).run(agent.random_inputs(specs, seed))[0]
        told = reply(request(path, "onnx", seed=seed))
        assert told["output_sha256"] == [hashlib.sha256(y.tobytes()).hexdigest()]


def test_what_is_no_number_is_null_in_json() -> None:
    made = {"a": [1.0, float("nan")], "b": {"c": (float("inf"), 2)}, 3: True}
    assert agent.finite(made) == {"a": [1.0, None], "b": {"c": [None, 2]}, "3": True}


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("agent.np, agent._no_numpy = None, 'No module named numpy'", "NumPy is needed: No module"),
        ("agent.OLDEST_PYTHON = (99, 0)", "Python 3.9 or newer is needed, this is 3."),
    ],
)
def test_a_device_that_lacks_python_or_numpy_says_so(line: str, word: str) -> None:
    code = f"import sys; from edgekd.bench import agent; {line}; sys.exit(agent.main(['-']))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        input="{}",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    found = json.loads(done.stdout.splitlines()[-1])
    assert done.returncode == 3 and found["stage"] == "import" and word in found["error"]


def test_replies_fit_the_published_schema(tmp_path: Path) -> None:
    import jsonschema

    from edgekd.bench.reply import Answer, faults

    schema = Answer.model_json_schema(by_alias=True)
    path = files.add(tmp_path / "add.tflite")
    root = board(tmp_path / "root")
    told = reply(request(path, "tflite", sensors=SENSORS, root=root, energy=True, soak=0.1))
    refused = {"schema": "edgekd.run/1", "error": "no", "stage": "load"}
    for found in (told, refused):
        assert faults(found) == []
        jsonschema.validate(found, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**told, "memory": {}}, schema)
