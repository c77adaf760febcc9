"""One file on one device: from the request to the `Measurement`."""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekd.bench import agent, scores, sensors
from edgekd.bench.chunks import Answers, Samples, groups
from edgekd.bench.native.binary import of_kind
from edgekd.bench.native.measure import measure_native
from edgekd.bench.null_memory import null_memory
from edgekd.bench.operators import Found as FoundOperators
from edgekd.bench.operators import profile
from edgekd.bench.options import COUNTED_RUNS, Mode, Options
from edgekd.bench.program import run_program
from edgekd.bench.protocol import build_request, parse_reply
from edgekd.bench.result import Bench, record
from edgekd.bench.subjects import FACTORY, Subject
from edgekd.bench.testset import TestSet, choose
from edgekd.errors import ModelFileError, TransportError
from edgekd.records import Measurement, TensorSpec
from edgekd.rundir import sha256_file
from edgekd.storage import sha256_bytes

#: Kinds of files that the agent runs with a function of edgekd's, where edgekd is installed.
FUNCTIONS = {
    FACTORY: "edgekd.bench.torch_factory:load",
    "executorch": "edgekd.bench.executorch_factory:load",
}

#: Where a run keeps the answers of a file that is not measured yet, below its measurements.
PARTIAL = ".partial"

Say = Callable[[str], None]


@dataclass
class Course:
    """What is known already of the file at hand; it outlives the loss of the device.

    Attributes:
        reply: the first reply, with latency and memory.
        seconds: how long all of it took so far.
        operators: what their profile gave, where one was asked for.
    """

    reply: dict[str, Any] | None = None
    seconds: float = 0.0
    operators: FoundOperators | None = None

    @contextlib.contextmanager
    def working(self) -> Iterator[Path]:
        """Give a folder for what is sent, and count the time."""
        began = time.perf_counter()
        try:
            with tempfile.TemporaryDirectory(prefix="edgekd-") as folder:
                yield Path(folder)
        finally:
            self.seconds += time.perf_counter() - began


@dataclass(frozen=True)
class Work:
    """One file, and how to measure it.

    Attributes:
        subject: the file.
        threads: threads of the runtime.
        test: the samples for accuracy, or why there are none.
        options: what the user asks.
        keep: a file for the class scores, or None.
    """

    subject: Subject
    threads: int
    test: TestSet | str
    options: Options
    keep: Path | None = None


def measure(
    work: Work, bench: Bench, course: Course, say: Say | None = None
) -> tuple[Measurement, scores.Kept | None]:
    """Measure one file in a fresh process.

    Args:
        work: the file.
        bench: where.
        course: what an earlier attempt found; it is added to.
        say: is told how far it came, where that takes long.

    Returns:
        the measurement, and the class scores if they were asked for.

    Raises:
        ModelFileError: the file is of no use, or the runtime cannot load it.
        MissingRuntimeError: the device has no runtime for it.
        MeasurementError: it failed, killed its process, or took too long.
        TransportError: the device could not be reached; DeviceGoneError: it vanished.
    """
    subject = work.subject
    if subject.fault is not None or subject.kind is None:
        raise subject.fault or ModelFileError(f"{subject.path} is no model file")
    binary = of_kind(work.options.binaries, subject.kind)
    if binary is not None:
        operators = work.options.profile_ops
        return measure_native(
            subject, bench, binary, threads=work.threads, profile_ops=operators
        ), None
    samples = _samples(work, bench)
    if isinstance(samples, str):
        with course.working() as here:
            mode: Mode = "latency" if work.options.mode == "both" else work.options.mode
            if course.reply is None:
                course.reply = _ask(work, bench, mode, here)
            null_memory(bench, subject.kind, work.threads)
            _profile(work, bench, course)
        return concluded(work, bench, course, scores.Scores.none(samples)), None
    answers = Answers(_partial_folder(work, bench, samples), samples)
    with course.working() as here:
        _run_all(work, bench, course, answers, here, say)
        null_memory(bench, subject.kind, work.threads)
        _profile(work, bench, course)
    outputs = _output_specs(subject, course.reply or {})
    reached = scores.judge(answers, outputs, samples.test, work.keep)
    answers.discard()
    return concluded(work, bench, course, reached), reached.kept


def concluded(work: Work, bench: Bench, course: Course, reached: scores.Scores) -> Measurement:
    """Return the record of what is known of a file that has replied."""
    reply = course.reply or {}
    outputs = _output_specs(work.subject, reply)
    found = record(work.subject, bench, work.threads, reply, reached, outputs, course.seconds)
    if course.operators is None:
        return found
    operators, reason = course.operators
    missing = {} if reason is None else {"operators": reason}
    return found.model_copy(
        update={"operators": operators, "unknown": {**found.unknown, **missing}}
    )


def _profile(work: Work, bench: Bench, course: Course) -> None:
    """Time the operators, after everything else: the profiler slows what it watches."""
    if not work.options.profile_ops or course.operators is not None:
        return
    model = bench.transport.put(work.subject.path)
    course.operators = profile(
        bench, model=model, kind=str(work.subject.kind), threads=work.threads
    )


def input_specs(subject: Subject) -> Sequence[TensorSpec]:
    """Return the inputs of a file that belongs to a run; none of a bare one."""
    if subject.artifact is not None:
        return subject.artifact.manifest.inputs
    if subject.run is not None:
        shape = (None, *subject.run.manifest.sample_shape)
        return (TensorSpec(name="input", shape=shape, dtype="float32"),)
    return ()


def _samples(work: Work, bench: Bench) -> Samples | str:
    """Return the samples to run, or why none are."""
    if work.options.mode == "latency":
        return "not asked for: --mode latency"
    if isinstance(work.test, str):
        return work.test
    specs = input_specs(work.subject)
    reason = scores.why_not(specs, work.test)
    if reason is not None:
        return reason
    macs = work.subject.facts.macs if work.subject.facts else None
    count = work.options.samples_for(emulated=bench.device.emulated, macs=macs)
    return Samples(work.test, choose(work.test.targets, count, bench.settings.seed), specs[0])


def _partial_folder(work: Work, bench: Bench, samples: Samples) -> Path:
    """Return where the answers are kept; another file, device or sample has another folder."""
    subject = work.subject
    key = [samples.key(), sha256_file(subject.path), bench.device.name, subject.kind, work.threads]
    name = sha256_bytes(json.dumps(key).encode())[:16]
    folder = subject.run.measurements_dir if subject.run is not None else Path()
    return folder / PARTIAL / name


def _run_all(
    work: Work, bench: Bench, course: Course, answers: Answers, here: Path, say: Say | None
) -> None:
    """Have the latency measured, and every sample answered that is not answered yet."""
    total, size = len(answers.samples.chosen), answers.samples.pieces_in_group
    missing = answers.missing()
    while missing or course.reply is None:
        group = groups(missing, size)[0] if missing else []
        left = sum(len(answers.pieces[number]) for number in missing)
        if say is not None and (left < total or len(missing) > len(group)):
            say(f"{work.subject.name}: {total - left:,} of {total:,} samples are answered")
        mode: Mode = work.options.mode if course.reply is None else "accuracy"
        reply = _ask(work, bench, mode, here, answers, group)
        answers.belong_to(_identity(reply))
        for position, number in enumerate(group):
            bench.transport.get(_remote(bench, position), here / "answers.npz")
            answers.add(number, here / "answers.npz")
        course.reply = course.reply or reply
        missing = answers.missing()


def _identity(reply: dict[str, Any]) -> dict[str, Any]:
    return {key: reply.get(key) for key in ("runtime", "version", "machine")}


def _remote(bench: Bench, position: int) -> str:
    return f"{bench.transport.folder}/answers-{position}.npz"


def _ask(
    work: Work,
    bench: Bench,
    mode: Mode,
    here: Path,
    answers: Answers | None = None,
    group: Sequence[int] = (),
) -> dict[str, Any]:
    """Run the agent; return its reply.

    Args:
        work: the file.
        bench: where.
        mode: what the agent measures.
        here: a folder for what is sent.
        answers: the samples, for the pieces of ``group`` and for an input to measure with.
        group: the numbers of the pieces to run.
    """
    subject, device, transport = work.subject, bench.device, bench.transport
    request = build_request(
        bench.settings,
        model=transport.put(subject.path),
        kind=FACTORY if subject.kind in FUNCTIONS else str(subject.kind),
        threads=work.threads,
        runtimes=device.runtimes,
        function=FUNCTIONS.get(str(subject.kind)),
        path=tuple(str(Path(p or ".").resolve()) for p in sys.path),
        cores=device.affinity,
        cooldown=device.cooldown,
        max_temperature=device.max_temperature,
        mode=mode,
        inputs=None if answers is None else _put_sample(bench, here, answers.samples),
        sensors=transport.put(Path(sensors.__file__)),
        chunks=[
            (_put_piece(bench, here, answers, number, position), _remote(bench, position))
            for position, number in enumerate(group)
            if answers is not None
        ],
    )
    request |= work.options.request()
    if device.emulated and mode != "accuracy":
        request["instructions"] = {"runs": COUNTED_RUNS}
    completed = run_program(transport, agent, request, timeout=bench.settings.timeout)
    reply = parse_reply(completed, what=str(subject.path))
    if reply.get("model_sha256") != sha256_file(subject.path):
        raise TransportError(
            f"{subject.path}: the device measured another file than this one",
            hint="It changed meanwhile, or was damaged on its way: measure again.",
        )
    return reply


def _put_sample(bench: Bench, here: Path, samples: Samples) -> str:
    samples.write_one(here / "sample.npz")
    return bench.transport.put(here / "sample.npz")


def _put_piece(bench: Bench, here: Path, answers: Answers, number: int, position: int) -> str:
    path = here / f"piece-{position}.npz"
    answers.samples.write(answers.pieces[number], path)
    return bench.transport.put(path)


def _output_specs(subject: Subject, reply: dict[str, Any]) -> tuple[TensorSpec, ...]:
    """Return the manifest's specs, which know the layout, or else what the runtime says."""
    if subject.artifact is not None:
        return subject.artifact.manifest.outputs
    return tuple(TensorSpec.model_validate(spec) for spec in reply["outputs"])
