"""What the committed files of a student do, found out from the files alone."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.evidence.rows import TEACHER, read_answers
from benchmarks.evidence.score import scores_of
from edgekd.bench.config import find_reach
from edgekd.bench.devices import load_device
from edgekd.bench.duel import duel
from edgekd.bench.options import Options
from edgekd.bench.stage import benchmark
from edgekd.data.load import load_dataset
from edgekd.emulation import down, state, up
from edgekd.errors import EdgekdError, RunError
from edgekd.evaluate.subjects import Subject, of_run
from edgekd.provenance import collect
from edgekd.recordfile import read_record
from edgekd.records import RunManifest
from edgekd.rundir import Artifact, Run, sha256_file

#: The emulated board that instructions are counted on.
BOARD = "pi5-emulated"

#: The teacher's classes on the test split: it is itself too large to be committed.
TEACHER_FILE = "teacher_top1.npz"

#: What latency and instructions are of.
MAIN = "tflite-int8"

Say = Callable[[str], None]


def open_student(folder: Path) -> Run:
    """Open the committed part of a run.

    Raises:
        RunError: its manifest is none, or a file is not the one that it names.
    """
    run = Run(folder, read_record(folder / "manifest.json", RunManifest))
    for name, known in run.manifest.files.items():
        if (folder / name).is_file() and sha256_file(folder / name) != known.sha256:
            raise RunError(f"{folder / name} is not the file that the manifest names")
    return run


def measure(
    folder: Path, reference: str | None, *, instructions: bool = True, say: Say = print
) -> dict[str, Any]:
    """Measure the files of a student.

    Args:
        folder: of the student.
        reference: a file of ``$EDGEKD_DATA/mlperf_tiny``, or None.
        instructions: count them on the emulated board, where that can be brought up.
        say: is told what is measured.

    Returns:
        ``files`` by name, ``student``, ``latency`` and ``instructions``; what could not be
        measured is ``{"skipped": reason}``.
    """
    run = open_student(folder)
    found: dict[str, Any] = {
        "files": {
            one.manifest.name: {
                "size_bytes": one.path.stat().st_size,
                "sha256": sha256_file(one.path),
            }
            for one in artifacts(run)
        },
        "student": {"sha256": sha256_file(run.student_path)},
    }
    _answers(run, found, say)
    main = main_file(run)
    found["latency"] = _latency(main.path, reference, say)
    found["instructions"] = (
        _instructions(main.path, say) if instructions else {"skipped": "not asked for"}
    )
    # Of the command nothing is noted: it may name folders of this machine.
    found["provenance"] = collect().model_dump(mode="json", exclude={"command", "seed"})
    return found


def main_file(run: Run) -> Artifact:
    """Return the int8 TFLite file of a student.

    Raises:
        RunError: there is none.
    """
    wanted = ("tflite", "int8")
    found = [
        one
        for one in [*artifacts(run), *run.artifacts()]
        if (one.manifest.target, one.manifest.quantize) == wanted
    ]
    found.sort(key=lambda one: one.manifest.name != MAIN)
    if not found:
        raise RunError(f"{run.path} has no int8 TFLite file")
    return found[0]


def artifacts(run: Run) -> list[Artifact]:
    """Return the committed files of a student.

    They do not stand in ``artifacts``, as those of a run: `edgekd` would take them for files of a
    run that lacks half of what its manifest names.

    Raises:
        RunError: one is not what its manifest names.
    """
    return [Artifact.open(path.parent) for path in sorted(run.path.glob("*/manifest.json"))]


def _answers(run: Run, found: dict[str, Any], say: Say) -> None:
    """Let network and files answer the test split; fill in what that shows, or why it cannot."""
    try:
        dataset = load_dataset(run.recipe.data)
    except EdgekdError as error:
        found["skipped"] = error.message
        return
    if dataset.sha256 != run.manifest.data_sha256:
        found["skipped"] = "the data is not what the student was trained on"
        return
    targets = dataset.splits["test"].targets
    known = run.path / TEACHER_FILE
    teacher = read_answers(known)[TEACHER] if known.is_file() else None
    student = [one for one in of_run(run) if one.kind == "student"]
    files = [
        Subject(one.manifest.name, "artifact", one.path, run.recipe, run, one)
        for one in artifacts(run)
    ]
    for subject in [*student, *files]:
        say(f"{run.path.name}: {subject.name}, {len(targets)} samples")
        answers = subject.open()
        classes = answers.logits(dataset, "test").argmax(1)
        where = found["student"] if subject.kind == "student" else found["files"][subject.name]
        where.update(scores_of(np.asarray(classes), targets, teacher), runtime=answers.runtime)


def _latency(file: Path, reference: str | None, say: Say) -> dict[str, Any]:
    """Return how long an inference takes, over that of the reference file."""
    if reference is None:
        return {"skipped": "the plan names no reference"}
    data = os.environ.get("EDGEKD_DATA")
    other = None if data is None else Path(data) / "mlperf_tiny" / reference
    if other is None or not other.is_file():
        return {"skipped": f"{reference} is not there: set EDGEKD_DATA"}
    say(f"{file.parents[1].name}: in turn with {reference}")
    device = load_device("cpu")
    try:
        held = duel(file, other, device=device, reach=find_reach(device))
    except EdgekdError as error:
        return {"skipped": error.message}
    return {
        "reference": reference,
        "ratio": held.interval.median,
        "low": held.interval.low,
        "high": held.interval.high,
        "pairs": held.pairs,
        "runtime": f"{held.ours.runtime} {held.ours.version}",
    }


def _instructions(file: Path, say: Say) -> dict[str, Any]:
    """Return how many instructions an inference takes on the emulated board."""
    try:
        with _board(say):
            say(f"{file.parents[1].name}: instructions on {BOARD}")
            found = benchmark(file, devices=[BOARD], options=Options(mode="latency"))[0]
    except EdgekdError as error:
        return {"skipped": error.message.splitlines()[0]}
    if found.instructions is None:
        return {"skipped": found.error or found.unknown.get("instructions", "not counted")}
    return {
        "device": BOARD,
        "per_inference": found.instructions.per_inference,
        "cpu": found.instructions.cpu,
        "runtime": f"{found.runtime} {found.runtime_version}",
    }


@contextmanager
def board_kept_up(say: Say) -> Iterator[None]:
    """Keep the emulated board up over several students; where it cannot be, each says why."""
    with ExitStack() as stack:
        try:
            stack.enter_context(_board(say))
        except EdgekdError as error:
            say(error.message.splitlines()[0])
        yield


@contextmanager
def _board(say: Say) -> Iterator[None]:
    """Bring the emulated board up, and down again if it was down."""
    device = load_device(BOARD)
    if device.emulation is None:
        raise RunError(f"{BOARD} is no emulated device")
    was_up = state.reach(BOARD) is not None
    up(BOARD, device.emulation, say=say)
    try:
        yield
    finally:
        if not was_up:
            down(BOARD)
