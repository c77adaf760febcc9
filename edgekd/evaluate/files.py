"""Running a model file over many samples, in this process or in one of its own.

Files that edgekd exported ran here before, when they were proved. Others may kill the process that
runs them, so they get their own: ``python -m edgekd.evaluate.files``.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgekd.errors import EdgekdError, MissingError, MissingRuntimeError, ModelFileError
from edgekd.records import TensorSpec
from edgekd.runtimes import RUNTIMES
from edgekd.runtimes.codec import decode, encode
from edgekd.runtimes.session import Session

Layout = Literal["nchw", "nhwc"] | None
Floats = NDArray[np.float32]

#: What runs each kind of file.
_RUNTIMES = {"tflite": "litert", "onnx": "onnxruntime", "executorch": "executorch"}

#: Samples a call, where the file leaves the size of a batch free.
_BATCH = 128


def load_file(path: Path, kind: str) -> Session:
    """Load a file with the runtime of its kind, ``tflite``, ``onnx`` or ``executorch``.

    Raises:
        ModelFileError: the runtime cannot read it.
        MissingExtraError: the runtime is not installed.
    """
    with _silent():
        session: Session = RUNTIMES.resolve(_RUNTIMES[kind])(path)
    return session


@contextmanager
def _silent() -> Iterator[None]:
    """Hold back what runtimes greet with: they write to file descriptor 2 themselves."""
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def feed(
    session: Session, path: Path, inputs: Floats, classes: int, layout: Layout = None
) -> Floats:
    """Return what a loaded file gives for network input: (N, C).

    Args:
        session: the file.
        path: its name, for messages.
        inputs: (N, *sample_shape), channels first.
        classes: C.
        layout: of its input, where it is known.

    Raises:
        ModelFileError: the file cannot be run, or takes or gives something else.
    """
    spec = _input(path, session.inputs, inputs.shape[1:], layout)
    which = _output(path, session.outputs, classes)
    batch = spec.shape[0] or _BATCH
    chunks = []
    for start in range(0, len(inputs), batch):
        chunk = inputs[start : start + batch]
        missing = batch - len(chunk) if spec.shape[0] else 0
        # A file of a fixed batch takes whole ones only; the filling is cut off again.
        full = np.concatenate([chunk, np.repeat(chunk[-1:], missing, axis=0)])
        raw = session.run([encode(full, spec)])[which]
        chunks.append(decode(raw, session.outputs[which])[: len(chunk)])
    return np.concatenate(chunks)


def _input(
    path: Path, specs: Sequence[TensorSpec], shape: tuple[int, ...], layout: Layout
) -> TensorSpec:
    """Return the one input, with the layout in which samples of this shape fit it."""
    if len(specs) != 1:
        raise ModelFileError(
            f"{path} takes {len(specs)} inputs, a sample of the data is one",
            hint="Only files with one input can be evaluated.",
        )
    layouts: list[Layout] = [layout] if layout else [specs[0].layout, None]
    if len(shape) == 3 and not layout:
        layouts.append("nhwc")
    for candidate in layouts:
        wanted = (*shape[1:], shape[0]) if candidate == "nhwc" else shape
        sizes = specs[0].shape[1:]
        if len(sizes) == len(wanted) and all(
            size in (None, n) for size, n in zip(sizes, wanted, strict=True)
        ):
            return specs[0].model_copy(update={"layout": candidate})
    raise ModelFileError(
        f"{path} takes samples of shape {specs[0].shape[1:]}, the data's are {shape}",
        hint="Is it a model of other data?",
    )


def _output(path: Path, specs: Sequence[TensorSpec], classes: int) -> int:
    for index, spec in enumerate(specs):
        if len(spec.shape) == 2 and spec.shape[1] in (None, classes):
            return index
    shapes = ", ".join(str(spec.shape) for spec in specs)
    raise ModelFileError(
        f"{path} has no output of shape (N, {classes}); it gives {shapes}",
        hint=f"The data has {classes} classes.",
    )


def run_alone(
    path: Path, kind: str, inputs: Floats, classes: int, layout: Layout = None
) -> tuple[Floats, str]:
    """Load and feed a file in a process of its own.

    Args:
        path: the file.
        kind: ``tflite`` or ``onnx``.
        inputs: (N, *sample_shape), channels first.
        classes: C.
        layout: of its input, where it is known.

    Returns:
        (N, C), and what ran it.

    Raises:
        ModelFileError: as `feed`, or the file killed the process.
        MissingRuntimeError: its runtime is not installed.
    """
    with tempfile.TemporaryDirectory(prefix="edgekd-") as folder:
        given, made = Path(folder) / "inputs.npy", Path(folder) / "outputs.npy"
        np.save(given, inputs)
        task = json.dumps([str(path), kind, str(given), classes, layout, str(made)])
        done = subprocess.run(
            [sys.executable, "-m", "edgekd.evaluate.files", task],
            capture_output=True,
            text=True,
            check=False,
        )
        answer = _answer(done.stdout)
        if done.returncode == 0 and "runtime" in answer:
            return np.load(made), str(answer["runtime"])
    if "message" in answer:
        kind_of = MissingRuntimeError if answer["missing"] else ModelFileError
        raise kind_of(answer["message"], hint=answer["hint"])
    raise ModelFileError(
        f"{path} killed the process that ran it ({_how(done.returncode)})",
        hint="The file or its runtime is broken; nothing else was harmed.",
    )


def _answer(said: str) -> dict[str, Any]:
    """Return the last line as JSON; runtimes greet on standard output, too."""
    try:
        found = json.loads(said.strip().splitlines()[-1])
    except (IndexError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _how(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


def main(task: str) -> int:
    """Run one file for `run_alone`; return the exit code."""
    path, kind, given, classes, layout, made = json.loads(task)
    try:
        session = load_file(Path(path), kind)
        outputs = feed(session, Path(path), np.load(given), classes, layout)
    except EdgekdError as error:
        missing = isinstance(error, MissingError)
        said = {"message": error.message, "hint": error.hint, "missing": missing}
        sys.stdout.write(f"\n{json.dumps(said)}\n")
        return 1
    np.save(made, outputs)
    sys.stdout.write(f"\n{json.dumps({'runtime': session.runtime})}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
