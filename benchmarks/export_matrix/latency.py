"""Latency of sibling files, interleaved in one process on one thread: only the ratios count."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from benchmarks.export_matrix.samples import Arrays
from edgekd.runtimes import RUNTIMES
from edgekd.runtimes.codec import encode

RUNS = 100
_WARM_UP = 10
_RUNTIME = {"onnx": "onnxruntime", "tflite": "litert"}


def medians(
    files: Mapping[str, tuple[str, Path, Mapping[str, str | None]]], samples: Arrays
) -> dict[str, float]:
    """Return the median seconds of one sample, by the name of the file.

    Args:
        files: name -> (target, path, layouts of its inputs by name).
        samples: inputs by name, channels first; the first of them is run.
    """
    ready = {}
    for name, (target, path, layouts) in files.items():
        session = RUNTIMES.resolve(_RUNTIME[target])(path)
        specs = [s.model_copy(update={"layout": layouts.get(s.name)}) for s in session.inputs]
        ready[name] = session, [encode(samples[spec.name][:1], spec) for spec in specs]
    times: dict[str, list[float]] = {name: [] for name in ready}
    for turn in range(_WARM_UP + RUNS):
        for name, (session, arrays) in ready.items():
            started = time.perf_counter()
            session.run(arrays)
            if turn >= _WARM_UP:
                times[name].append(time.perf_counter() - started)
    return {name: float(np.median(values)) for name, values in times.items()}
