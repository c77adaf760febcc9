"""How well counts of instructions repeat, and what the emulated processor changes in them.

Each file is run in several fresh processes on the emulated Raspberry Pi 4 and 5, one thread, seeded
random inputs; each process counts ten inferences after its warm-up, and its median is what
`edgekd benchmark` reports. Some are counted once more while other processes keep every core of this
machine busy. Needs what `edgekd devices up` needs. Devices that were down are taken down again.

    EDGEKD_DATA=... python benchmarks/instructions.py [--out benchmarks/results/instructions.json]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

if __name__ == "__main__":  # run as a file, Python sees this folder only
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from edgekd.bench import agent
from edgekd.bench.connect import connect
from edgekd.bench.devices import Device, load_device
from edgekd.bench.options import COUNTED_RUNS
from edgekd.bench.program import run_program
from edgekd.bench.protocol import build_request, parse_reply
from edgekd.bench.settings import Settings
from edgekd.emulation import down, state, up
from edgekd.transports.base import Transport

REPOSITORY = Path(__file__).resolve().parents[1]
RESULT = REPOSITORY / "benchmarks" / "results" / "instructions.json"
DATA = REPOSITORY.parent / "shared" / "data"
DEVICES = ("pi4-emulated", "pi5-emulated")
MODELS = (
    "mlperf_tiny/kws_ref_model_fp32.tflite",
    "mlperf_tiny/kws_ref_model_int8.tflite",
    "mlperf_tiny/ic_pretrainedResnet_fp32.tflite",
    "mlperf_tiny/ic_pretrainedResnet_int8.tflite",
    "mlperf_tiny/ad01_int8.tflite",
    "ultraface/version-RFB-320.onnx",
)
#: Counted on a busy machine too.
BUSY = ("mlperf_tiny/kws_ref_model_int8.tflite", "ultraface/version-RFB-320.onnx")


def main(arguments: Sequence[str] | None = None) -> int:
    """Count, and write the table."""
    options = _options(arguments)
    data = Path(os.environ.get("EDGEKD_DATA", DATA))
    rows = []
    for name in DEVICES:
        with _device(name) as (device, transport):
            for model in MODELS:
                rows.append(_row(transport, device, data / model, options.processes))
                print(json.dumps(rows[-1]), flush=True)
            for model in BUSY:
                with _busy():
                    row = _row(transport, device, data / model, options.processes)
                rows.append({**row, "busy": True})
                print(json.dumps(rows[-1]), flush=True)
    table = {
        "machine": f"{os.cpu_count()} {platform.machine()} cores",
        "counter": rows[0].pop("counter"),
        "inferences_in_a_process": COUNTED_RUNS,
        "rows": [{k: v for k, v in row.items() if k != "counter"} for row in rows],
    }
    Path(options.out).write_text(json.dumps(table, indent=1) + "\n")
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--processes", type=int, default=5)
    parser.add_argument("--out", default=RESULT)
    return parser.parse_args(arguments)


@contextmanager
def _device(name: str) -> Iterator[tuple[Device, Transport]]:
    """Bring a device up, and down again if it was down."""
    device = load_device(name)
    if device.emulation is None:
        raise ValueError(f"{name} is no emulated device")
    was_up = state.reach(name) is not None
    try:
        transport = connect(device, up(name, device.emulation, say=print))
        try:
            yield device, transport
        finally:
            transport.close()
    finally:
        if not was_up:
            down(name)


@contextmanager
def _busy() -> Iterator[None]:
    """Keep every core of this machine busy."""
    loop = [sys.executable, "-c", "while True: pass"]
    processes = [subprocess.Popen(loop) for _ in range(os.cpu_count() or 1)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _row(transport: Transport, device: Device, path: Path, processes: int) -> dict[str, Any]:
    """Count one file in fresh processes.

    Returns:
        ``per_inference``: the median of all processes; ``processes``: the median of each one;
        ``spread``: the largest minus the smallest of these over the median; ``spread_within``:
        the same of the inferences of one process, for the process where it is largest;
        ``others``: the largest share that other threads executed meanwhile, which does not count.
    """
    counted = [_count(transport, device, path) for _ in range(processes)]
    each = [[int(n) for n in found["instructions"]["raw"]] for found in counted]
    medians = [median(raw) for raw in each]
    middle = median(medians)
    others = max(sum(found["instructions"]["others"]) for found in counted)
    return {
        "model": path.name,
        "cpu": counted[0]["instructions"]["cpu"],
        "counter": counted[0]["instructions"]["counter"],
        "runtime": f"{counted[0]['runtime']} {counted[0]['version']}",
        "per_inference": round(middle),
        "processes": [round(one) for one in medians],
        "spread": (max(medians) - min(medians)) / middle,
        "spread_within": max((max(raw) - min(raw)) / middle for raw in each),
        "others": others / COUNTED_RUNS / middle,
        "outputs": sorted({"".join(found["output_sha256"])[:12] for found in counted}),
    }


def _count(transport: Transport, device: Device, path: Path) -> dict[str, Any]:
    settings = Settings()
    request = build_request(
        settings,
        model=transport.put(path),
        kind=path.suffix.lstrip("."),
        threads=1,
        runtimes=device.runtimes,
    )
    request["instructions"] = {"runs": COUNTED_RUNS}
    completed = run_program(transport, agent, request, timeout=settings.timeout)
    return parse_reply(completed, what=path.name)


if __name__ == "__main__":
    sys.exit(main())
