"""``onnxruntime_perf_test``: its command, what it prints, and the file with every sample.

It warms up with one inference only. Therefore it is asked for more inferences than are wanted,
and the first of them, by the protocol of every other measurement, are the warm-up.

Source: ``onnxruntime/test/perftest`` in microsoft/onnxruntime. A line of the result file holds
the model's name, the time in seconds (since 1.24 two: of submission, and in total), the peak
working set, the load of the processor and the number of the run.
"""

from __future__ import annotations

import math
from dataclasses import replace

from edgekd.bench.native.figures import Figures, checked, found, no_figures, scaled
from edgekd.bench.settings import Settings

#: Inferences of the first, short call, which says how many are wanted.
PROBE_RUNS = 10
_N = r"\s*([0-9.eE+-]+)"
#: The time's place in a line, counted from its end: before it, a name may hold commas.
_TIME = -4
_FIELDS = 5
#: Samples and the printed mean come from the same clock: they differ by rounding only.
_SLACK = 0.01


def argv(
    binary: str, model: str, threads: int, runs: int, *, result: str | None = None
) -> list[str]:
    """Return the command for so many inferences on inputs that it makes up itself."""
    command = [binary, "-e", "cpu", "-m", "times", "-r", str(runs), "-x", str(threads)]
    return [*command, "-y", "1", "-s", "-I", model, *([result] if result else [])]


def profile_argv(binary: str, model: str, threads: int, prefix: str) -> list[str]:
    """Return the command that writes a trace to a file whose name begins with ``prefix``."""
    command = argv(binary, model, threads, PROBE_RUNS * 5)
    return [*command[:-1], "-p", prefix, model]


def runs_wanted(probe: Figures, settings: Settings) -> tuple[int, int]:
    """Return how many inferences warm up, and how many are timed.

    Args:
        probe: figures of the short call.
        settings: how long to measure.
    """
    mean_s = max(probe.mean_ms, 1e-6) / 1e3
    warm = max(settings.warmup_runs, math.ceil(settings.warmup_seconds / mean_s))
    timed = max(settings.min_runs, math.ceil(settings.min_seconds / mean_s))
    longest = max(1, int(settings.max_seconds / mean_s))
    return min(warm, max(1, longest // 3), settings.max_samples), min(
        timed, longest, settings.max_samples
    )


def parse(text: str) -> Figures:
    """Return the figures that it printed.

    Raises:
        MeasurementError: there is no result in it, or one that cannot be true.
    """
    # "Average inference time cost: 1 ms", later "... cost total: 1 ms", before 2020 "Average
    # time cost:1 ms"; percentiles "P50 Latency: 1 s", before 2021 "P50 Latency is 1sec".
    mean = found(rf"Average (?:inference )?time cost(?: total)?:{_N} ms", text)
    count = found(r"Total (?:inference requests|iterations):\s*(\d+)", text)
    if mean is None or not count:
        raise no_figures("onnxruntime_perf_test", text)
    percentile = {
        name: scaled(found(rf"{name} Latency(?::| is){_N} ?s", text), 1e3)
        for name in ("Min", "Max", "P50", "P90", "P95", "P99")
    }
    memory = scaled(found(rf"Peak working set size:{_N} bytes", text), 1e-6)
    return checked(
        Figures(
            n=int(count),
            mean_ms=mean,
            load_ms=scaled(found(rf"Session creation time cost:{_N} s", text), 1e3),
            first_ms=found(rf"First inference time cost:{_N} ms", text),
            min_ms=percentile["Min"],
            max_ms=percentile["Max"],
            p50_ms=percentile["P50"],
            p90_ms=percentile["P90"],
            p95_ms=percentile["P95"],
            p99_ms=percentile["P99"],
            warmup_runs=1,
            memory_mb=() if memory is None else (("peak working set", memory),),
        ),
        "onnxruntime_perf_test",
    )


def parse_samples(text: str, figures: Figures) -> tuple[float, ...]:
    """Return one time an inference in milliseconds, or none where the file does not fit.

    Args:
        text: the result file.
        figures: what was printed; the samples must have the same number and mean.
    """
    samples = []
    for line in text.splitlines():
        parts = line.split(",")
        if len(parts) < _FIELDS or not parts[-1].strip().isdigit():
            continue  # percentiles stand below the samples
        try:
            samples.append(float(parts[_TIME]) * 1e3)
        except ValueError:
            return ()
    if len(samples) != figures.n:
        return ()
    mean = sum(samples) / len(samples)
    return tuple(samples) if math.isclose(mean, figures.mean_ms, rel_tol=_SLACK) else ()


def with_samples(figures: Figures, raw_ms: tuple[float, ...], warm: int) -> Figures:
    """Return figures whose samples are those after the warm-up.

    Args:
        figures: what was printed, of all inferences.
        raw_ms: one time an inference.
        warm: how many of the first are the warm-up.
    """
    timed = raw_ms[warm:]
    return replace(
        figures,
        n=len(timed),
        mean_ms=sum(timed) / len(timed),
        max_ms=max(timed),
        p95_ms=None,
        warmup_runs=warm,
        raw_ms=timed,
    )
