"""What is measured: the networks and artifacts of a run, or bare files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgekd.errors import ModelFileError, RunError
from edgekd.records import ArtifactManifest, ModelFacts
from edgekd.rundir import Artifact, Run, read_record, teacher_name
from edgekd.runtimes.files import SUFFIXES, identify

#: The kind of a network that Python itself runs.
FACTORY = "factory"


@dataclass(frozen=True)
class Subject:
    """One file to measure.

    Attributes:
        name: what measurements call it.
        path: the file; of a network its weights.
        kind: ``tflite``, ``onnx``, ``executorch``, `FACTORY`, or None where the file is of no use.
        run: the run that it belongs to.
        artifact: what its manifest says, if it has one.
        facts: what is known of its network.
        fault: why the file is of no use.
        skip: why it is not measured.
    """

    name: str
    path: Path
    kind: str | None
    run: Run | None = None
    artifact: Artifact | None = None
    facts: ModelFacts | None = None
    fault: ModelFileError | None = None
    skip: str | None = None


def find(source: str | Path | Run | None) -> list[Subject]:
    """Find out what the user means.

    Args:
        source: a run (open, path or id; None: the newest), or a model file.

    Raises:
        RunError: it is neither, or the run cannot be trusted.
    """
    if source is None or isinstance(source, Run):
        return _of_run(Run.open(source))
    path = Path(source)
    suffixes = {suffix for group in SUFFIXES.values() for suffix in group}
    if path.is_file() or path.suffix.lower() in suffixes:
        return [_of_file(path)]
    return _of_run(Run.open(source))


def _of_run(run: Run) -> list[Subject]:
    networks = []
    known = [(teacher_name(number), facts) for number, facts in enumerate(run.manifest.teachers)]
    if run.manifest.student is not None:
        known.append(("student", run.manifest.student))
    for name, facts in known:
        path = run.path / f"{name}.safetensors"
        if path.is_file():
            networks.append(Subject(name, path, FACTORY, run=run, facts=facts))
        else:
            why = "it was given as a file, which stays where it is, or as recorded answers"
            networks.append(Subject(name, path, None, run=run, facts=facts, skip=why))
    return [*networks, *(_of_artifact(artifact, run) for artifact in run.artifacts())]


def _of_artifact(artifact: Artifact, run: Run | None) -> Subject:
    return Subject(
        name=artifact.manifest.name,
        path=artifact.path,
        kind=identify(artifact.path),
        run=run,
        artifact=artifact,
        facts=artifact.manifest.model,
    )


def _of_file(path: Path) -> Subject:
    """Take a bare file; beside the manifest that it was exported with, all is known of it."""
    try:
        kind = identify(path)
    except ModelFileError as error:
        return Subject(path.name, path, None, fault=error)
    folder = path.absolute().parent
    try:
        manifest = read_record(folder / "manifest.json", ArtifactManifest)
    except RunError:  # somebody else's manifest.json, or none
        return Subject(path.name, path, kind)
    if manifest.file != path.name:
        return Subject(path.name, path, kind)
    artifact = Artifact.open(folder)
    of_run = folder.parent.name == "artifacts" and (folder.parents[1] / "manifest.json").is_file()
    return _of_artifact(artifact, Run.open(folder.parents[1]) if of_run else None)
