"""What is said to the agent, and what its answer, or its silence, means."""

from __future__ import annotations

import json
import signal
from dataclasses import asdict, dataclass
from typing import Any

from edgekd.bench.agent import SCHEMA, STAGE_MARK
from edgekd.errors import (
    EdgekdError,
    MeasurementError,
    MissingRuntimeError,
    ModelFileError,
    TransportError,
)
from edgekd.transports.base import Completed

#: What the agent was doing, for a sentence.
_DOING = {
    "request": "reading its request",
    "import": "importing the runtime",
    "load": "loading the file",
    "allocate": "allocating its tensors",
    "invoke": "running it",
}
_SIGNAL_HINTS = {
    "SIGKILL": "Something killed it; on a small device most often because memory ran out.",
    "SIGILL": "The runtime was built for another processor than this one.",
    "SIGSEGV": "The file is damaged, or it meets a fault of the runtime: try another version.",
    "SIGABRT": "The file is damaged, or it meets a fault of the runtime: try another version.",
}
_TAIL_LINES = 5
#: Exit codes of a shell that ran a process which a signal killed start here.
_SHELL_SIGNALS = 128


@dataclass(frozen=True)
class Settings:
    """How a file is measured.

    Attributes:
        warmup_runs: untimed inferences, at least.
        warmup_seconds: and at least this long.
        min_runs: timed inferences, at least.
        min_seconds: and at least this long.
        max_seconds: but no longer than this, however few there are; the warm-up a third of it.
        max_samples: where inferences are so short that ``min_seconds`` holds many more, only every
            k-th is timed.
        pin: bind a measurement of one thread to one core.
        seed: of random inputs.
        chunk: samples at once for accuracy, where the file leaves that free.
        timeout: seconds after which a process is given up.
    """

    warmup_runs: int = 10
    warmup_seconds: float = 0.3
    min_runs: int = 100
    min_seconds: float = 1.0
    max_seconds: float = 30.0
    max_samples: int = 10_000
    pin: bool = True
    seed: int = 0
    chunk: int = 64
    timeout: float = 900.0


def build_request(
    settings: Settings,
    *,
    model: str,
    kind: str,
    threads: int,
    runtimes: tuple[str, ...] = (),
    function: str | None = None,
    path: tuple[str, ...] = (),
    cores: tuple[int, ...] = (),
    cooldown: float = 0.0,
    max_temperature: float | None = None,
    inputs: str | None = None,
    outputs: str | None = None,
) -> dict[str, Any]:
    """Return the request for one file.

    Args:
        settings: how to measure.
        model: the file on the device, or the argument of a factory.
        kind: ``tflite``, ``onnx`` or ``factory``.
        threads: threads of the runtime.
        runtimes: those that may be used, in order of preference.
        function: ``module:function`` of a factory.
        path: folders that a factory's modules lie in.
        cores: cores to bind the process to; empty: the last one for one thread.
        cooldown: seconds to rest first.
        max_temperature: degrees Celsius to fall below first.
        inputs: an .npz on the device with ``input_0``, ... (test samples) and ``sample_0``, ...
            (a batch of 1 to measure latency with); without it inputs are random.
        outputs: where the agent writes ``output_0``, ... of the test samples.
    """
    limits = asdict(settings)
    return {
        "schema": SCHEMA,
        "model": model,
        "format": kind,
        "function": function,
        "path": list(path),
        "runtimes": list(runtimes),
        "threads": threads,
        "pin": settings.pin,
        "cores": list(cores),
        "cooldown": cooldown,
        "max_temperature": max_temperature,
        "mode": "latency" if inputs is None else "both",
        "inputs": inputs,
        "outputs": outputs,
        "chunk": settings.chunk,
        "seed": settings.seed,
        "limits": {k: v for k, v in limits.items() if k.startswith(("warmup_", "min_", "max_"))},
    }


def parse_reply(completed: Completed, *, what: str) -> dict[str, Any]:
    """Return the agent's reply.

    Args:
        completed: the ended process.
        what: what was measured, for messages.

    Raises:
        MissingRuntimeError: the device has no runtime for the file.
        ModelFileError: the runtime cannot load the file.
        MeasurementError: the file failed when it was run, killed its process, or took too long.
        TransportError: the process ended without a word.
    """
    reply = _find_reply(completed.stdout)
    if reply is None or completed.timed_out:
        raise _silence(completed, what)
    if "error" in reply:
        raise _failure(reply, what)
    return reply


def _find_reply(stdout: str) -> dict[str, Any] | None:
    """Return the last line that is a reply; runtimes print whatever they like around it."""
    for line in reversed(stdout.splitlines()):
        if SCHEMA not in line:
            continue
        try:
            found = json.loads(line)
        except json.JSONDecodeError:
            continue
        if isinstance(found, dict) and found.get("schema") == SCHEMA:
            return found
    return None


def _failure(reply: dict[str, Any], what: str) -> EdgekdError:
    stage, message = reply.get("stage", "request"), str(reply["error"]).strip()
    first = message.splitlines()[0] if message else "an error without a message"
    text = f"{what}: {_DOING.get(stage, stage)} failed: {first}"
    if stage == "import":
        return MissingRuntimeError(
            text, hint='Install one where it is to run: pip install "edgekd[bench]"'
        )
    if stage in ("load", "allocate"):
        return ModelFileError(
            text,
            hint="It is damaged, or needs an operator or a version that this runtime lacks: "
            "upgrade the runtime, or export it again.",
        )
    return MeasurementError(text)


def _silence(completed: Completed, what: str) -> MeasurementError:
    """Say why there is no reply."""
    stages = [
        line.removeprefix(STAGE_MARK)
        for line in completed.stderr.splitlines()
        if line.startswith(STAGE_MARK)
    ]
    doing = _DOING.get(stages[-1], stages[-1]) if stages else "starting"
    tail = _tail(completed.stderr)
    if completed.timed_out:
        return MeasurementError(f"{what}: took too long and was given up while {doing}{tail}")
    name = _signal_name(completed.returncode)
    if name is not None:
        return MeasurementError(
            f"{what}: the process was killed by {name} while {doing}{tail}",
            hint=_SIGNAL_HINTS.get(name),
        )
    return TransportError(
        f"{what}: the process ended with exit code {completed.returncode} and no answer "
        f"while {doing}{tail}"
    )


def _signal_name(returncode: int) -> str | None:
    number = -returncode if returncode < 0 else returncode - _SHELL_SIGNALS
    try:
        return signal.Signals(number).name
    except ValueError:
        return None


def _tail(stderr: str) -> str:
    lines = [
        line.rstrip()
        for line in stderr.splitlines()
        if line.strip() and not line.startswith(STAGE_MARK)
    ]
    return "".join(f"\n  | {line}" for line in lines[-_TAIL_LINES:])
