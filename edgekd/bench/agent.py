"""Measures one model file in this process; the single file that runs on a device.

It needs Python 3.9, NumPy and one runtime, and nothing of edgekd, so that it can be copied to a
board as it is::

    python agent.py request.json        (or "-": the request comes on standard input)

The request is a JSON object; `edgekd.bench.protocol` writes it. The last line of standard output
is a JSON object with ``"schema": "edgekd.run/1"``. Exit code 0: measured. Exit code 3: the model
or the runtime failed, and the object holds ``error`` and ``stage`` (request, import, load,
allocate, invoke or score). Each stage is announced on standard error, so that whoever started a
process that was killed knows how far it came.

In order: import the runtime, cool down, note power at rest and the memory, load, run once, warm up,
note the memory again, measure, and only then run the test inputs: neither their arrays nor the
samples are the model's memory. Clock, heat and power are read between inferences, never within a
timed one.
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

if __name__ == "__main__":
    # What `edgekd devices setup` installed here, NumPy with it, comes before the system's.
    _own = os.environ.get("EDGEKD_RUNTIME") or "~/.local/share/edgekd/runtime"
    _own = os.path.expanduser(_own)  # noqa: PTH111 (a user without a home is no error)
    sys.path.insert(0, f"{_own}/py{sys.version_info[0]}.{sys.version_info[1]}")

# onnxruntime, from 1.29 on, tells its maker about every model unless this is set before it is
# imported; it writes files into the home folder, too.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

np: Any
try:
    import numpy as np
except ImportError as error:  # said in `main`, as any other failure
    np, _no_numpy = None, str(error)

OLDEST_PYTHON = (3, 9)
SCHEMA = "edgekd.run/1"
STAGE_MARK = "edgekd.stage: "
FAILED = 3
HOTTEST_WAIT_S = 120.0
#: Samples at once in the scenario ``offline`` where neither the file nor the request says.
OFFLINE_BATCH = 32
WINDOW_S = 1.0

#: The environment variable that names the file of an emulator's counter; see `instructions`.
COUNTER = "EDGEKD_COUNTER"
COUNTER_HEADER = "edgekd-counter 1"
#: No process group has this number, on any device: asking for it is a mark for the counter.
MARK = 718281828
#: Python specialises the code that calls a runtime in its first eight calls, at a cost of its own.
COUNTED_WARMUP = 8
COUNTED_WARMUP_S = 10.0
COUNTED_MARKS = 16

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


def measure(
    run: Callable[[], Any], limits: dict[str, Any], average: float, watch: Any = None
) -> dict[str, Any]:
    """Time single inferences, in milliseconds.

    Where one takes microseconds, only every k-th is timed: the measurement still lasts as long as
    it must, and has at most about ``max_samples`` samples. An inference after the sensors were
    read is not timed: the reading has used the caches.
    """
    clock = time.perf_counter_ns
    every = math.ceil(limits["min_seconds"] / max(average, 1e-9) / limits["max_samples"]) or 1
    untimed = range(every - 1)
    raw: list[int] = []
    gc.collect()
    gc.disable()  # Python's own pauses are none of the model's
    if watch:
        watch.start()
    begin, spent = clock(), 0.0
    while spent < limits["min_seconds"] or len(raw) < limits["min_runs"]:
        for _ in untimed:
            run()
        before = clock()
        run()
        after = clock()
        raw.append(after - before)
        if watch and watch.due(after):
            watch.note()
            run()
        spent = (after - begin) / 1e9
        if spent >= limits["max_seconds"]:
            break
    if watch:
        watch.stop(len(raw) * every)
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


def throughput(session: Any, arrays: Sequence[Any], request: dict[str, Any]) -> dict[str, Any]:
    """Count samples a second where they wait in batches (scenario ``offline``).

    Batches have the file's own size, or the one asked for where that is free. Only inference is
    in the time: the samples wait in the file's own types.
    """
    limits, specs = request["limits"], session.inputs
    batch = int(specs[0]["shape"][0] or request.get("batch") or OFFLINE_BATCH)
    free = [bool(spec["shape"]) and spec["shape"][0] is None for spec in specs]
    given = [np.repeat(a, batch, axis=0) if f else a for a, f in zip(arrays, free)]
    run = session.feed(given)
    warm_up(run, {**limits, "warmup_runs": 2})
    clock, calls, begin, spent = time.perf_counter, 0, time.perf_counter(), 0.0
    while spent < limits["min_seconds"]:
        run()
        calls += 1
        spent = clock() - begin
    samples = calls * batch
    found = {"batch": batch, "samples": samples, "seconds": spent, "calls": calls}
    return {**found, "per_second": samples / spent}


def soak(run: Callable[[], Any], seconds: float, system: Any) -> dict[str, Any]:
    """Run for a long time; return the median of every window, in milliseconds, with clock and heat.

    ``drift`` is the median of the last quarter of the windows over that of the first.
    """
    clock = time.perf_counter_ns
    medians: list[float] = []
    frequencies: list[float | None] = []
    temperatures: list[float | None] = []
    n, begin = 0, time.monotonic()
    while time.monotonic() - begin < seconds or not medians:
        window, end = [], time.monotonic() + WINDOW_S
        while time.monotonic() < end:
            before = clock()
            run()
            window.append(clock() - before)
        medians.append(float(np.median(window)) / 1e6)
        frequencies.append(system.frequency() if system else None)
        temperatures.append(system.temperature() if system else None)
        n += len(window)
        run()
    quarter = max(len(medians) // 4, 1)
    drift = float(np.median(medians[-quarter:]) / np.median(medians[:quarter]))
    return {
        "seconds": time.monotonic() - begin,
        "window_seconds": WINDOW_S,
        "n": n,
        "p50_ms": medians,
        "frequency_mhz": frequencies,
        "temperature_c": temperatures,
        "drift": drift,
    }


def instructions(run: Callable[[], Any], runs: int, threads: int) -> dict[str, Any]:
    """Count the instructions of single inferences, where an emulator counts those of the process.

    Before and after each inference a system call that does nothing but fail is made; at each one
    the emulator's counter (``edgekd/emulation/counter.c``) adds a line to the file that it named
    in ``EDGEKD_COUNTER``. What a mark itself costs is measured and taken off.

    Returns:
        ``raw``, one count an inference, see `read_counts`; ``others``; the ``mark``'s cost;
        ``cpu``, the emulated processor; the ``counter``'s name. Only ``missing``, the reason,
        where nothing counts.
    """
    deadline = time.monotonic() + COUNTED_WARMUP_S
    for _ in range(COUNTED_WARMUP):
        run()
        if time.monotonic() > deadline:
            break
    marks = range(COUNTED_MARKS)
    gc.collect()
    gc.disable()
    for _ in marks:
        _mark()
    for _ in range(runs):
        _mark()
        run()
        _mark()
    gc.enable()
    path = os.environ.get(COUNTER)
    lines = read(path).splitlines() if path else []
    known = bool(lines) and lines[0].startswith(COUNTER_HEADER)
    found = read_counts(lines[1:], runs, threads) if known else None
    if found is None:
        why = "no counter runs here" if not lines else "the counter's file is damaged"
        return {"missing": f"{why}: {COUNTER} is {path or 'not set'}"}
    name = lines[0].removeprefix(COUNTER_HEADER).strip()
    return {**found, "cpu": os.environ.get("QEMU_CPU", "unknown"), "counter": name}


def read_counts(lines: Sequence[str], runs: int, threads: int) -> dict[str, Any] | None:
    """Return counts and the mark's cost from the lines of a counter's file.

    Args:
        lines: one a mark, ``TOTAL OWN THREADS``: first the marks one upon another, then a pair
            an inference.
        runs: the number of inferences.
        threads: threads of the runtime; with more than one, all threads of the process count.

    Returns:
        ``raw``, one count an inference; ``others``, what other threads than the calling one
        executed meanwhile, which with one thread is the runtime's housekeeping and left out of
        ``raw``; ``mark``. None where lines are missing or no counts.
    """
    try:
        marks = [[int(n) for n in line.split()[:2]] for line in lines]
    except ValueError:
        return None
    if len(marks) != COUNTED_MARKS + 2 * runs or any(len(mark) != 2 for mark in marks):
        return None
    # The first ones are dearer: Python has not yet specialised their code.
    alone = marks[COUNTED_MARKS // 2 : COUNTED_MARKS]
    cost = sorted(after[1] - before[1] for before, after in zip(alone, alone[1:]))
    mark = cost[len(cost) // 2]
    pairs = marks[COUNTED_MARKS:]
    raw, others = [], []
    for before, after in zip(pairs[::2], pairs[1::2]):
        total, own = after[0] - before[0], after[1] - before[1]
        raw.append((total if threads > 1 else own) - mark)
        others.append(total - own)
    return {"raw": raw, "others": others, "mark": mark}


def _mark() -> None:
    try:
        os.getpgid(-MARK)
    except OSError:
        return


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


def answer(session: Any, piece: dict[str, str], chunk: int) -> dict[str, Any]:
    """Run the samples of one file, write what comes of them to another, remove the samples.

    A device need not have room for a whole test split at once.

    Returns:
        the number of samples, and the hash of each output.
    """
    with np.load(piece["inputs"]) as archive:
        arrays = [archive[f"input_{i}"] for i in range(len(session.inputs))]
    found = score(session, arrays, chunk)
    np.savez(piece["outputs"], **found)
    Path(piece["inputs"]).unlink()
    hashes = {name: _hash(output) for name, output in found.items()}
    return {"samples": len(arrays[0]), "sha256": hashes}


def memory() -> dict[str, int]:
    """Return RSS, anonymous RSS and high-water mark in bytes; nothing where they are not told.

    Not ``ru_maxrss``: a process inherits that of the one that started it. The counters behind
    ``status`` may lag by a batch of pages for every core or thread; ``smaps_rollup``, where there
    is one, counts pages. The mark is then what is counted and what it was above its own counter.
    """
    names = {"VmRSS": "rss", "RssAnon": "anonymous", "VmHWM": "peak"}
    found = _kilobytes("/proc/self/status", names)
    counted = _kilobytes("/proc/self/smaps_rollup", {"Rss": "rss", "Anonymous": "anonymous"})
    if "rss" in counted and "rss" in found and "peak" in found:
        counted["peak"] = counted["rss"] + max(found["peak"] - found["rss"], 0)
    return {**found, **counted}


def _kilobytes(path: str, names: dict[str, str]) -> dict[str, int]:
    """Return some values of a file of ``/proc`` in bytes, by the names that are given to them."""
    found = {}
    for line in read(path).splitlines():
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


def load_sensors(path: str | None, cores: Sequence[int], root: str) -> Any:
    """Load ``edgekd/bench/sensors.py`` from where it was put; None where it was not."""
    if not path:
        return None
    from importlib import util

    spec: Any = util.spec_from_file_location("edgekd_sensors", path)
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.System(root, cores)


def _load() -> list[float] | None:
    try:
        return list(os.getloadavg())
    except (AttributeError, OSError):  # not on every system, and not without /proc
        return None


def environment(system: Any) -> dict[str, Any]:
    """Return what may explain a latency: processor, load, and what the sensors tell."""
    lines = [line.partition(":") for line in read("/proc/cpuinfo").splitlines()]
    info = {key.strip(): value.strip() for key, _, value in lines}
    found: dict[str, Any] = {
        "cpu": info.get("model name") or info.get("Model") or platform.processor() or None,
        "cores": os.cpu_count(),
        "load": _load(),
        "governor": None,
        "frequency_mhz": None,
        "temperature_c": None,
    }
    found.update(system.state() if system else {})
    if found["frequency_mhz"] is None and info.get("cpu MHz"):
        found["frequency_mhz"] = float(info["cpu MHz"])
    return found


def pin(request: dict[str, Any]) -> list[int] | None:
    """Bind this process to cores: those asked for, or the last allowed one for one thread."""
    # The best come first, so that one thread gets the fast core and several the next ones too.
    wanted = (request.get("cores") or [])[: request["threads"]]
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


def cool(request: dict[str, Any], system: Any) -> dict[str, Any]:
    """Rest, then wait until the device is below its highest temperature, two minutes at most."""
    rest, limit = float(request.get("cooldown") or 0), request.get("max_temperature")
    time.sleep(rest)
    begin, gave_up = time.monotonic(), False
    heat = system.temperature() if system else None
    while limit is not None and heat is not None and heat > limit and not gave_up:
        time.sleep(1)
        heat, gave_up = system.temperature(), time.monotonic() - begin >= HOTTEST_WAIT_S
    waited = round(time.monotonic() - begin, 1)
    return {"rested_s": rest, "waited_s": waited, "gave_up": gave_up, "temperature_c": heat}


def _sha256(path: Path) -> str | None:
    if not path.is_file() or not path.stat().st_size:
        return None
    # Mapped, not read: a large file must not count as this process's memory.
    mapped: Any = np.memmap(path, np.uint8, "r")
    return hashlib.sha256(mapped).hexdigest()


def _hash(array: Any) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def finite(value: Any) -> Any:
    """Return what JSON can hold: null for what is no number."""
    if isinstance(value, dict):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def handle(request: dict[str, Any]) -> dict[str, Any]:
    """Do what the request asks; return the reply."""
    reply: dict[str, Any] = {"schema": SCHEMA, "model_sha256": _sha256(Path(request["model"]))}
    archive = np.load(request["inputs"]) if request.get("inputs") else {}
    reply["runtime"], reply["version"], loader, reply["skipped"] = find_runtime(request)
    reply["cores"] = pin(request)
    system = load_sensors(request.get("sensors"), reply["cores"] or (), request.get("root", ""))
    reply["cooled"] = cool(request, system)
    reply["environment"] = {"before": environment(system)}
    watch = system.watch(energy=_wants_energy(request)) if system else None
    kind = {"tflite": LiteRT, "onnx": OnnxRuntime, "factory": Factory}[request["format"]]
    np.random.default_rng(0)  # loads megabytes of code, whether inputs are given or not
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
    run = session.feed(inputs)
    begin = time.perf_counter_ns()
    result = run()
    first_ms = (time.perf_counter_ns() - begin) / 1e6
    reply["output_sha256"] = [_hash(output) for output in session.fetch(result)]
    reply["memory"]["ran"] = memory()
    if request["mode"] != "accuracy":
        reply.update(timing(request, session, inputs, watch, reply["memory"]))
    if "latency" in reply:
        reply["latency"].update(load_ms=load_ms, first_ms=first_ms)
    reply["environment"]["after"] = environment(system)
    reply.update(watch.report() if watch else {})
    if request["mode"] in ("accuracy", "both"):
        enter("score")
        chunk = request.get("chunk", 64)
        reply["scored"] = [answer(session, piece, chunk) for piece in request["chunks"]]
    reply["inputs"], reply["outputs"] = session.inputs, session.outputs
    reply["python"], reply["machine"] = platform.python_version(), platform.machine()
    return reply


def _wants_energy(request: dict[str, Any]) -> bool:
    """Say whether single inferences are timed; power is read meanwhile."""
    single = request.get("scenario") != "offline" and not request.get("instructions")
    return bool(request.get("energy") and single and request["mode"] in ("latency", "both"))


def timing(
    request: dict[str, Any], session: Any, inputs: Sequence[Any], watch: Any, noted: dict[str, Any]
) -> dict[str, Any]:
    """Count, time or only run, as the mode and the scenario want it.

    The memory is noted before the samples pile up: they are this file's, not the model's.
    """
    limits, run = request["limits"], session.feed(inputs)
    if request["mode"] == "memory":
        warm_up(run, limits)
        noted["ran"] = memory()
        return {}
    if request.get("instructions"):
        counted = instructions(run, int(request["instructions"]["runs"]), request["threads"])
        noted["ran"] = memory()
        return {"instructions": counted}
    if request.get("scenario") == "offline":
        found = throughput(session, inputs, request)
        noted["ran"] = memory()
        return {"throughput": found}
    warm, average = warm_up(run, limits)
    noted["ran"] = memory()
    told = {"latency": {"warmup_runs": warm, **measure(run, limits, average, watch)}}
    if request.get("soak"):
        told["soak"] = soak(run, float(request["soak"]), watch and watch.system)
    return told


def main(arguments: Sequence[str]) -> int:
    """Read the request, print the reply, return the exit code."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python agent.py request.json | -\n")
        return 2
    code = 0
    try:
        given = arguments[0]
        text = sys.stdin.read() if given == "-" else Path(given).read_text(encoding="utf-8")
        request = json.loads(text)
        enter("import")
        if sys.version_info < OLDEST_PYTHON:
            raise ImportError(f"Python 3.9 or newer is needed, this is {platform.python_version()}")
        if np is None:
            raise ImportError(f"NumPy is needed: {_no_numpy}")
        reply = handle(request)
    except (Exception, SystemExit) as error:  # whatever it is, the other side must be told
        message = f"{type(error).__name__}: {error}"
        reply, code = {"schema": SCHEMA, "error": message, "stage": _stage}, FAILED
    # A runtime may have printed without ending its line.
    sys.stdout.write("\n" + json.dumps(finite(reply), allow_nan=False) + "\n")
    sys.stdout.flush()
    return code


if __name__ == "__main__":
    # Python puts this file's folder first: its neighbours must not hide the user's modules.
    sys.path[:] = [p for p in sys.path if Path(p or ".").resolve() != Path(__file__).parent]
    exit_code = main(sys.argv[1:])
    sys.stderr.flush()
    # Not sys.exit: a runtime that crashes while it is torn down has been measured all the same.
    os._exit(exit_code)
