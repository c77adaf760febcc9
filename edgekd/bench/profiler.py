"""Times the operators of one model file in this process; runs on a device beside the agent.

Like ``agent.py`` it needs Python 3.9, NumPy and one runtime, and nothing of edgekd but the agent,
whose path its request holds::

    python profiler.py request.json

It is a run of its own, after the timed ones: a profiler slows what it watches. The last line of
standard output is a JSON object with ``"schema": "edgekd.profile/1"`` and either ``operators``
(ONNX: from the trace of onnxruntime's profiler), ``tables`` (TFLite: what LiteRT's profiler
prints, for the host to read) or ``missing``, the reason why there is neither.
"""

from __future__ import annotations

import ctypes
import importlib.util
import json
import math
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

SCHEMA = "edgekd.profile/1"
FAILED = 3
#: Versions of LiteRT whose C interface this is: arguments change between versions.
LITERT_VERSIONS = ("2.3.",)
#: LiteRT's profiler keeps so many events and then forgets.
BUFFER = 2048
TABLES = 5


def load_agent(path: str) -> Any:
    """Import the agent from its file."""
    spec = importlib.util.spec_from_file_location("edgekd_agent", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules["edgekd_agent"] = module
    spec.loader.exec_module(module)
    return module


def repeat(run: Callable[[], Any], request: dict[str, Any]) -> int:
    """Run ``runs`` times and ``seconds`` long, or ten times as long; return how often."""
    runs, begin = 0, time.perf_counter()
    while True:
        run()
        runs += 1
        spent = time.perf_counter() - begin
        enough = runs >= request["runs"] and spent >= request["seconds"]
        if enough or spent >= 10 * request["seconds"]:
            return runs


def onnx(agent: Any, session_class: Any, request: dict[str, Any]) -> dict[str, Any]:
    """Profile an ONNX file with onnxruntime's own profiler."""
    kept: list[Any] = []
    prefix = str(Path(request["folder"]) / "edgekd-trace")

    def create(path: str, options: Any, **others: Any) -> Any:
        options.enable_profiling = True
        options.profile_file_prefix = prefix
        kept.append(session_class(path, options, **others))
        return kept[0]

    session = agent.OnnxRuntime(create, request["model"], request["threads"])
    run = session.feed(inputs(agent, session.inputs, request))
    repeat(run, request)
    trace = Path(kept[0].end_profiling())
    events = json.loads(trace.read_text())
    trace.unlink()
    runs, operators = from_trace(events)
    return {"runs": runs, "operators": operators}


def from_trace(events: Sequence[dict[str, Any]]) -> tuple[int, list[dict[str, Any]]]:
    """Return the inferences in a trace of onnxruntime's, and the operators without the first one.

    The first inference allocates. The time of an operator does not include that of the graphs
    within it (loops, branches), which are listed themselves.

    Returns:
        how many inferences were used, and for each operator in the order they run ``name``,
        ``kind``, ``calls`` (of all inferences) and ``total_us``.
    """
    starts = sorted(e["ts"] for e in events if e.get("name") == "model_run")
    after = starts[1] if len(starts) > 1 else -math.inf
    nodes = [
        e
        for e in events
        if e.get("cat") == "Node" and e["name"].endswith("_kernel_time") and e["ts"] >= after
    ]
    found: dict[str, dict[str, Any]] = {}
    for event, own in _own_times(nodes):
        name = event["name"][: -len("_kernel_time")]
        kind = event.get("args", {}).get("op_name", "")
        entry = found.setdefault(name, {"name": name, "kind": kind, "calls": 0, "total_us": 0})
        entry["calls"] += 1
        entry["total_us"] += own
    return max(1, len(starts) - 1), list(found.values())


def _own_times(nodes: Sequence[dict[str, Any]]) -> list[tuple[dict[str, Any], int]]:
    """Return each event with its duration less that of the events right within it."""
    own = {id(e): int(e["dur"]) for e in nodes}
    ordered = sorted(nodes, key=lambda e: (e["tid"], e["ts"], -e["dur"]))
    stack: list[dict[str, Any]] = []
    for event in ordered:
        while stack and not (
            stack[-1]["tid"] == event["tid"]
            and event["ts"] + event["dur"] <= stack[-1]["ts"] + stack[-1]["dur"]
        ):
            stack.pop()
        if stack:
            own[id(stack[-1])] -= int(event["dur"])
        stack.append(event)
    return [(event, max(0, own[id(event)])) for event in ordered]


class LiteRT:
    """LiteRT's compiled model with its profiler, over the C interface of the wheel's library.

    The Python interface has no profiler. Every call returns a status, 0 for success.
    """

    def __init__(self, request: dict[str, Any]) -> None:
        """Load the library and compile the file for the CPU with profiling switched on."""
        package = importlib.util.find_spec("ai_edge_litert")
        folders = package.submodule_search_locations if package else None
        libraries = [p for f in folders or () for p in sorted(Path(f).glob("libLiteRt.*"))]
        if not libraries:
            raise LookupError("the wheel has no libLiteRt")
        self._library = ctypes.CDLL(str(libraries[0]))
        self._kept: list[Any] = []
        self._environment = self._new("CreateEnvironment", ctypes.c_int(0), None)
        path = ctypes.c_char_p(os.fsencode(request["model"]))
        model = self._new("CreateModelFromFile", self._environment, path)
        options = self._new("CreateOptions")
        self._call("SetOptionsHardwareAccelerators", options, ctypes.c_int(1))
        self._add(options, b"xnnpack", f"num_threads = {request['threads']}\n")
        self._add(options, b"runtime_options_string", "enable_profiling = true\n")
        self._model = self._new("CreateCompiledModel", self._environment, model, options)
        self._profiler = self._new("CompiledModelGetProfiler", self._model)
        signature = self._new("GetModelSignature", model, ctypes.c_size_t(0))
        self._inputs = self._buffers(signature, "Input")
        self._outputs = self._buffers(signature, "Output")

    def fill(self, arrays: Sequence[Any]) -> None:
        """Copy the inputs in."""
        for buffer, array in zip(self._inputs, arrays):
            size = ctypes.c_size_t()
            self._call("GetTensorBufferPackedSize", buffer, ctypes.byref(size))
            if size.value != array.nbytes:
                raise LookupError(f"an input is {size.value} bytes, the sample {array.nbytes}")
            data = np.ascontiguousarray(array)
            ctypes.memmove(
                self._new("GetTensorBufferHostMemory", buffer), data.ctypes.data, size.value
            )

    def run(self) -> None:
        """Run one inference."""
        arguments: list[Any] = []
        for buffers in (self._inputs, self._outputs):
            array = (ctypes.c_void_p * len(buffers))(*[buffer.value for buffer in buffers])
            arguments += [ctypes.c_size_t(len(buffers)), array]
        self._call("RunCompiledModel", self._model, ctypes.c_size_t(0), *arguments)

    def watch(self, runs: int) -> tuple[int, str]:
        """Profile so many inferences; return the number of events and the table as text."""
        self._call("ResetProfiler", self._profiler)
        self._call("StartProfiler", self._profiler)
        for _ in range(runs):
            self.run()
        self._call("StopProfiler", self._profiler)
        events, text = ctypes.c_int(), ctypes.c_char_p()
        self._call("GetNumProfilerEvents", self._profiler, ctypes.byref(events))
        self._call("GetProfileSummary", self._profiler, self._model, ctypes.byref(text))
        return events.value, (text.value or b"").decode("utf-8", "replace")

    def _call(self, name: str, *arguments: Any) -> None:
        function = getattr(self._library, "LiteRt" + name)
        function.restype = ctypes.c_int
        status = function(*arguments)
        if status:
            raise LookupError(f"LiteRt{name} returned {status}")

    def _new(self, name: str, *arguments: Any) -> ctypes.c_void_p:
        handle = ctypes.c_void_p()
        self._call(name, *arguments, ctypes.byref(handle))
        return handle

    def _add(self, options: Any, name: bytes, text: str) -> None:
        """Add options in the text form that the library reads; nothing frees the text."""
        payload = ctypes.create_string_buffer(text.encode())
        keep = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(lambda pointer: None)
        self._kept += [payload, keep]
        pointer = ctypes.cast(payload, ctypes.c_void_p)
        opaque = self._new("CreateOpaqueOptions", ctypes.c_char_p(name), pointer, keep)
        self._call("AddOpaqueOptions", options, opaque)

    def _buffers(self, signature: Any, side: str) -> list[ctypes.c_void_p]:
        count = ctypes.c_size_t()
        self._call(f"GetNumSignature{side}s", signature, ctypes.byref(count))
        found = []
        for place in range(count.value):
            index = ctypes.c_size_t(place)
            tensor = self._new(f"GetSignature{side}TensorByIndex", signature, index)
            kind = ctypes.create_string_buffer(1024)  # larger than any version's struct
            self._call("GetRankedTensorType", tensor, kind)
            first = ctypes.c_size_t(0)
            wanted = self._new(
                f"GetCompiledModel{side}BufferRequirements", self._model, first, index
            )
            create = "CreateManagedTensorBufferFromRequirements"
            found.append(self._new(create, self._environment, kind, wanted))
        return found


def litert(agent: Any, interpreter_class: Any, request: dict[str, Any]) -> dict[str, Any]:
    """Profile a TFLite file with LiteRT's profiler."""
    specs = agent.LiteRT(interpreter_class, request["model"], request["threads"]).inputs
    session = LiteRT(request)
    session.fill(inputs(agent, specs, request))
    session.watch(1)
    events, _ = session.watch(1)
    if not 0 < events < BUFFER:
        return {"missing": f"one inference has {events} events, its profiler holds {BUFFER}"}
    batch = max(1, min(request["runs"], (BUFFER - 1) // events))
    tables: list[dict[str, Any]] = []

    def one() -> None:
        _, text = session.watch(batch)
        if len(tables) < TABLES:
            tables.append({"runs": batch, "text": text})

    # `repeat` counts batches: as many tables as the inferences asked for need.
    repeat(one, {"runs": min(TABLES, math.ceil(request["runs"] / batch)), "seconds": 0.0})
    return {"runs": sum(table["runs"] for table in tables), "tables": tables}


def inputs(agent: Any, specs: Sequence[dict[str, Any]], request: dict[str, Any]) -> list[Any]:
    """Return the sample of the request, or seeded random inputs."""
    if request.get("inputs"):
        with np.load(request["inputs"]) as archive:
            if "sample_0" in archive:
                return [archive[f"sample_{i}"] for i in range(len(specs))]
    found: list[Any] = agent.random_inputs(specs, request.get("seed", 0))
    return found


def handle(request: dict[str, Any]) -> dict[str, Any]:
    """Do what the request asks; return the reply."""
    agent = load_agent(request["agent"])
    name, version, loader, _ = agent.find_runtime(request)
    agent.pin(request)
    told = {"schema": SCHEMA, "runtime": name, "version": version}
    if request["format"] == "onnx":
        return {**told, **onnx(agent, loader, request)}
    if name == "litert" and str(version).startswith(LITERT_VERSIONS):
        try:
            return {**told, **litert(agent, loader, request)}
        except (LookupError, AttributeError) as error:  # AttributeError: no such function
            return {**told, "missing": f"LiteRT {version} gives no profile: {error}"}
    known = ", ".join(f"{start}x" for start in LITERT_VERSIONS)
    return {
        **told,
        "missing": f"{name} {version} gives no profile from Python; LiteRT {known} does",
    }


def main(arguments: Sequence[str]) -> int:
    """Read the request, print the reply, return the exit code."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python profiler.py request.json\n")
        return 2
    code = 0
    try:
        reply = handle(json.loads(Path(arguments[0]).read_text(encoding="utf-8")))
    except (Exception, SystemExit) as error:  # whatever it is, the other side must be told
        reply, code = {"schema": SCHEMA, "error": f"{type(error).__name__}: {error}"}, FAILED
    sys.stdout.write("\n" + json.dumps(reply) + "\n")
    sys.stdout.flush()
    return code


if __name__ == "__main__":
    # Python puts this file's folder first: its neighbours must not hide the user's modules.
    sys.path[:] = [p for p in sys.path if Path(p or ".").resolve() != Path(__file__).parent]
    exit_code = main(sys.argv[1:])
    sys.stderr.flush()
    os._exit(exit_code)  # a runtime that crashes while it is torn down has been profiled
