"""What is said to the agent, and what its answer, or its silence, means."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any, Literal

from edgekd.bench.agent import SCHEMA, STAGE_MARK
from edgekd.bench.reply import faults
from edgekd.bench.settings import Settings
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
    "score": "running the test samples",
}
_SIGNAL_HINTS = {
    "SIGKILL": "Something killed it; on a small device most often because memory ran out.",
    "SIGILL": "The runtime was built for another processor than this one.",
    "SIGSEGV": "The file is damaged, or it meets a fault of the runtime: try another version.",
    "SIGABRT": "The file is damaged, or it meets a fault of the runtime: try another version.",
}
#: Words of the system in a failure or in last words, and what to do about it.
_WORD_HINTS = {
    "No space left": "The device's disk is full: free some room there.",
    "bad_alloc": "Its memory ran out.",
    "MemoryError": "Its memory ran out.",
    "Cannot allocate memory": "Its memory ran out.",
    "Failed to allocate memory": "Its memory ran out.",
}
#: What a Python says that is too old to read the agent.
_OLD_PYTHON = ("SyntaxError", "future feature annotations is not defined")
#: What the agent says on one that is too old to go on.
_TOO_OLD = "Python 3.9 or newer is needed, this is "
_NEWER = "Python 3.9 or newer is needed there: name another one, python in your devices.toml."
#: What runtimes tell of themselves, which explains no failure.
_CHATTER = ("INFO: ", "I0000 ")
_TAIL_LINES = 5
#: A device may print megabytes; of a line of it, so much is looked at and shown.
_TAIL_WIDTH = 200
#: A line may look like an answer many times over; only so often is it believed.
_TRIES = 100
#: Exit codes of a shell that ran a process which a signal killed start here.
_SHELL_SIGNALS = 128


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
    mode: Literal["latency", "accuracy", "both", "memory"] = "latency",
    inputs: str | None = None,
    chunks: Sequence[tuple[str, str]] = (),
    sensors: str | None = None,
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
        mode: what to measure; ``memory``: the file is only loaded and run.
        inputs: an .npz on the device with ``sample_0``, ... (a batch of 1 to measure latency
            with); without it inputs are random.
        chunks: for accuracy, pairs of an .npz on the device with test samples ``input_0``, ...,
            which the agent removes once it has run them, and of where it is to write
            ``output_0``, ... of them.
        sensors: ``sensors.py`` on the device, which reads clock, heat and power; None: it does not.
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
        "mode": mode,
        "inputs": inputs,
        "chunks": [{"inputs": source, "outputs": target} for source, target in chunks],
        "chunk": settings.chunk,
        "sensors": sensors,
        "energy": settings.energy,
        "seed": settings.seed,
        "limits": {k: v for k, v in limits.items() if k.startswith(("warmup_", "min_", "max_"))},
    }


def parse_reply(
    completed: Completed,
    *,
    what: str,
    schema: str = SCHEMA,
    check: Callable[[dict[str, Any]], list[str]] = faults,
) -> dict[str, Any]:
    """Return the agent's reply, which holds what `edgekd.bench.reply.Reply` says.

    Args:
        completed: the ended process.
        what: what was measured, for messages.
        schema: what the reply calls itself.
        check: returns what is wrong with it.

    Raises:
        MissingRuntimeError: the device has no runtime for the file, or its Python is too old.
        ModelFileError: the runtime cannot load the file.
        MeasurementError: the file failed when it was run, killed its process, or took too long;
            or the answer cannot be used.
        TransportError: the process ended without a word.
    """
    reply = _find_reply(completed.stdout, schema)
    if reply is None or completed.timed_out:
        raise _silence(completed, what)
    wrong = check(reply)
    if wrong:
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        raise MeasurementError(
            f"{what}: the device's answer is none of {schema}: {wrong[0]}{more}",
            hint="Something else than edgekd's own agent has answered.",
        )
    if "error" in reply:
        raise _failure(reply, what)
    return reply


def _find_reply(stdout: str, schema: str) -> dict[str, Any] | None:
    """Return the last object that is a reply; runtimes print whatever they like around it.

    A thread of theirs may even print on the same line.
    """
    decoder = json.JSONDecoder()
    for line in reversed(stdout.splitlines()):
        if schema not in line:
            continue
        end = len(line)
        for _ in range(_TRIES):
            end = line.rfind('{"schema"', 0, end)
            if end < 0:
                break
            try:
                found = decoder.raw_decode(line, end)[0]
            except (ValueError, RecursionError):
                continue
            if isinstance(found, dict) and found.get("schema") == schema:
                return found
    return None


def _failure(reply: dict[str, Any], what: str) -> EdgekdError:
    stage, message = reply.get("stage", "request"), str(reply["error"]).strip()
    first = message.splitlines()[0] if message else "an error without a message"
    if first.endswith(":"):
        first += " and no reason"
    if _TOO_OLD in first:
        version = first.partition(_TOO_OLD)[2]
        return MissingRuntimeError(
            f"{what}: the device's Python is too old: it is {version}", hint=_NEWER
        )
    text = f"{what}: {_DOING.get(stage, stage)} failed: {first}"
    if _word_hint(message) is not None:
        return MeasurementError(text, hint=_word_hint(message))
    if stage == "import":
        return MissingRuntimeError(
            text,
            hint='Install one where it is to run: pip install "edgekd[bench]" on this machine, '
            "elsewhere the line that `edgekd devices doctor` gives.",
        )
    if stage in ("load", "allocate"):
        return ModelFileError(
            text,
            hint="It is damaged, needs an operator or a version that this runtime lacks, or more "
            "memory than there is: upgrade the runtime, or export it again.",
        )
    return MeasurementError(text)


def _word_hint(text: str) -> str | None:
    return next((hint for word, hint in _WORD_HINTS.items() if word in text), None)


def _silence(completed: Completed, what: str) -> EdgekdError:
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
            hint=_word_hint(tail) or _SIGNAL_HINTS.get(name),
        )
    if not stages and any(word in completed.stderr for word in _OLD_PYTHON):
        return MissingRuntimeError(
            f"{what}: the device's Python is too old to read the agent", hint=_NEWER
        )
    return TransportError(
        f"{what}: the process ended with exit code {completed.returncode} and no answer "
        f"while {doing}{tail}",
        hint=_word_hint(tail),
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
        if line.strip() and not line.startswith((STAGE_MARK, *_CHATTER))
    ]
    return "".join(f"\n  | {line[:_TAIL_WIDTH]}" for line in lines[-_TAIL_LINES:])
