"""A model file run in a process of its own, as a device would first meet it.

The file is loaded from disk by a process that has never seen the network it was made of. A file
that takes its runtime down with it takes down that process, and nothing else.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd.errors import EdgekdError, ModelFileError
from edgekd.records import TensorSpec
from edgekd.runtimes import RUNTIMES
from edgekd.runtimes.codec import decode, encode

Arrays = Mapping[str, NDArray[Any]]

#: Longer than any file that is of use on a small device takes for a few hundred samples.
_TIMEOUT = 900.0


@dataclass(frozen=True)
class Asked:
    """Samples to run, and how many at once.

    Attributes:
        samples: network inputs ``(n, *shape)`` by name, channels first.
        batch: the size of a batch; a file of a fixed one takes its own.
    """

    samples: Arrays
    batch: int


@dataclass(frozen=True)
class Answered:
    """What the file gave.

    Attributes:
        runtime: name and version of what ran it.
        inputs: the file's inputs, with the layouts that were said.
        outputs: the file's outputs, likewise.
        answers: for each question, real outputs ``(n, ...)`` by name, channels first.
    """

    runtime: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    answers: tuple[dict[str, NDArray[np.float32]], ...]
    notes: tuple[str, ...] = ()


def run_fresh(
    path: Path,
    runtime: str,
    questions: Sequence[Asked],
    layouts: Mapping[str, str | None],
    floats: Path | None = None,
) -> Answered:
    """Run a file in a new process.

    Args:
        path: the file.
        runtime: a row of the table of runtimes.
        questions: what to run.
        layouts: of inputs and outputs that are images, by name.
        floats: the float file that this one was made of, to compare latencies with.

    Raises:
        ModelFileError: the file cannot be loaded or run, or kills its runtime.
    """
    with tempfile.TemporaryDirectory(prefix="edgekd-fresh-") as name:
        folder = Path(name)
        for number, asked in enumerate(questions):
            np.savez(folder / f"asked-{number}.npz", **asked.samples)  # type: ignore[arg-type]
        request = {
            "path": str(path.resolve()),
            "runtime": runtime,
            "floats": None if floats is None else str(floats.resolve()),
            "layouts": dict(layouts),
            "batches": [asked.batch for asked in questions],
        }
        (folder / "request.json").write_text(json.dumps(request), encoding="utf-8")
        _spawn(folder, path)
        reply = json.loads((folder / "reply.json").read_text(encoding="utf-8"))
        if "error" in reply:
            raise ModelFileError(reply["error"], hint=reply["hint"])
        answers = []
        for number in range(len(questions)):
            with np.load(folder / f"answer-{number}.npz", allow_pickle=False) as found:
                answers.append({key: found[key] for key in found.files})
    return Answered(
        reply["runtime"],
        tuple(TensorSpec.model_validate(spec) for spec in reply["inputs"]),
        tuple(TensorSpec.model_validate(spec) for spec in reply["outputs"]),
        tuple(answers),
        tuple(reply["notes"]),
    )


def _spawn(folder: Path, path: Path) -> None:
    """Run this module in a new Python, which finds what this one finds."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(part or "." for part in sys.path)}
    command = [sys.executable, "-W", "ignore", "-m", __name__, str(folder)]
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, timeout=_TIMEOUT, check=False
        )
    except subprocess.TimeoutExpired:
        raise ModelFileError(f"{path} did not answer within {_TIMEOUT:.0f} s") from None
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        raise ModelFileError(
            f"{path} kills the runtime that runs it ({name})",
            hint="It holds an operator with parameters that the runtime does not check.",
        )
    if done.returncode or not (folder / "reply.json").is_file():
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise ModelFileError(f"{path} could not be run: {' '.join(last) or done.returncode}")


def _main(folder: Path) -> None:
    """Answer the request in a folder."""
    request = json.loads((folder / "request.json").read_text(encoding="utf-8"))
    try:
        reply = _answer(folder, request)
        reply["notes"] = _compared(folder, request)
    except EdgekdError as error:
        reply = {"error": error.message, "hint": error.hint}
    (folder / "reply.json").write_text(json.dumps(reply), encoding="utf-8")


def _answer(folder: Path, request: dict[str, Any]) -> dict[str, Any]:
    session = RUNTIMES.resolve(request["runtime"])(Path(request["path"]))
    layouts = request["layouts"]
    inputs = [_with_layout(spec, layouts) for spec in session.inputs]
    outputs = [_with_layout(spec, layouts) for spec in session.outputs]
    for number, wanted in enumerate(request["batches"]):
        with np.load(folder / f"asked-{number}.npz", allow_pickle=False) as found:
            samples = {key: found[key] for key in found.files}
        missing = {spec.name for spec in inputs} ^ set(samples)
        if missing:
            raise ModelFileError(
                f"the file takes {', '.join(spec.name for spec in inputs)}, "
                f"not {', '.join(samples)}"
            )
        fixed = inputs[0].shape[0] if inputs[0].shape else None
        total = len(next(iter(samples.values())))
        parts: dict[str, list[NDArray[np.float32]]] = {spec.name: [] for spec in outputs}
        for start in range(0, total, fixed or wanted):
            rows = np.arange(start, min(start + (fixed or wanted), total))
            full = np.resize(rows, fixed) if fixed else rows
            raw = session.run([encode(samples[spec.name][full], spec) for spec in inputs])
            for spec, array in zip(outputs, raw, strict=True):
                if array.ndim == 0 or len(array) != len(full):
                    raise ModelFileError(f"output {spec.name!r} of the file has no batch axis")
                parts[spec.name].append(decode(array, spec)[: len(rows)])
        answers = {name: np.concatenate(chunks) for name, chunks in parts.items()}
        np.savez(folder / f"answer-{number}.npz", **answers)  # type: ignore[arg-type]
    return {
        "runtime": session.runtime,
        "inputs": [spec.model_dump(mode="json") for spec in inputs],
        "outputs": [spec.model_dump(mode="json") for spec in outputs],
    }


def _compared(folder: Path, request: dict[str, Any]) -> list[str]:
    """Return what to say of the file's latency beside that of the float file it was made of."""
    if request.get("floats") is None:
        return []
    from edgekd.runtimes.siblings import slower, words

    with np.load(folder / "asked-0.npz", allow_pickle=False) as found:
        samples = {key: found[key] for key in found.files}
    path, floats = Path(request["path"]), Path(request["floats"])
    return list(words(*slower(path, floats, request["runtime"], samples, request["layouts"])))


def _with_layout(spec: TensorSpec, layouts: Mapping[str, Any]) -> TensorSpec:
    return spec.model_copy(update={"layout": layouts.get(spec.name)})


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
