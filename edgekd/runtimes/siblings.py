"""Two files of one network in one process: is the quantized one slower here, and by what?

It is run in the fresh process that proves a file, after the proof.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd.runtimes import RUNTIMES
from edgekd.runtimes.codec import encode
from edgekd.runtimes.session import Session

#: Seconds that both files run for together, after a tenth of it to warm up.
BUDGET = 0.4
_LEAST = 9

#: What counts as slower: medians of interleaved runs repeat within a few percent.
SLOWER = 1.1
_PROFILED = 20
_NAMED = 3

Arrays = Mapping[str, NDArray[Any]]
_Blame = Callable[[Path, Path, Arrays, Mapping[str, str | None]], str]


def slower(
    path: Path, floats: Path, runtime: str, samples: Arrays, layouts: Mapping[str, str | None]
) -> tuple[float, str]:
    """Time one sample through both files, interleaved, on one thread.

    Args:
        path: the quantized file.
        floats: the float file that it was made of.
        runtime: a row of the table of runtimes.
        samples: network inputs ``(n, *shape)`` by name, channels first.
        layouts: of inputs that are images, by name.

    Returns:
        The ratio of the medians, and the operators at fault in words where it is above `SLOWER`.
    """
    runs = [_one(RUNTIMES.resolve(runtime)(file), samples, layouts) for file in (path, floats)]
    times: tuple[list[float], list[float]] = ([], [])
    began = time.perf_counter()
    while (spent := time.perf_counter() - began) < BUDGET or len(times[0]) < _LEAST:
        for run, found in zip(runs, times, strict=True):
            started = time.perf_counter()
            run()
            if spent > BUDGET / 10:
                found.append(time.perf_counter() - started)
    ratio = float(np.median(times[0]) / np.median(times[1]))
    blame = _BLAMES.get(runtime)
    return ratio, "" if ratio <= SLOWER or blame is None else blame(path, floats, samples, layouts)


def _one(session: Session, samples: Arrays, layouts: Mapping[str, str | None]) -> Callable[[], Any]:
    """Return what runs the first samples, as many as the file takes at once or one."""
    specs = [one.model_copy(update={"layout": layouts.get(one.name)}) for one in session.inputs]
    rows = np.resize(np.arange(1), specs[0].shape[0] or 1)
    arrays = [encode(samples[spec.name][rows], spec) for spec in specs]
    return lambda: session.run(arrays)


def _outside_xnnpack(
    path: Path, floats: Path, samples: Arrays, layouts: Mapping[str, str | None]
) -> str:
    """Name the operators of a TFLite file that XNNPACK leaves to LiteRT's own kernels."""
    left, before = Counter(_undelegated(path)), Counter(_undelegated(floats))
    more = left - before
    if not more:
        return (
            "XNNPACK runs all that it runs of the float file: its int8 kernels are not faster here"
        )
    return f"XNNPACK leaves {_counted(more)} to slower kernels"


def _undelegated(path: Path) -> list[str]:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path), num_threads=1)
    interpreter.allocate_tensors()
    operators = interpreter._get_ops_details()
    delegates = [one for one in operators if one["op_name"] == "DELEGATE"]
    others = [one for one in operators if one["op_name"] != "DELEGATE"]
    made_by = {int(t): one for one in others for t in one["outputs"]}
    inside: set[int] = set()
    for delegate in delegates:
        given, open_ = {int(t) for t in delegate["inputs"]}, list(map(int, delegate["outputs"]))
        while open_:
            one = made_by.get(open_.pop())
            if one is None or one["index"] in inside:
                continue
            inside.add(one["index"])
            open_ += [int(t) for t in one["inputs"] if int(t) >= 0 and int(t) not in given]
    return [str(one["op_name"]) for one in others if one["index"] not in inside]


def _profiled(path: Path, floats: Path, samples: Arrays, layouts: Mapping[str, str | None]) -> str:
    """Name the operators of an ONNX file that take more time than in the float file."""
    mine, other = (_times(file, samples, layouts) for file in (path, floats))
    more = {name: seconds - other.get(name, 0.0) for name, seconds in mine.items()}
    worst = sorted((n for n in more if more[n] > 0), key=lambda n: -more[n])[:_NAMED]
    total = sum(mine.values())
    if not worst or not total:
        return ""
    shares = ", ".join(f"{name} ({mine[name] / total:.0%} of its time)" for name in worst)
    return f"what costs more than in the float file: {shares}"


def _times(path: Path, samples: Arrays, layouts: Mapping[str, str | None]) -> dict[str, float]:
    """Return the time of each kind of operator, by onnxruntime's own profile."""
    import onnxruntime as ort

    from edgekd.runtimes.onnxruntime import OnnxRuntimeSession

    with tempfile.TemporaryDirectory(prefix="edgekd-profile-") as folder:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "profile")
        session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        run = _one(OnnxRuntimeSession(path, session), samples, layouts)
        for _ in range(_PROFILED):
            run()
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    found: dict[str, float] = {}
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            name = event["args"]["op_name"]
            found[name] = found.get(name, 0.0) + event["dur"] / 1e6
    return found


def _counted(names: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in names.most_common(_NAMED))


_BLAMES: dict[str, _Blame] = {"litert": _outside_xnnpack, "onnxruntime": _profiled}


def words(ratio: float, why: str) -> Sequence[str]:
    """Return the note for a manifest: none where the quantized file is not slower."""
    if ratio <= SLOWER:
        return ()
    reason = f": {why}" if why else ""
    return (f"slower than the float file on this machine, {ratio:.2f} times its latency{reason}",)
