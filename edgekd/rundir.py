"""The run directory: the one place where the stages meet.

::

    runs/ID/
      recipe.toml            the resolved recipe
      manifest.json          RunManifest; status "incomplete" until all of the below is whole
      metrics.jsonl          one line an epoch
      student.safetensors    the student's weights, nothing of the teacher
      teacher.safetensors    the teacher's weights, for the benchmark of the teacher
      teacher-2.safetensors  ... the weights of further teachers; see `teacher_name`
      baseline.safetensors   the weights of the student's twin that had no teacher
      assistant-1.safetensors  ... the weights of a chain's assistants
      predictions.npz        ids, targets, teacher_logits, student_logits of the test split
      checkpoints/           what a resume needs
      artifacts/NAME/        model.tflite | model.onnx, manifest.json
      measurements/          DEVICE--ARTIFACT.json
      evaluations/           SPLIT.json, ...: what `edgekd evaluate` found
      exits/                 SPLIT--NAME.json, ...: what `edgekd exits` found
      robustness/            SPLIT.json, ...: what `edgekd evaluate --corruptions` found
      report.html
    runs/latest              points at the newest run
    runs/teachers/KEY/       trained teachers, by the hash of what decides them
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from edgekd.errors import IncompleteRunError, RunError, TamperedError
from edgekd.recipe import Recipe
from edgekd.recordfile import file_record, read_record, write_record
from edgekd.records import ArtifactManifest, FileRecord, Measurement, RunManifest
from edgekd.records_evaluation import Evaluation
from edgekd.records_exits import ExitCurve
from edgekd.records_robustness import Robustness
from edgekd.runs import find, is_aside, list_runs, runs_root, set_latest
from edgekd.storage import (
    atomic_file,
    atomic_write,
    new_directory,
    refuse_existing,
    sha256_bytes,
    sha256_file,
)

__all__ = [
    "Artifact",
    "Run",
    "atomic_file",
    "atomic_write",
    "file_record",
    "list_runs",
    "new_directory",
    "read_record",
    "refuse_existing",
    "runs_root",
    "set_latest",
    "sha256_bytes",
    "sha256_file",
    "teacher_name",
    "write_record",
]


def teacher_name(number: int) -> str:
    """Return what a run calls a teacher; its weights are in the file NAME.safetensors.

    Args:
        number: its place among the run's teachers, from 0.

    >>> teacher_name(0), teacher_name(1)
    ('teacher', 'teacher-2')
    """
    return "teacher" if number == 0 else f"teacher-{number + 1}"


@dataclass(frozen=True)
class Artifact:
    """An exported file with its manifest.

    Attributes:
        directory: the folder that holds both.
        manifest: what is known of the file.
    """

    directory: Path
    manifest: ArtifactManifest

    @property
    def path(self) -> Path:
        """The model file."""
        return self.directory / self.manifest.file

    @classmethod
    def open(cls, directory: Path) -> Artifact:
        """Read the artifact in a folder and verify its hashes.

        Raises:
            RunError: there is no valid manifest.
            TamperedError: a file is missing or not the one that the manifest names.
        """
        manifest = read_record(directory / "manifest.json", ArtifactManifest)
        faults = _faults(directory, manifest.files)
        if faults:
            raise TamperedError(
                f"{directory}: {'; '.join(faults)}",
                hint="Export it again: edgekd export --overwrite",
            )
        return cls(directory, manifest)


@dataclass(frozen=True)
class Run:
    """A run directory.

    Attributes:
        path: the folder.
        manifest: what is known of the run.
    """

    path: Path
    manifest: RunManifest

    @classmethod
    def open(cls, ref: str | Path | Run | None = None, *, allow_incomplete: bool = False) -> Run:
        """Open a run and verify the hashes of its files.

        Args:
            ref: an id in the runs folder, a path, an open run, or None for the newest.
            allow_incomplete: accept a run that was interrupted; its files are not verified.

        Raises:
            RunError: there is no such run.
            IncompleteRunError: it was interrupted.
            TamperedError: a file does not match its hash.
        """
        if isinstance(ref, Run):
            return ref
        path = find(ref)
        manifest = read_record(path / "manifest.json", RunManifest)
        run = cls(path, manifest)
        if manifest.status == "incomplete":
            if allow_incomplete:
                return run
            raise IncompleteRunError(
                f"the run {path} was interrupted before it was whole",
                hint=f"Go on with it: edgekd distill --resume {path}",
            )
        faults = run.verify()
        if faults:
            raise TamperedError(
                f"{path}: {'; '.join(faults)}",
                hint="The run cannot be trusted any more; distil again.",
            )
        return run

    @property
    def student_path(self) -> Path:
        """The student's weights."""
        return self.path / "student.safetensors"

    @property
    def qat_path(self) -> Path:
        """The student's weights and ranges after training with fake quantization, if any."""
        return self.path / "student-qat.safetensors"

    @property
    def teacher_path(self) -> Path:
        """The teacher's weights."""
        return self.path / "teacher.safetensors"

    @property
    def baseline_path(self) -> Path:
        """The weights of the first student's twin that was trained without a teacher."""
        return self.path / "baseline.safetensors"

    @property
    def predictions_path(self) -> Path:
        """``ids``, ``targets`` and logits of the test split.

        ``teacher_logits``, ``student_logits``, and ``baseline_logits`` of the twin without a
        teacher.
        """
        return self.path / "predictions.npz"

    @property
    def artifacts_dir(self) -> Path:
        """The folder of exported files."""
        return self.path / "artifacts"

    @property
    def measurements_dir(self) -> Path:
        """The folder of measurements."""
        return self.path / "measurements"

    @property
    def evaluations_dir(self) -> Path:
        """The folder of evaluations."""
        return self.path / "evaluations"

    @property
    def robustness_dir(self) -> Path:
        """The folder of what corrupted samples showed."""
        return self.path / "robustness"

    @property
    def exits_dir(self) -> Path:
        """The folder of what early exits do."""
        return self.path / "exits"

    @cached_property
    def recipe(self) -> Recipe:
        """The resolved recipe of the run."""
        return Recipe.load(self.path / "recipe.toml")

    @property
    def manifest_sha256(self) -> str:
        """The hash that children name as their parent."""
        return sha256_file(self.path / "manifest.json")

    def artifacts(self) -> list[Artifact]:
        """Return every exported file, sorted by name; failed exports are not among them.

        Raises:
            RunError, TamperedError: see `Artifact.open`.
        """
        return [Artifact.open(folder) for folder in self._artifact_folders()]

    def check_artifacts(self) -> tuple[list[Artifact], list[str]]:
        """Return the artifacts that can be trusted, and what is wrong with the others."""
        good, faults = [], []
        for folder in self._artifact_folders():
            try:
                good.append(Artifact.open(folder))
            except RunError as error:
                faults.append(error.message)
        return good, faults

    def _artifact_folders(self) -> list[Path]:
        found = sorted(self.artifacts_dir.glob("*/manifest.json"))
        return [path.parent for path in found if not is_aside(path.parent.name)]

    def measurements(self) -> list[Measurement]:
        """Return every measurement, sorted by file name."""
        found = sorted(self.measurements_dir.glob("*.json"))
        return [read_record(path, Measurement) for path in found if not is_aside(path.name)]

    def evaluations(self) -> list[Evaluation]:
        """Return every evaluation, sorted by file name."""
        found = sorted(self.evaluations_dir.glob("*.json"))
        return [read_record(path, Evaluation) for path in found if not is_aside(path.name)]

    def robustness(self) -> list[Robustness]:
        """Return what corrupted samples showed, sorted by file name."""
        found = sorted(self.robustness_dir.glob("*.json"))
        return [read_record(path, Robustness) for path in found if not is_aside(path.name)]

    def exit_curves(self) -> list[ExitCurve]:
        """Return what early exits do, sorted by file name."""
        found = sorted(self.exits_dir.glob("*.json"))
        return [read_record(path, ExitCurve) for path in found if not is_aside(path.name)]

    def metrics(self) -> list[dict[str, Any]]:
        """Return the lines of ``metrics.jsonl``; a last line cut off by a crash is left out."""
        path = self.path / "metrics.jsonl"
        if not path.exists():
            return []
        lines = []
        for line in path.read_text().splitlines():
            with contextlib.suppress(json.JSONDecodeError):
                lines.append(json.loads(line))
        return lines

    def verify(self) -> list[str]:
        """Compare every file with its hash in the manifest; return what is wrong."""
        return _faults(self.path, self.manifest.files)


def _faults(folder: Path, files: dict[str, FileRecord]) -> list[str]:
    faults = []
    for name, record in files.items():
        path = folder / name
        if not path.is_file():
            faults.append(f"{name} is missing")
        elif sha256_file(path) != record.sha256:
            faults.append(f"{name} is not the file that the manifest names (its hash differs)")
    return faults
