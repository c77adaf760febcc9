"""One file measured by a benchmark program on the device: push, run, read, record."""

from __future__ import annotations

import signal
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgekd import provenance
from edgekd.bench import stats
from edgekd.bench.native import benchmark_model, perf_test, profile
from edgekd.bench.native.binary import Binary
from edgekd.bench.native.figures import Figures, tail
from edgekd.bench.result import Bench, facts_of, parents
from edgekd.bench.subjects import Subject
from edgekd.errors import MeasurementError, TransportError
from edgekd.records import Latency, Measurement
from edgekd.records_bench import OperatorTime
from edgekd.rundir import sha256_file
from edgekd.transports.base import Completed

_NO_ANSWERS = "a benchmark program feeds random numbers and keeps the answers"
_NO_MEMORY = "the program counts itself: its own figure is in environment.program"


def measure_native(
    subject: Subject, bench: Bench, binary: Binary, *, threads: int, profile_ops: bool = False
) -> Measurement:
    """Measure one file with a program on the device.

    Args:
        subject: the file.
        bench: where.
        binary: the program, of the file's kind.
        threads: threads of the runtime.
        profile_ops: run once more to time the operators.

    Raises:
        MeasurementError: the program failed, took too long, or printed nothing that is known.
        TransportError: the device could not be reached.
    """
    if subject.fault is not None:
        raise subject.fault
    began = time.perf_counter()
    session = Session(bench, binary, subject, threads)
    figures = session.time()
    operators: tuple[OperatorTime, ...] = ()
    reason: str | None = None
    if profile_ops:
        operators, reason = profile.profile(session)
    return _record(session, figures, operators, reason, time.perf_counter() - began)


class Session:
    """A program and a file on a device."""

    def __init__(self, bench: Bench, binary: Binary, subject: Subject, threads: int) -> None:
        """Push both; make the program executable where it is a copy."""
        self.bench, self.binary, self.subject, self.threads = bench, binary, subject, threads
        self.program = binary.program
        self.path = bench.transport.put(binary.path)
        if self.path.startswith(bench.transport.folder):
            bench.transport.run(["chmod", "755", self.path], timeout=60)
        self.model = bench.transport.put(subject.path)
        self.prefix, self.warnings = self._pinned()

    def time(self) -> Figures:
        """Return the figures of the program, with its samples where it writes them."""
        settings = self.bench.settings
        if self.program.command is not None:
            command = self.program.command(self.path, self.model, self.threads, settings)
            return benchmark_model.parse(self.run(command))
        probe = perf_test.argv(self.path, self.model, self.threads, perf_test.PROBE_RUNS)
        warm, timed = perf_test.runs_wanted(perf_test.parse(self.run(probe)), settings)
        return self._perf_test(warm, timed)

    def run(self, command: Sequence[str]) -> str:
        """Run a command of the program; return what it printed.

        Raises:
            MeasurementError: it failed, or took too long.
        """
        what = f"{self.subject.path}: {self.program.name}"
        timeout = self.bench.settings.timeout
        completed = self.bench.transport.run([*self.prefix, *command], timeout=timeout)
        text = f"{completed.stdout}\n{completed.stderr}"
        if completed.timed_out:
            raise MeasurementError(f"{what} took too long and was given up{tail(text)}")
        if completed.returncode:
            raise _failed(what, completed, text)
        return text

    def _perf_test(self, warm: int, timed: int) -> Figures:
        remote = f"{self.bench.transport.folder}/perf-{self.subject.path.name}.csv"
        command = perf_test.argv(self.path, self.model, self.threads, warm + timed, result=remote)
        figures = perf_test.parse(self.run(command))
        try:
            with tempfile.TemporaryDirectory(prefix="edgekd-") as folder:
                here = Path(folder) / "result.csv"
                self.bench.transport.get(remote, here)
                raw = perf_test.parse_samples(here.read_text(errors="replace"), figures)
        except (TransportError, OSError):
            raw = ()
        if len(raw) <= warm:
            return figures
        return perf_test.with_samples(figures, raw, warm)

    def _pinned(self) -> tuple[list[str], list[str]]:
        """Return what binds a command to the profile's cores, and what to say if nothing does."""
        cores = self.bench.device.affinity[: self.threads]  # the best first
        if not cores:
            return [], []
        # A mask in hexadecimal is what both util-linux and Android's toybox take.
        prefix = ["taskset", f"{sum(1 << core for core in set(cores)):x}"]
        try:
            good = self.bench.transport.run([*prefix, "true"], timeout=60).returncode == 0
        except TransportError:
            good = False
        return (prefix, []) if good else ([], ["it could not be bound to cores: no taskset there"])


def _failed(what: str, completed: Completed, text: str) -> MeasurementError:
    code = completed.returncode
    hint = None
    if "annot execute" in text or "Exec format error" in text or "not executable" in text:
        hint = "It was built for another processor or system than this device."
    elif "error while loading shared libraries" in text or "CANNOT LINK EXECUTABLE" in text:
        hint = "It needs libraries beside it: build one that is linked statically."
    number = -code if code < 0 else code - 128
    try:
        ended = f"was killed by {signal.Signals(number).name}"
    except ValueError:
        ended = f"ended with exit code {code}"
    return MeasurementError(f"{what} {ended}{tail(text)}", hint=hint)


def latency(figures: Figures) -> tuple[Latency | None, dict[str, str]]:
    """Return the latency that figures give, and why what is missing of it is missing.

    A mean is never taken for a median: where a program prints no median, there is no latency, and
    the mean stands among what the program told.
    """
    warm = figures.warmup_runs or 0
    if figures.raw_ms:
        found = stats.summarise(figures.raw_ms, load_ms=0.0, first_ms=0.0, warmup_runs=warm)
        told = {"load_ms": figures.load_ms, "first_ms": figures.first_ms}
        return found.model_copy(update=told), {}
    if figures.p50_ms is None:
        return None, {
            "latency": "this version of the program prints a mean and no median: "
            f"{figures.mean_ms:.4g} ms over {figures.n} inferences"
        }
    found = Latency(
        n=figures.n,
        load_ms=figures.load_ms,
        first_ms=figures.first_ms,
        min_ms=figures.min_ms,
        p50_ms=figures.p50_ms,
        p90_ms=figures.p90_ms,
        p99_ms=figures.p99_ms,
        mean_ms=figures.mean_ms,
        outliers=None,
        warmup_runs=warm,
        raw_ms=(),
    )
    missing = {"latency.raw_ms": "the program keeps its samples to itself"}
    if figures.p90_ms is None:
        missing["latency.p90_ms"] = "the program prints the 5th and 95th percentile only"
    return found, missing


def _record(
    session: Session,
    figures: Figures,
    operators: tuple[OperatorTime, ...],
    reason: str | None,
    seconds: float,
) -> Measurement:
    subject, bench = session.subject, session.bench
    parameters, macs, unknown = facts_of(subject)
    if bench.device.emulated:
        timed: Latency | None = None
        missing = {"latency": "emulated: milliseconds would say nothing about the device"}
    else:
        timed, missing = latency(figures)
    unknown |= {"accuracy": _NO_ANSWERS, "agreement": _NO_ANSWERS, "peak_rss_bytes": _NO_MEMORY}
    unknown |= {"runtime_version": "the program does not say which it was built with", **missing}
    if reason is not None:
        unknown["operators"] = reason
    manifest = subject.artifact.manifest if subject.artifact else None
    return Measurement(
        status="ok",
        device=bench.device.name,
        artifact=subject.name,
        path=str(subject.path),
        model_sha256=sha256_file(subject.path),
        size_bytes=subject.path.stat().st_size,
        parameters=parameters,
        macs=macs,
        runtime=session.program.name,
        threads=session.threads,
        inputs=manifest.inputs if manifest else (),
        outputs=manifest.outputs if manifest else (),
        latency=timed,
        operators=operators,
        emulated=bench.device.emulated,
        unknown=unknown,
        warnings=tuple([*session.warnings, *_warnings(session, figures)]),
        environment={"program": _told(session, figures), **bench.transport.facts()},
        parents=parents(subject),
        provenance=provenance.collect(wall_seconds=round(seconds, 3)),
    )


def _warnings(session: Session, figures: Figures) -> list[str]:
    found = []
    if figures.n < session.bench.settings.min_runs:
        found.append(f"only {figures.n} inferences fitted into the time")
    if session.threads == 1 and not session.prefix and not session.warnings:
        found.append("it was not bound to one core, the profile names none: latency varies more")
    return found


def _told(session: Session, figures: Figures) -> dict[str, Any]:
    """Return what the program said and the record has no place for."""
    return {
        "name": session.program.name,
        "sha256": session.binary.sha256,
        "n": figures.n,
        "mean_ms": figures.mean_ms,
        "max_ms": figures.max_ms,
        "p5_ms": figures.p5_ms,
        "p95_ms": figures.p95_ms,
        "memory_mb": dict(figures.memory_mb),
    }
