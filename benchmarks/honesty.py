"""Are the numbers right? What `edgekd benchmark` measures, held against other tools.

- ``tools``: our median of a TFLite file against ``litert-benchmark --num_runs 500``, and of an ONNX
  file against a bare loop around onnxruntime; the two take turns, each turn in a fresh process, one
  thread, on the same core.
- ``repeat``: how much the median varies over fresh processes.
- ``outputs``: whether the emulated Raspberry Pi 5 answers as this machine does, with the same
  versions of the runtimes. Needs what `edgekd devices up` needs.

A turn that other processes have disturbed is taken again, as long as patience lasts.

    EDGEKD_DATA=... python benchmarks/honesty.py [--run RUN] [--out benchmarks/results/honesty.json]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from statistics import median, stdev
from typing import Any

import numpy as np

if __name__ == "__main__":  # run as a file, Python sees this folder only
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.speed.quiet import Patience
from edgekd.bench import agent
from edgekd.bench.connect import connect
from edgekd.bench.devices import Device, load_device
from edgekd.bench.program import run_program
from edgekd.bench.protocol import build_request, parse_reply
from edgekd.bench.settings import settings_for
from edgekd.emulation import down, state, up
from edgekd.provenance import collect
from edgekd.transports.base import Transport
from edgekd.transports.local import LocalTransport
from edgekd.transports.reach import Reach

REPOSITORY = Path(__file__).resolve().parents[1]
RESULT = REPOSITORY / "benchmarks" / "results" / "honesty.json"
DATA = REPOSITORY.parent / "shared" / "data"
PI = "pi5-emulated"
#: Of a fifth of a millisecond to twenty of them.
TOOLS = (
    "mlperf_tiny/kws_ref_model_fp32.tflite",
    "mlperf_tiny/ic_pretrainedResnet_int8.tflite",
    "coral/mobilenet_v1_0.25_128_quant.tflite",
    "ultraface/version-RFB-320.onnx",
)
REPEATED = ("mlperf_tiny/ic_pretrainedResnet_int8.tflite", "ultraface/version-RFB-320.onnx")
OUTPUTS = (
    "mlperf_tiny/kws_ref_model_int8.tflite",
    "mlperf_tiny/ad01_int8.tflite",
    "mlperf_tiny/kws_ref_model_fp32.tflite",
    "ultraface/version-RFB-320.onnx",
)
#: Our median over that of another tool may be off by this much.
TOLERANCE = 0.05
#: Standard deviation over mean of the medians of fresh processes.
VARIATION = 0.03
#: Largest difference of float32 outputs, over their largest magnitude where that is above 1.
FLOAT = 1e-6

_PIN = "import os, sys; os.sched_setaffinity(0, [max(os.sched_getaffinity(0))])\n"
#: litert-benchmark rounds to 0.01 ms, which is 5% of a small model: it is kept from that.
LITERT_BENCHMARK = (
    _PIN
    + "from ai_edge_litert.tools import benchmark_litert_model as tool\n"
    + "tool.round = lambda number, digits: number\n"
    + "tool.main()\n"
)
BARE_LOOP = (
    _PIN
    + """
import statistics, time
import numpy, onnxruntime
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
random = numpy.random.default_rng(0)
feeds = {
    node.name: random.standard_normal([n if isinstance(n, int) else 1 for n in node.shape], "f4")
    for node in session.get_inputs()
}
for _ in range(20):
    session.run(None, feeds)
times = []
for _ in range(int(sys.argv[2])):
    begin = time.perf_counter_ns()
    session.run(None, feeds)
    times.append(time.perf_counter_ns() - begin)
print(statistics.median(times) / 1e6)
"""
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print and write the results; 1 where a promise is not kept."""
    given = _options(arguments)
    data = Path(os.environ.get("EDGEKD_DATA", DATA))
    patience = Patience(given.patience)
    result: dict[str, Any] = {"kind": "honesty", "version": 1, "tools": [], "repeat": []}
    for name in TOOLS:
        result["tools"].append(_told(against_tool(data / name, given.pairs, patience)))
    for name in REPEATED:
        result["repeat"].append(_told(repeated(data / name, given.processes, patience)))
    result["outputs"] = [] if given.no_box else on_the_pi([data / name for name in OUTPUTS])
    if given.run and not given.no_box:
        result["outputs"] += run_on_the_pi(given.run)
    result["disturbed"] = patience.disturbed
    result["machine"] = f"{os.cpu_count()} {platform.machine()} cores"
    result["provenance"] = collect(packages=("ai-edge-litert", "onnxruntime", "numpy")).model_dump(
        mode="json", exclude={"command", "seed"}
    )
    given.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0 if all(row["met"] for row in rows(result)) else 1


def rows(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return everything that was promised and measured."""
    return [*result["tools"], *result["repeat"], *result["outputs"]]


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--pairs", type=int, default=11, help="turns of each tool; default 11")
    parser.add_argument("--processes", type=int, default=20, help="for the variation; default 20")
    parser.add_argument("--patience", type=float, default=600.0, help="seconds to wait for quiet")
    parser.add_argument("--run", help="a run whose files answer on the emulated Pi, too")
    parser.add_argument("--no-box", action="store_true", help="leave the emulated Pi out")
    parser.add_argument("--out", type=Path, default=RESULT, help="where the JSON goes")
    return parser.parse_args(arguments)


def _told(row: dict[str, Any]) -> dict[str, Any]:
    print(json.dumps({key: value for key, value in row.items() if key != "pairs"}), flush=True)
    return row


def against_tool(path: Path, pairs: int, patience: Patience) -> dict[str, Any]:
    """Measure a file by edgekd and by another tool in turns.

    Returns:
        ``pairs``: our median and the other one in milliseconds; ``ratio``: the median of their
        quotients; ``lowest`` and ``highest`` of these.
    """
    tflite = path.suffix == ".tflite"
    theirs = litert_benchmark if tflite else bare_loop
    measured = []
    for number in range(pairs):
        turns = [ours, theirs] if number % 2 == 0 else [theirs, ours]
        found = {turn: undisturbed(turn, path, patience) for turn in turns}
        measured.append((found[ours], found[theirs]))
    quotients = [first / second for first, second in measured]
    ratio = median(quotients)
    return {
        "file": path.name,
        "against": "litert-benchmark --num_runs 500" if tflite else "a bare loop of onnxruntime",
        "pairs": measured,
        "ratio": ratio,
        "lowest": min(quotients),
        "highest": max(quotients),
        "met": abs(ratio - 1) <= TOLERANCE,
    }


def repeated(path: Path, processes: int, patience: Patience) -> dict[str, Any]:
    """Measure a file in fresh processes.

    Returns:
        ``p50_ms`` of each; ``variation``: their standard deviation over their mean.
    """
    medians = [undisturbed(ours, path, patience) for _ in range(processes)]
    variation = stdev(medians) * len(medians) / sum(medians)
    return {
        "file": path.name,
        "p50_ms": medians,
        "variation": variation,
        "met": variation < VARIATION,
    }


def undisturbed(turn: Callable[[Path], float], path: Path, patience: Patience) -> float:
    """Return what a turn gives, taken again while others disturb it."""

    def report() -> dict[str, float]:
        began, spent = time.perf_counter(), _children_seconds()
        found = turn(path)
        seconds = time.perf_counter() - began
        return {"p50": found, "seconds": seconds, "cpu_seconds": _children_seconds() - spent}

    return patience.measured(report)["p50"]


def _children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def ours(path: Path) -> float:
    """Return the median that `edgekd benchmark` finds on this machine, in milliseconds."""
    with closing(LocalTransport()) as transport:
        reply = _ask(transport, load_device("cpu"), path, mode="latency")
    return float(reply["latency"]["p50_ms"])


def litert_benchmark(path: Path) -> float:
    """Return the median of LiteRT's own tool, in milliseconds."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "result.json"
        words = ["--model", str(path), "--num_runs", "500", "--num_threads", "1"]
        argv = [sys.executable, "-c", LITERT_BENCHMARK, *words, "--result_json", str(out)]
        subprocess.run(argv, check=True, capture_output=True)
        return float(json.loads(out.read_text())["latency"]["median_ms"])


def bare_loop(path: Path, runs: int = 200) -> float:
    """Return the median of a loop around onnxruntime, in milliseconds."""
    argv = [sys.executable, "-c", BARE_LOOP, str(path), str(runs)]
    return float(subprocess.run(argv, check=True, capture_output=True, text=True).stdout)


def on_the_pi(paths: Sequence[Path], samples: int = 4) -> list[dict[str, Any]]:
    """Run files on the emulated Raspberry Pi and here, with the same inputs."""
    with (
        emulated(PI) as (device, reach),
        closing(connect(device, reach)) as transport,
        closing(LocalTransport()) as local,
    ):
        return [
            _told(_held(path, (local, load_device("cpu")), (transport, device), samples))
            for path in paths
        ]


def run_on_the_pi(run: str, samples: int = 200) -> list[dict[str, Any]]:
    """Run the files of a run on both with test samples, by `edgekd benchmark` itself.

    The largest magnitude of a float file's outputs is taken to be that of the student's logits.
    """
    from edgekd.bench.options import Options
    from edgekd.bench.stage import benchmark
    from edgekd.rundir import Run

    with np.load(Run.open(run).predictions_path) as stored:
        magnitude = max(1.0, float(abs(stored["student_logits"]).max()))
    with emulated(PI):
        options = Options(mode="accuracy", samples=samples)
        found = benchmark(run, devices=["cpu", PI], options=options, say=print)
    table = []
    for record in [record for record in found if record.device == PI]:
        compared = record.compared[0]
        row = {
            "file": record.artifact,
            "runtime": f"{record.runtime} {record.runtime_version}",
            "same_runtime": compared.same_runtime,
            "samples": compared.samples,
            "identical": compared.identical,
            "difference": (compared.max_difference or 0.0) / magnitude,
        }
        table.append(_told(row | {"met": _as_promised(row, integers="int8" in record.artifact)}))
    return table


@contextmanager
def emulated(name: str) -> Iterator[tuple[Device, Reach]]:
    """Bring a device up, and down again if it was down."""
    device = load_device(name)
    if device.emulation is None:
        raise ValueError(f"{name} is no emulated device")
    was_up = state.reach(name) is not None
    try:
        yield device, up(name, device.emulation, say=print)
    finally:
        if not was_up:
            down(name)


def _held(
    path: Path, here: tuple[Transport, Device], there: tuple[Transport, Device], samples: int
) -> dict[str, Any]:
    """Hold the outputs of a file on one device against those on another."""
    first, second = outputs(path, *here, samples), outputs(path, *there, samples)
    pairs = [(first.outputs[name], second.outputs[name]) for name in sorted(first.outputs)]
    integers = all(np.issubdtype(ours.dtype, np.integer) for ours, _ in pairs)
    wide = [(ours.astype(np.float64), theirs.astype(np.float64)) for ours, theirs in pairs]
    row = {
        "file": path.name,
        "runtime": second.runtime,
        "same_runtime": first.runtime == second.runtime,
        "samples": samples,
        "identical": sum(
            all(ours[n].tobytes() == theirs[n].tobytes() for ours, theirs in pairs)
            for n in range(samples)
        ),
        "difference": max(float(abs(a - b).max() / max(1.0, abs(a).max())) for a, b in wide),
    }
    return row | {"met": _as_promised(row, integers=integers)}


def _as_promised(row: Mapping[str, Any], *, integers: bool) -> bool:
    """Integers are the same bit for bit, floats nearly; versions that differ promise nothing."""
    if not row["same_runtime"]:
        return False
    return row["identical"] == row["samples"] if integers else row["difference"] <= FLOAT


class Answers:
    """What a file answered.

    Attributes:
        runtime: its name and version.
        outputs: each output's samples, by name.
    """

    def __init__(self, reply: Mapping[str, Any], archive: Mapping[str, Any]) -> None:
        """Read everything."""
        self.runtime = f"{reply['runtime']} {reply['version']}"
        self.outputs = {name: np.asarray(archive[name]) for name in archive}


def outputs(path: Path, transport: Transport, device: Device, samples: int) -> Answers:
    """Run a file on seeded random samples, as `edgekd benchmark` does for accuracy."""
    specs = _ask(transport, device, path, mode="memory")["inputs"]
    with tempfile.TemporaryDirectory() as folder:
        given, taken = Path(folder) / "samples.npz", Path(folder) / "answers.npz"
        drawn = [agent.random_inputs(specs, seed) for seed in range(samples)]
        arrays = {
            f"input_{index}": np.concatenate([one[index] for one in drawn])
            for index in range(len(specs))
        }
        np.savez(given, **arrays)  # type: ignore[arg-type]
        remote = f"{transport.folder}/answers.npz"
        chunks = [(transport.put(given), remote)]
        reply = _ask(transport, device, path, mode="accuracy", chunks=chunks)
        transport.get(remote, taken)
        with np.load(taken) as archive:
            return Answers(reply, archive)


def _ask(transport: Transport, device: Device, path: Path, **asked: Any) -> dict[str, Any]:
    """Run the agent; return its reply."""
    settings = settings_for(device)
    request = build_request(
        settings,
        model=transport.put(path),
        kind=path.suffix.lstrip("."),
        threads=1,
        runtimes=device.runtimes,
        **asked,
    )
    completed = run_program(transport, agent, request, timeout=settings.timeout)
    return parse_reply(completed, what=path.name)


if __name__ == "__main__":
    sys.exit(main())
