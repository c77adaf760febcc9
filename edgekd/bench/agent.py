"""Measures one model file in this process; the single file that runs on a device.

It needs Python 3.9, NumPy and one runtime, and nothing of edgekd, so that it can be copied to a
board as it is::

    python agent.py request.json        (or "-": the request comes on standard input)

The request is a JSON object; `edgekd.bench.protocol` writes it. The last line of standard output
is a JSON object with ``"schema": "edgekd.run/1"``. Exit code 0: measured. Exit code 3: the model
or the runtime failed, and the object holds ``error`` and ``stage`` (request, import, load,
allocate or invoke). Each stage is announced on standard error, so that whoever started a process
that was killed knows how far it came.

In order: import the runtime, note the memory, load, run once, warm up, note the memory again,
measure with a batch of 1, and only then run the test inputs: neither their arrays nor the samples
are the model's memory.
"""

from __future__ import annotations

import gc
import hashlib
import importlib
import json
import math
import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

SCHEMA = "edgekd.run/1"
STAGE_MARK = "edgekd.stage: "
FAILED = 3
HOTTEST_WAIT_S = 120.0

#: Format -> runtimes, best first: name, module, the attribute to use.
RUNTIMES = {
    "tflite": {
        "litert": ("ai_edge_litert.interpreter", "Interpreter"),
        "tflite-runtime": ("tflite_runtime.interpreter", "Interpreter"),
        "tensorflow": ("tensorflow", "lite.Interpreter"),
    },
    "onnx": {"onnxruntime": ("onnxruntime", "InferenceSession")},
}
_DISTRIBUTIONS = {"litert": "ai-edge-litert", "tflite-runtime": "tflite-runtime"}
_ONNX_DTYPES = {"float": "float32", "double": "float64"}

_stage = "request"


def enter(stage: str) -> None:
    """Announce a stage, before anything in it can kill the process."""
    global _stage
    _stage = stage
    sys.stderr.write(STAGE_MARK + stage + "\n")
    sys.stderr.flush()


class LiteRT:
    """A TFLite file in LiteRT, tflite-runtime or TensorFlow: the same interface thrice."""

    def __init__(self, interpreter_class: Any, path: str, threads: int) -> None:
        """Load and allocate, free sizes set to 1."""
        self._interpreter = interpreter_class(model_path=path, num_threads=threads)
        enter("allocate")
        details = self._interpreter.get_input_details()
        self._inputs = [int(d["index"]) for d in details]
        self.inputs = [_tflite_spec(d) for d in details]
        self._shapes = [tuple(int(n) for n in d["shape"]) for d in details]
        self._allocate([tuple(n or 1 for n in spec["shape"]) for spec in self.inputs])
        details = self._interpreter.get_output_details()
        self._outputs = [int(d["index"]) for d in details]
        self.outputs = [_tflite_spec(d) for d in details]

    def _allocate(self, shapes: Sequence[tuple[int, ...]]) -> None:
        for position, shape in enumerate(shapes):
            if shape != self._shapes[position]:
                self._interpreter.resize_tensor_input(self._inputs[position], shape)
        self._shapes = list(shapes)
        self._interpreter.allocate_tensors()

    def feed(self, arrays: Sequence[Any]) -> Callable[[], Any]:
        """Set the inputs; return what runs one inference."""
        shapes = [array.shape for array in arrays]
        if shapes != self._shapes:
            self._allocate(shapes)
        for position, array in enumerate(arrays):
            self._interpreter.set_tensor(self._inputs[position], array)
        run: Callable[[], Any] = self._interpreter.invoke
        return run

    def fetch(self, result: Any) -> list[Any]:
        """Return the outputs of the last inference."""
        return [self._interpreter.get_tensor(index) for index in self._outputs]


class OnnxRuntime:
    """An ONNX file in onnxruntime, on the CPU."""

    def __init__(self, session_class: Any, path: str, threads: int) -> None:
        """Load; weights that the file also lists as inputs are not inputs to feed."""
        options = importlib.import_module("onnxruntime").SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = session_class(path, options, providers=["CPUExecutionProvider"])
        self.inputs = [_onnx_spec(node) for node in self._session.get_inputs()]
        self.outputs = [_onnx_spec(node) for node in self._session.get_outputs()]

    def feed(self, arrays: Sequence[Any]) -> Callable[[], Any]:
        """Take the inputs; return what runs one inference."""
        feeds = {spec["name"]: arrays[i] for i, spec in enumerate(self.inputs)}
        session = self._session
        return lambda: session.run(None, feeds)

    def fetch(self, result: Any) -> list[Any]:
        """Return the outputs of an inference."""
        return list(result)


class Factory:
    """A Python function that gives ``(predict, input specs)``: PyTorch, or anything else."""

    def __init__(self, function: Any, argument: str, threads: int) -> None:
        """Call the function with the argument and the number of threads."""
        self._predict, self.inputs = function(argument, threads)
        self.outputs: list[dict[str, Any]] = []

    def feed(self, arrays: Sequence[Any]) -> Callable[[], Any]:
        """Take the inputs; return what runs one inference."""
        predict, given = self._predict, list(arrays)
        return lambda: predict(given)

    def fetch(self, result: Any) -> list[Any]:
        """Return the outputs of an inference."""
        found = list(result)
        self.outputs = self.outputs or [
            {"name": f"output_{i}", "shape": list(np.shape(y)), "dtype": str(np.asarray(y).dtype)}
            for i, y in enumerate(found)
        ]
        return found


def _tflite_spec(detail: Any) -> dict[str, Any]:
    scale, zero_point = detail["quantization"]
    shape = detail.get("shape_signature", detail["shape"])
    return {
        "name": str(detail["name"]),
        "shape": [int(n) if n > 0 else None for n in shape],
        "dtype": np.dtype(detail["dtype"]).name,
        "scale": float(scale) or None,
        "zero_point": int(zero_point) if scale else None,
    }


def _onnx_spec(node: Any) -> dict[str, Any]:
    kind = str(node.type).replace("tensor(", "").replace(")", "")
    shape = [n if isinstance(n, int) and n > 0 else None for n in node.shape]
    return {"name": node.name, "shape": shape, "dtype": _ONNX_DTYPES.get(kind, kind)}


def find_runtime(request: dict[str, Any]) -> tuple[str, str | None, Any, dict[str, str]]:
    """Import the first runtime that is there.

    Returns:
        its name, its version, what to load with, and why each one before it was skipped.
    """
    if request["format"] == "factory":
        for folder in request.get("path", ()):
            if folder not in sys.path:
                sys.path.append(folder)
        module_name, _, attribute = request["function"].partition(":")
        module = importlib.import_module(module_name)
        name = getattr(module, "RUNTIME", module_name)
        return name, getattr(module, "VERSION", None), getattr(module, attribute), {}
    known = RUNTIMES[request["format"]]
    skipped: dict[str, str] = {}
    for name in [n for n in request.get("runtimes") or known if n in known]:
        module_name, attribute = known[name]
        try:
            found: Any = importlib.import_module(module_name)
            for part in attribute.split("."):
                found = getattr(found, part)
        except Exception as error:  # a broken installation raises anything
            skipped[name] = f"{type(error).__name__}: {error}"
            continue
        return name, _version(name, module_name), found, skipped
    reasons = "; ".join(f"{name} ({why})" for name, why in skipped.items())
    raise ImportError(f"no runtime for {request['format']} files: {reasons or 'none allowed'}")


def _version(name: str, module_name: str) -> str | None:
    from importlib import metadata

    try:
        return metadata.version(_DISTRIBUTIONS.get(name, name))
    except metadata.PackageNotFoundError:
        return getattr(sys.modules[module_name.partition(".")[0]], "__version__", None)


def random_inputs(specs: Sequence[dict[str, Any]], seed: int) -> list[Any]:
    """Return seeded inputs of a batch of 1: normal floats, full-range bytes, small integers.

    Wide integers are taken for tokens and masks: 0 or 1 is in every vocabulary.
    """
    generator = np.random.default_rng(seed)
    arrays = []
    for spec in specs:
        dtype = np.dtype(spec["dtype"])
        shape = tuple(n or 1 for n in spec["shape"])
        array: Any
        if dtype.kind == "f":
            array = generator.standard_normal(shape)
        elif dtype.kind in "iu" and (dtype.itemsize == 1 or spec.get("scale")):
            limits = np.iinfo(dtype)
            array = generator.integers(limits.min, limits.max, shape, endpoint=True)
        elif dtype.kind in "iub":
            array = generator.integers(0, 2, shape)
        else:
            raise ValueError(f"input {spec['name']!r} has the dtype {dtype}: give inputs")
        arrays.append(np.asarray(array, dtype=dtype, order="C"))
    return arrays


def warm_up(run: Callable[[], Any], limits: dict[str, Any]) -> tuple[int, float]:
    """Run until the clock frequency, the caches and the allocator have settled.

    Returns:
        the number of runs, and how long one took on average, in seconds.
    """
    begin, runs, spent = time.perf_counter(), 0, 0.0
    while runs < limits["warmup_runs"] or spent < limits["warmup_seconds"]:
        run()
        runs += 1
        spent = time.perf_counter() - begin
        if spent >= limits["max_seconds"] / 3:
            break
    return runs, spent / max(runs, 1)


def measure(run: Callable[[], Any], limits: dict[str, Any], average: float) -> dict[str, Any]:
    """Time single inferences, in milliseconds.

    Where one takes microseconds, only every k-th is timed: the measurement still lasts as long as
    it must, and has at most about ``max_samples`` samples.
    """
    clock = time.perf_counter_ns
    every = math.ceil(limits["min_seconds"] / max(average, 1e-9) / limits["max_samples"]) or 1
    untimed = range(every - 1)
    raw: list[int] = []
    gc.collect()
    gc.disable()  # Python's own pauses are none of the model's
    begin, spent = clock(), 0.0
    while spent < limits["min_seconds"] or len(raw) < limits["min_runs"]:
        for _ in untimed:
            run()
        before = clock()
        run()
        after = clock()
        raw.append(after - before)
        spent = (after - begin) / 1e9
        if spent >= limits["max_seconds"]:
            break
    gc.enable()
    samples = np.asarray(raw) / 1e6
    p50, p90, p99 = (float(p) for p in np.percentile(samples, (50, 90, 99)))
    return {
        "every": every,
        "n": len(raw),
        "min_ms": float(samples.min()),
        "p50_ms": p50,
        "p90_ms": p90,
        "p99_ms": p99,
        "mean_ms": float(samples.mean()),
        "raw_ms": samples.tolist(),
    }


def score(session: Any, arrays: Sequence[Any], chunk: int) -> dict[str, Any]:
    """Run all samples in pieces of the file's own batch size, or of ``chunk`` where it is free.

    Returns:
        ``output_0``, ``output_1``, ... without those that have no batch axis.
    """
    total = len(arrays[0])
    size = session.inputs[0]["shape"][0] or min(chunk, total)
    pieces = []
    for start in range(0, total, size):
        # The last piece is filled up, so that the graph sees one batch size only.
        wanted = np.minimum(np.arange(start, start + size), total - 1)
        run = session.feed([np.ascontiguousarray(array[wanted]) for array in arrays])
        pieces.append([np.array(output) for output in session.fetch(run())])
    found = {}
    for index in range(len(pieces[0])):
        parts = [piece[index] for piece in pieces]
        if all(part.ndim and len(part) == size for part in parts):
            found[f"output_{index}"] = np.concatenate(parts)[:total]
    return found


def memory() -> dict[str, int]:
    """Return RSS, anonymous RSS and high-water mark in bytes; nothing where they are not told.

    Not ``ru_maxrss``: a process inherits that of the one that started it.
    """
    names = {"VmRSS": "rss", "RssAnon": "anonymous", "VmHWM": "peak"}
    found = {}
    for line in read("/proc/self/status").splitlines():
        key, _, value = line.partition(":")
        if key in names:
            found[names[key]] = int(value.split()[0]) * 1024
    return found


def reset_peak() -> str:
    """Let the high-water mark start anew; say ``reset``, or ``difference`` where that fails."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return "difference"
    now = memory()
    # Some kernels take the word and do nothing.
    return "reset" if now.get("peak", 0) <= now.get("rss", 0) + (1 << 20) else "difference"


def read(path: str) -> str:
    """Return a text file stripped, or nothing where it cannot be read."""
    try:
        return Path(path).read_text().strip()
    except (OSError, UnicodeDecodeError):
        return ""


def temperature() -> float | None:
    """Return the hottest thermal zone in degrees Celsius, or None."""
    zones = Path("/sys/class/thermal").glob("thermal_zone*/temp")
    values = [read(str(zone)) for zone in zones]
    return max((int(v) / 1000 for v in values if v.lstrip("-").isdigit()), default=None)


def environment(core: int) -> dict[str, Any]:
    """Return what may explain a latency: processor, frequency, heat, load."""
    lines = [line.partition(":") for line in read("/proc/cpuinfo").splitlines()]
    info = {key.strip(): value.strip() for key, _, value in lines}
    frequency = f"/sys/devices/system/cpu/cpu{core}/cpufreq/"
    kilohertz = read(frequency + "scaling_cur_freq")
    megahertz = int(kilohertz) / 1000 if kilohertz.isdigit() else info.get("cpu MHz")
    return {
        "cpu": info.get("model name") or info.get("Model") or platform.processor() or None,
        "cores": os.cpu_count(),
        "governor": read(frequency + "scaling_governor") or None,
        "frequency_mhz": float(megahertz) if megahertz else None,
        "temperature_c": temperature(),
        "load": list(os.getloadavg()) if hasattr(os, "getloadavg") else None,
    }


def pin(request: dict[str, Any]) -> list[int] | None:
    """Bind this process to cores: those asked for, or the last allowed one for one thread."""
    wanted = request.get("cores")
    if not hasattr(os, "sched_setaffinity"):
        return None
    if not wanted and request.get("pin") and request["threads"] == 1:
        wanted = [max(os.sched_getaffinity(0))]
    if wanted:
        try:
            os.sched_setaffinity(0, wanted)
        except OSError:
            return None
    return sorted(int(core) for core in wanted) if wanted else None


def cool(request: dict[str, Any]) -> None:
    """Rest, then wait until the device is below its highest temperature, two minutes at most."""
    time.sleep(float(request.get("cooldown") or 0))
    limit, deadline = request.get("max_temperature"), time.monotonic() + HOTTEST_WAIT_S
    while limit is not None and (temperature() or 0) > limit and time.monotonic() < deadline:
        time.sleep(1)


def _sha256(path: Path) -> str | None:
    if not path.is_file() or not path.stat().st_size:
        return None
    # Mapped, not read: a large file must not count as this process's memory.
    mapped: Any = np.memmap(path, np.uint8, "r")
    return hashlib.sha256(mapped).hexdigest()


def handle(request: dict[str, Any]) -> dict[str, Any]:
    """Do what the request asks; return the reply."""
    reply: dict[str, Any] = {"schema": SCHEMA, "model_sha256": _sha256(Path(request["model"]))}
    archive = np.load(request["inputs"]) if request.get("inputs") else {}
    enter("import")
    reply["runtime"], reply["version"], loader, reply["skipped"] = find_runtime(request)
    cool(request)
    reply["cores"] = pin(request)
    core = (reply["cores"] or [0])[0]
    reply["environment"] = {"before": environment(core)}
    kind = {"tflite": LiteRT, "onnx": OnnxRuntime, "factory": Factory}[request["format"]]
    gc.collect()
    reply["memory"] = {"before_reset": memory(), "method": reset_peak(), "imported": memory()}
    enter("load")
    begin = time.perf_counter_ns()
    session: Any = kind(loader, request["model"], request["threads"])
    load_ms = (time.perf_counter_ns() - begin) / 1e6
    reply["memory"]["loaded"] = memory()
    if "sample_0" in archive:
        inputs = [archive[f"sample_{i}"] for i in range(len(session.inputs))]
    else:
        inputs = random_inputs(session.inputs, request.get("seed", 0))
    enter("invoke")
    if request["mode"] in ("latency", "both"):
        run = session.feed(inputs)
        begin = time.perf_counter_ns()
        result = run()
        first_ms = (time.perf_counter_ns() - begin) / 1e6
        session.fetch(result)
        warm, average = warm_up(run, request["limits"])
        # Before the samples pile up: they are this file's memory, not the model's.
        reply["memory"]["ran"] = memory()
        reply["latency"] = {"load_ms": load_ms, "first_ms": first_ms, "warmup_runs": warm}
        reply["latency"].update(measure(run, request["limits"], average))
        reply["environment"]["after"] = environment(core)
    if request["mode"] in ("accuracy", "both"):
        arrays = [archive[f"input_{i}"] for i in range(len(session.inputs))]
        np.savez(request["outputs"], **score(session, arrays, request.get("chunk", 64)))
    reply["inputs"], reply["outputs"] = session.inputs, session.outputs
    reply["python"], reply["machine"] = platform.python_version(), platform.machine()
    return reply


def main(arguments: Sequence[str]) -> int:
    """Read the request, print the reply, return the exit code."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python agent.py request.json | -\n")
        return 2
    code = 0
    try:
        given = arguments[0]
        text = sys.stdin.read() if given == "-" else Path(given).read_text(encoding="utf-8")
        reply = handle(json.loads(text))
    except (Exception, SystemExit) as error:  # whatever it is, the other side must be told
        message = f"{type(error).__name__}: {error}"
        reply, code = {"schema": SCHEMA, "error": message, "stage": _stage}, FAILED
    # A runtime may have printed without ending its line.
    sys.stdout.write("\n" + json.dumps(reply) + "\n")
    sys.stdout.flush()
    return code


if __name__ == "__main__":
    # Python puts this file's folder first: its neighbours must not hide the user's modules.
    sys.path[:] = [p for p in sys.path if Path(p or ".").resolve() != Path(__file__).parent]
    exit_code = main(sys.argv[1:])
    sys.stderr.flush()
    # Not sys.exit: a runtime that crashes while it is torn down has been measured all the same.
    os._exit(exit_code)
