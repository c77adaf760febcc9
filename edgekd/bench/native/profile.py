"""Which operators take the time, by the program's own profiler: a run of its own."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from edgekd.bench import operators, profiler
from edgekd.bench.native import benchmark_model, optable, perf_test
from edgekd.errors import MeasurementError, TransportError

if TYPE_CHECKING:
    from edgekd.bench.native.measure import Session


def profile(session: Session) -> operators.Found:
    """Return the operators in the order they run, and the reason where there are none."""
    if session.bench.device.emulated:
        return (), "emulated: times mean nothing"
    if session.program.name == "litert-benchmark":
        return (), "litert-benchmark has no profiler"
    try:
        if session.program.kind == "onnx":
            return _of_trace(session)
        return _of_table(session)
    except MeasurementError as error:
        if isinstance(error, TransportError):
            raise
        return (), f"the profiling run failed: {error.message.splitlines()[0]}"


def _of_table(session: Session) -> operators.Found:
    command = benchmark_model.profile_argv(
        session.path, session.model, session.threads, session.bench.settings
    )
    table = optable.parse(session.run(command))
    if table is None:
        return (), "the program printed no table of operators"
    return optable.operators(table), None


def _of_trace(session: Session) -> operators.Found:
    """Fetch the trace of onnxruntime's profiler; its name ends with the time."""
    transport = session.bench.transport
    prefix = f"trace-{session.subject.path.stem}"
    session.run(
        perf_test.profile_argv(
            session.path, session.model, session.threads, f"{transport.folder}/{prefix}"
        )
    )
    listed = transport.run(["ls", transport.folder], timeout=60).stdout.splitlines()
    names = [name.strip() for name in listed if name.strip().startswith(prefix)]
    if not names:
        return (), "the program wrote no trace"
    with tempfile.TemporaryDirectory(prefix="edgekd-") as folder:
        here = Path(folder) / "trace.json"
        transport.get(f"{transport.folder}/{names[-1]}", here)
        return read_trace(here.read_text(encoding="utf-8", errors="replace"))


def read_trace(text: str) -> operators.Found:
    """Return the operators of a trace of onnxruntime's profiler."""
    try:
        runs, entries = profiler.from_trace(json.loads(text))
        found = operators.from_totals(entries, runs)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return (), f"the trace cannot be read: {type(error).__name__}"
    return (found, None) if found else ((), "the trace has no operator")
