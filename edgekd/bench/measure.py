"""One file on one device: from the request to the `Measurement`."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgekd.bench import agent, scores
from edgekd.bench.protocol import build_request, parse_reply
from edgekd.bench.result import Bench, record
from edgekd.bench.subjects import FACTORY, Subject
from edgekd.errors import ModelFileError, TransportError
from edgekd.records import Measurement, TensorSpec
from edgekd.rundir import sha256_file

#: Kinds of files that the agent runs with a function of edgekd's, where edgekd is installed.
FUNCTIONS = {
    FACTORY: "edgekd.bench.torch_factory:load",
    "executorch": "edgekd.bench.executorch_factory:load",
}


def measure(
    subject: Subject, bench: Bench, *, threads: int, test: scores.TestSet | str
) -> Measurement:
    """Measure one file in a fresh process.

    Args:
        subject: the file.
        bench: where.
        threads: threads of the runtime.
        test: the samples for accuracy, or why there are none.

    Raises:
        ModelFileError: the file is of no use, or the runtime cannot load it.
        MissingRuntimeError: the device has no runtime for it.
        MeasurementError: it failed, killed its process, or took too long.
        TransportError: the device could not be reached.
    """
    if subject.fault is not None or subject.kind is None:
        raise subject.fault or ModelFileError(f"{subject.path} is no model file")
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="edgekd-") as folder:
        here = Path(folder)
        specs = input_specs(subject)
        reason = test if isinstance(test, str) else scores.why_not(specs, test)
        samples = None if reason or isinstance(test, str) else test
        if samples is not None:
            scores.write_inputs(samples, specs[0], here / "inputs.npz")
        reply = _ask(subject, bench, threads, here, with_samples=samples is not None)
        outputs = _output_specs(subject, reply)
        reached = scores.Scores.none(str(reason))
        if samples is not None:
            reached = scores.judge(here / "outputs.npz", outputs, samples)
    seconds = time.perf_counter() - began
    return record(subject, bench, threads, reply, reached, outputs, seconds)


def _ask(
    subject: Subject, bench: Bench, threads: int, here: Path, *, with_samples: bool
) -> dict[str, Any]:
    """Run the agent; return its reply. The answers come back into ``here``."""
    device, transport = bench.device, bench.transport
    answers = f"{transport.folder}/outputs.npz"
    request = build_request(
        bench.settings,
        model=transport.put(subject.path),
        kind=FACTORY if subject.kind in FUNCTIONS else str(subject.kind),
        threads=threads,
        runtimes=device.runtimes,
        function=FUNCTIONS.get(str(subject.kind)),
        path=tuple(str(Path(p or ".").resolve()) for p in sys.path),
        cores=device.affinity,
        cooldown=device.cooldown,
        max_temperature=device.max_temperature,
        inputs=transport.put(here / "inputs.npz") if with_samples else None,
        outputs=answers if with_samples else None,
    )
    (here / "request.json").write_text(json.dumps(request))
    argv = [
        transport.python,
        transport.put(Path(agent.__file__)),
        transport.put(here / "request.json"),
    ]
    completed = transport.run(argv, timeout=bench.settings.timeout)
    reply = parse_reply(completed, what=str(subject.path))
    if reply.get("model_sha256") != sha256_file(subject.path):
        raise TransportError(
            f"{subject.path}: the device measured another file than this one",
            hint="It changed meanwhile, or was damaged on its way: measure again.",
        )
    if with_samples:
        transport.get(answers, here / "outputs.npz")
    return reply


def input_specs(subject: Subject) -> Sequence[TensorSpec]:
    """Return the inputs of a file that belongs to a run; none of a bare one."""
    if subject.artifact is not None:
        return subject.artifact.manifest.inputs
    if subject.run is not None:
        shape = (None, *subject.run.manifest.sample_shape)
        return (TensorSpec(name="input", shape=shape, dtype="float32"),)
    return ()


def _output_specs(subject: Subject, reply: dict[str, Any]) -> tuple[TensorSpec, ...]:
    """Return the manifest's specs, which know the layout, or else what the runtime says."""
    if subject.artifact is not None:
        return subject.artifact.manifest.outputs
    return tuple(TensorSpec.model_validate(spec) for spec in reply["outputs"])
