r"""TFLite's and LiteRT's ``benchmark_model``, and ``litert-benchmark`` of LiteRT's wheel.

All three call a table ``BENCHMARK RESULTS`` or a line ``Inference timings in us`` their result::

    Inference timings in us: Init: 32163, First inference: 19834, ..., Inference (avg): 15517.6
    INFO: [benchmark_litert_model.h:100] Inference (avg):      7430.20 ms (10 runs)

The first form stands in microseconds, the second in milliseconds. Both programs in C++ print the
statistics of the warm-up and then those of the measurement in a line of their own, from LiteRT's
first versions on with the median::

    count=64 first=16067 curr=15102 min=14661 max=17579 avg=15517.6 std=551 p5=... median=...

Sources: ``tflite/tools/benchmark/benchmark_model.cc`` and ``litert/tools/benchmark_litert_model.h``
in google-ai-edge/LiteRT.
"""

from __future__ import annotations

import math
import re

from edgekd.bench.native.figures import Figures, checked, found, no_figures, scaled
from edgekd.bench.settings import Settings
from edgekd.errors import MeasurementError

_N = r"\s*([0-9.eE+-]+)"
#: A line of statistics, not one of a table of operators; the last one is the measurement's.
_STATISTICS = re.compile(r"(?<!\): )count=(\d+) ([^\n]*)")
_US = 1e-3


def argv(binary: str, model: str, threads: int, settings: Settings) -> list[str]:
    """Return the command that measures a file; what a version does not know, it passes over."""
    return [
        binary,
        f"--graph={model}",
        f"--num_threads={threads}",
        f"--num_runs={settings.min_runs}",
        f"--min_secs={settings.min_seconds:g}",
        f"--max_secs={settings.max_seconds:g}",
        f"--warmup_runs={settings.warmup_runs}",
        f"--warmup_min_secs={settings.warmup_seconds:g}",
    ]


def profile_argv(binary: str, model: str, threads: int, settings: Settings) -> list[str]:
    """Return the command that profiles a file: TFLite's option and LiteRT's."""
    command = argv(binary, model, threads, settings)
    return [*command, "--enable_op_profiling=true", "--use_profiler=true"]


def python_argv(binary: str, model: str, threads: int, settings: Settings) -> list[str]:
    """Return the command for ``litert-benchmark``, which measures by number and not by time."""
    return [
        binary,
        f"--model={model}",
        f"--num_threads={threads}",
        f"--num_runs={max(500, settings.min_runs)}",
        f"--warmup_runs={max(50, settings.warmup_runs)}",
    ]


def parse(text: str) -> Figures:
    """Return the figures in what one of the programs printed.

    Raises:
        MeasurementError: there is no result in it, or one that cannot be true.
    """
    if "nference timings in us" in text:  # before 2020 "Average inference timings"
        return _tflite(text)
    if "BENCHMARK RESULTS" in text:
        return _litert(text)
    raise no_figures("benchmark_model", text)


def _tflite(text: str) -> Figures:
    """Read the line in microseconds; of TFLite of 2019 on."""
    # "Average inference timings in us: Warmup: ..., Init: ..., no stats: ..." is older still.
    mean = found(rf"(?:Inference \(avg\)|no stats):{_N}", text)
    statistics = _statistics(text)
    if mean is None or not statistics:
        raise no_figures("benchmark_model", text)
    memory = [
        (name, value)
        for name, pattern in (
            ("init", rf"emory footprint[^\n]*\(MB\): init={_N}"),
            ("overall", rf"emory footprint[^\n]*\(MB\): init=\S+ overall={_N}"),
        )
        if (value := found(pattern, text)) is not None
    ]
    return _figures(
        statistics,
        mean_ms=mean * _US,
        load_ms=scaled(found(rf"(?<!\w)Init:{_N}", text), _US),
        first_ms=scaled(found(rf"First inference:{_N}", text), _US),
        memory=memory,
    )


def _litert(text: str) -> Figures:
    """Read the table in milliseconds; of LiteRT, in C++ or in Python."""
    result = text[text.rindex("BENCHMARK RESULTS") :]
    mean = found(rf"Inference \(avg\):{_N} ms", result)
    count = found(r"Inference \(avg\):[^\n]*\((\d+) runs\)", result)
    if mean is None or not count:
        raise no_figures("benchmark_model", text)
    statistics = _statistics(text) or {"count": count}
    for name in ("min", "max", "median", "p5", "p95"):
        value = found(rf"Inference \({name}\):{_N} ms", result)
        if value is not None:
            statistics[name] = value / _US
    warm = found(r"Warmup \(avg\):[^\n]*\((\d+) runs\)", result)
    memory = [
        (name, value)
        for name in ("Init footprint", "Overall footprint", "Peak memory")
        if (value := found(rf"{name}:{_N} MB", result)) is not None
    ]
    return _figures(
        {**statistics, "count": count},
        mean_ms=mean,
        load_ms=found(rf"Model initialization:{_N} ms", result),
        first_ms=found(rf"Warmup \(first\):{_N} ms", result),
        memory=memory,
        warmup_runs=None if warm is None else int(warm),
    )


def _statistics(text: str) -> dict[str, float]:
    """Return the measurement's line of statistics, in microseconds; empty where there is none."""
    lines = list(_STATISTICS.finditer(text))
    if not lines:
        return {}
    pairs = re.findall(r"(\w+)=([0-9.eE+]+)", lines[-1].group(2))
    try:
        statistics = {name: float(value) for name, value in pairs}
    except ValueError:
        return {}
    if "min" not in statistics and "curr" in statistics:
        # "count=5 curr=12(all same)", or one inference: it is every figure.
        statistics = dict.fromkeys(("min", "max", "median"), statistics["curr"])
    statistics["count"] = float(lines[-1].group(1))
    if len(lines) > 1:
        statistics["warm"] = float(lines[-2].group(1))
    return statistics


def _figures(
    statistics: dict[str, float],
    *,
    mean_ms: float,
    load_ms: float | None,
    first_ms: float | None,
    memory: list[tuple[str, float]],
    warmup_runs: int | None = None,
) -> Figures:
    mean_us = statistics.get("avg")
    if mean_us is not None and not math.isclose(mean_us * _US, mean_ms, rel_tol=0.01, abs_tol=0.01):
        raise MeasurementError(
            f"benchmark_model printed two means that contradict one another: {mean_us * _US:.6g} "
            f"and {mean_ms:.6g} ms"
        )
    if warmup_runs is None and "warm" in statistics:
        warmup_runs = int(statistics["warm"])
    return checked(
        Figures(
            n=int(statistics["count"]),
            mean_ms=mean_ms,
            load_ms=load_ms,
            first_ms=first_ms,
            min_ms=scaled(statistics.get("min"), _US),
            max_ms=scaled(statistics.get("max"), _US),
            p5_ms=scaled(statistics.get("p5"), _US),
            p50_ms=scaled(statistics.get("median"), _US),
            p95_ms=scaled(statistics.get("p95"), _US),
            warmup_runs=warmup_runs,
            memory_mb=tuple(memory),
        ),
        "benchmark_model",
    )
