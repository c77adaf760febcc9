"""The verb: what early exits cost and keep, over thresholds."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from edgekd import provenance
from edgekd.data.load import load_for_student
from edgekd.data.split import Dataset
from edgekd.errors import DataError, RunError
from edgekd.metrics.classification import accuracy
from edgekd.records import Measurement
from edgekd.records_exits import ExitCurve, ExitFile, ExitPoint
from edgekd.rundir import Artifact, Run, write_record
from edgekd.runtimes.early_exit import EarlyExit, confidence

Floats = NDArray[np.float32]

#: Where curves are drawn. At 0 every sample leaves first, at 2 none before the end.
THRESHOLDS = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999, 2.0)


def exits(
    source: str | Run | None = None,
    *,
    split: str = "test",
    thresholds: Sequence[float] = THRESHOLDS,
    say: Callable[[str], None] | None = None,
) -> tuple[ExitCurve, ...]:
    """Run the exported exits of a run, and say what each threshold would do.

    Every file runs once on every sample; what a threshold does follows from their answers.
    Latencies are those that ``edgekd benchmark`` measured. The records are written to
    ``exits/NAME.json`` of the run.

    Args:
        source: a run (open, path or id; None: the newest).
        split: ``test``, or ``validation``: a threshold is chosen there.
        thresholds: of the confidence.
        say: is told what is being run.

    Raises:
        RunError: the run has no exported exits, or cannot be trusted.
        DataError: the data has changed, or there is no such split.
        ModelFileError: a file cannot be run.
    """
    run = Run.open(source)
    found = families(run)
    if not found:
        raise RunError(
            f"{run.path} has no exported exits and an end to go with them",
            hint=f"Make them: edgekd export {run.path} --exit all, or --exit segments",
        )
    dataset = load_for_student(run.recipe)
    if split not in ("test", "validation"):
        raise DataError(f"split {split!r} is not one to evaluate on", hint="test or validation")
    if run.manifest.data_sha256 not in (None, dataset.sha256):
        raise DataError("the data has changed since the run was distilled")
    curves = []
    for name, files in found.items():
        if say is not None:
            say(f"{name}: {len(files)} exits")
        curve = _curve(run, name, files, dataset, split, sorted(set(thresholds)))
        write_record(run.exits_dir / f"{split}--{name}.json", curve)
        curves.append(curve)
    return tuple(curves)


def families(run: Run) -> dict[str, list[Artifact]]:
    """Return the files that go together, by name, each in the order of its exits.

    Whole exits need the network's own end beside them, segments need each other.
    """
    artifacts = run.artifacts()
    groups: dict[str, list[Artifact]] = {}
    for artifact in sorted(artifacts, key=lambda a: a.manifest.exit or len(artifacts) + 1):
        manifest = artifact.manifest
        kind = "segments" if manifest.segment else "exits"
        stem = manifest.name.split("-exit-")[0].split("-segment-")[0]
        groups.setdefault(f"{stem}-{kind}", []).append(artifact)
    whole = _ends(run)
    return {
        name: group
        for name, group in groups.items()
        if len(group) > 1
        and group[-1].manifest.exit is None
        and (name.endswith("-exits") or len(group) == whole)
    }


def _ends(run: Run) -> int:
    """Return the number of exits, the network's own end included."""
    known = run.recipe.student.exits
    return 1 if known is None else len(known.at) + 1


def _curve(
    run: Run,
    name: str,
    files: Sequence[Artifact],
    dataset: Dataset,
    split: str,
    thresholds: Sequence[float],
) -> ExitCurve:
    began = time.perf_counter()
    part = dataset.splits[split]
    answers = EarlyExit([artifact.path for artifact in files]).answers(dataset.normalised(split))
    last = _ends(run)
    told = [
        _file(run, a, a.manifest.exit or last, accuracy(logits, part.targets))
        for a, logits in zip(files, answers, strict=True)
    ]
    segments = files[-1].manifest.segment
    whole = next(
        (
            a
            for a in run.artifacts()
            if a.manifest.exit is None
            and not a.manifest.segment
            and a.manifest.name == files[-1].manifest.name.split("-segment-")[0]
        ),
        None,
    )
    return ExitCurve(
        name=name,
        run=run.path.name,
        split=split,
        samples=len(part),
        segments=segments,
        files=tuple(told),
        points=tuple(point(told, answers, part.targets, value) for value in thresholds),
        # The end of the network says the same in one file as in the last segment.
        whole=None if whole is None else _file(run, whole, last, told[-1].accuracy),
        parents={a.manifest.name: a.manifest.files[a.manifest.file].sha256 for a in files},
        provenance=provenance.collect(wall_seconds=round(time.perf_counter() - began, 3)),
    )


def point(
    files: Sequence[ExitFile],
    answers: Sequence[Floats],
    targets: NDArray[np.int64],
    threshold: float,
) -> ExitPoint:
    """Say what a threshold does.

    Args:
        files: one an exit.
        answers: the logits (N, C) of each exit for all samples.
        targets: class indices (N,).
        threshold: of the confidence.
    """
    sure = np.stack([confidence(logits) >= threshold for logits in answers])
    sure[-1] = True
    leaves = sure.argmax(axis=0)
    shares = np.bincount(leaves, minlength=len(files)) / len(targets)
    logits = np.stack(answers)[leaves, np.arange(len(targets))]
    # A file runs for all samples that did not leave before it.
    runs = 1.0 - np.concatenate([[0.0], np.cumsum(shares)[:-1]])
    devices = set.intersection(*(set(file.latency_ms) for file in files))
    macs = [file.macs for file in files]
    return ExitPoint(
        threshold=threshold,
        accuracy=accuracy(logits, targets),
        shares=tuple(float(share) for share in shares),
        macs=float(runs @ np.array(macs, float)) if None not in macs else None,
        latency_ms={
            device: float(runs @ np.array([file.latency_ms[device] for file in files]))
            for device in sorted(devices)
        },
    )


def _file(run: Run, artifact: Artifact, exit: int, reached: float) -> ExitFile:
    manifest = artifact.manifest
    sha256 = manifest.files[manifest.file].sha256
    return ExitFile(
        artifact=manifest.name,
        exit=exit,
        accuracy=reached,
        macs=manifest.model.macs,
        latency_ms={
            found.device: found.latency.p50_ms
            for found in run.measurements()
            if found.artifact == manifest.name and _counts(found, sha256) and found.latency
        },
    )


def _counts(found: Measurement, sha256: str) -> bool:
    """Say whether a measurement is one of this file; an emulated device's time means nothing."""
    return found.status == "ok" and not found.emulated and found.model_sha256 in (None, sha256)
