"""Which operators take the time: the profiler beside the agent, and what its answer means."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from edgekd.bench import agent, profiler
from edgekd.bench.native import optable
from edgekd.bench.program import run_program
from edgekd.bench.result import Bench
from edgekd.errors import MeasurementError
from edgekd.records_bench import OperatorTime

#: Profiled inferences, at least, and how long at least.
RUNS = 50
SECONDS = 0.5

Found = tuple[tuple[OperatorTime, ...], str | None]


def profile(
    bench: Bench, *, model: str, kind: str, threads: int, inputs: str | None = None
) -> Found:
    """Profile a file on a device, in a process of its own.

    A profile that cannot be had is no failure of the measurement: the reason is returned.

    Args:
        bench: where.
        model: the file on the device.
        kind: ``tflite`` or ``onnx``; of another one there is no profile.
        threads: threads of the runtime.
        inputs: an .npz on the device with ``sample_0``, ...; without it inputs are random.

    Returns:
        the operators in the order they run, and the reason where there are none.

    Raises:
        TransportError: the device could not be reached.
    """
    if bench.device.emulated:
        return (), "emulated: times mean nothing"
    if kind not in ("tflite", "onnx"):
        return (), "operators are timed of TFLite and ONNX files only"
    request = _request(bench, model, kind, threads, inputs)
    timeout = bench.settings.timeout
    completed = run_program(
        bench.transport, profiler, request, timeout=timeout, name="profile.json"
    )
    if completed.timed_out:
        return (), "the profiler took too long"
    reply = _reply(completed.stdout)
    if reply is None:
        return (), f"the profiler ended with exit code {completed.returncode} and no answer"
    return read(reply)


def _request(
    bench: Bench, model: str, kind: str, threads: int, inputs: str | None
) -> dict[str, Any]:
    return {
        "schema": profiler.SCHEMA,
        "agent": bench.transport.put(Path(agent.__file__)),
        "folder": bench.transport.folder,
        "model": model,
        "format": kind,
        "runtimes": list(bench.device.runtimes),
        "threads": threads,
        "pin": bench.settings.pin,
        "cores": list(bench.device.affinity),
        "inputs": inputs,
        "seed": bench.settings.seed,
        "runs": RUNS,
        "seconds": SECONDS,
    }


def _reply(stdout: str) -> dict[str, Any] | None:
    for line in reversed(stdout.splitlines()):
        if profiler.SCHEMA not in line:
            continue
        try:
            found = json.loads(line)
        except json.JSONDecodeError:
            continue
        if isinstance(found, dict) and found.get("schema") == profiler.SCHEMA:
            return found
    return None


def read(reply: dict[str, Any]) -> Found:
    """Return the operators of the profiler's reply, and the reason where there are none."""
    if "error" in reply or "missing" in reply:
        return (), str(reply.get("missing") or f"the profiler failed: {reply['error']}")
    try:
        if "tables" in reply:
            found = _of_tables(reply["tables"])
        else:
            found = from_totals(reply["operators"], int(reply["runs"]))
    except (KeyError, TypeError, ValueError, ValidationError, MeasurementError) as error:
        return (), f"the profiler's answer cannot be read: {error}"
    return (found, None) if found else ((), "the profiler saw no operator")


def from_totals(entries: list[dict[str, Any]], runs: int) -> tuple[OperatorTime, ...]:
    """Return operators from their times in all inferences.

    Args:
        entries: ``name``, ``kind``, ``calls`` and ``total_us`` each, as `profiler.from_trace`
            gives them.
        runs: inferences.
    """
    whole = sum(float(entry["total_us"]) for entry in entries)
    return tuple(
        OperatorTime(
            name=entry["name"],
            kind=entry["kind"],
            calls=max(1, round(entry["calls"] / runs)),
            mean_ms=float(entry["total_us"]) / runs / 1e3,
            share=float(entry["total_us"]) / whole if whole else 0.0,
        )
        for entry in entries
    )


def _of_tables(tables: list[dict[str, Any]]) -> tuple[OperatorTime, ...]:
    """Add tables up: LiteRT's profiler holds the events of some inferences only."""
    totals: dict[tuple[str, str], dict[str, Any]] = {}
    runs = 0
    for table in tables:
        parsed = optable.parse(table["text"])
        if parsed is None:
            raise MeasurementError("LiteRT's profiler printed no table that is known")
        runs += int(table["runs"])
        for operator in optable.operators(parsed, int(table["runs"])):
            key = operator.kind, operator.name
            entry = totals.setdefault(
                key, {"name": operator.name, "kind": operator.kind, "calls": 0, "total_us": 0.0}
            )
            entry["calls"] += operator.calls * int(table["runs"])
            entry["total_us"] += operator.mean_ms * 1e3 * int(table["runs"])
    return from_totals(list(totals.values()), runs)
