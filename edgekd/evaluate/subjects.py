"""What is evaluated: networks of a run, its exported files, and bare files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edgekd.data.seen import as_raw, as_trained, seen_by
from edgekd.errors import RunError, UnknownNameError
from edgekd.evaluate.answers import (
    Answers,
    FileAnswers,
    NetworkAnswers,
    StoredAnswers,
    View,
    stored_keys,
)
from edgekd.recipe import Recipe, TeacherSpec
from edgekd.records_evaluation import SubjectKind
from edgekd.rundir import Artifact, Run, sha256_file, teacher_name
from edgekd.runtimes.files import SUFFIXES, identify


@dataclass(frozen=True, eq=False)
class Subject:
    """One network or file.

    Attributes:
        name: what the evaluation calls it.
        kind: what it is.
        path: the file; of a network its weights; None where only answers are left.
        run: the run it belongs to, or whose data it is fed.
        recipe: whose data it is fed.
        artifact: what its manifest says, if it has one.
        stored: the array of the run's predictions that stands in for a network.
        number: of a teacher, among the run's.
    """

    name: str
    kind: SubjectKind
    path: Path | None
    recipe: Recipe
    run: Run | None = None
    artifact: Artifact | None = None
    stored: str | None = None
    number: int = 0

    @property
    def sha256(self) -> str | None:
        """The hash of its file."""
        return None if self.path is None else sha256_file(self.path)

    def open(self) -> Answers:
        """Load it.

        Raises:
            EdgekdError: it cannot be loaded, or what runs it is not installed.
        """
        if self.stored is not None and self.run is not None:
            return StoredAnswers(self.run.predictions_path, self.stored)
        if self.path is None:
            raise RunError(f"nothing is left of {self.name}")
        if self.kind in ("student", "baseline", "teacher") and self.run is not None:
            return _network(self, self.run, self.path)
        manifest = None if self.artifact is None else self.artifact.manifest
        return FileAnswers(
            self.path,
            identify(self.path),
            _view_of_files(self),
            spec=manifest.inputs[0] if manifest and manifest.inputs else None,
            alone=self.artifact is None,
        )


def of_run(run: Run) -> list[Subject]:
    """Return everything of a run that can be evaluated: teachers, student, twin, files.

    Raises:
        RunError: an artifact cannot be trusted.
    """
    keys = stored_keys(run.predictions_path)
    found = [*_teachers(run, keys)]
    if run.student_path.is_file():
        found.append(Subject("student", "student", run.student_path, run.recipe, run))
    if run.baseline_path.is_file():
        found.append(Subject("baseline", "baseline", run.baseline_path, run.recipe, run))
    elif "baseline_logits" in keys:
        found.append(
            Subject("baseline", "baseline", None, run.recipe, run, stored="baseline_logits")
        )
    for artifact in run.artifacts():
        name = artifact.manifest.name
        if artifact.manifest.segment:  # a later one takes no samples: edgekd exits
            continue
        found.append(Subject(name, "artifact", artifact.path, run.recipe, run, artifact))
    return found


def _teachers(run: Run, keys: Sequence[str]) -> list[Subject]:
    """Return each teacher whose weights were kept, or what all of them together had answered."""
    found = []
    for number in range(max(1, len(run.manifest.teachers))):
        name = teacher_name(number)
        path = run.path / f"{name}.safetensors"
        if path.is_file():
            found.append(Subject(name, "teacher", path, run.recipe, run, number=number))
    if not found and "teacher_logits" in keys:
        found.append(Subject("teacher", "teacher", None, run.recipe, run, stored="teacher_logits"))
    return found


def of_file(path: Path, recipe: Recipe, run: Run | None) -> Subject:
    """Take a file that belongs to no run, fed with the data of a run or of a recipe."""
    return Subject(path.name, "file", path, recipe, run)


def is_model_file(text: str | Path) -> bool:
    """Say whether a name is meant as a model file."""
    path = Path(text)
    return path.is_file() or path.suffix.lower() in {
        s for group in SUFFIXES.values() for s in group
    }


def artifact_of(path: Path) -> tuple[Run, str] | None:
    """Return run and artifact that a file is of; None for a file that belongs to no run."""
    folder = path.absolute().parent
    if folder.parent.name != "artifacts" or not (folder.parents[1] / "manifest.json").is_file():
        return None
    run = Run.open(folder.parents[1])
    for artifact in run.artifacts():
        if artifact.path.resolve() == path.resolve():
            return run, artifact.manifest.name
    return None


def choose(found: Sequence[Subject], names: Sequence[str], run: Run | None) -> list[Subject]:
    """Return the subjects of these names; a name may also be that of a model file.

    Raises:
        UnknownNameError: there is none of that name.
    """
    by_name = {subject.name: subject for subject in found}
    chosen: list[Subject] = []
    for name in dict.fromkeys(names):
        if name in by_name:
            chosen.append(by_name[name])
        elif is_model_file(name) and run is not None:
            chosen.append(of_file(Path(name), run.recipe, run))
        else:
            raise UnknownNameError("network or file of the run", name, by_name)
    return _apart(chosen)


def _apart(subjects: list[Subject]) -> list[Subject]:
    """Number bare files of one name."""
    seen: dict[str, int] = {}
    found = []
    for subject in subjects:
        seen[subject.name] = count = seen.get(subject.name, 0) + 1
        name = subject.name if count == 1 else f"{subject.name}-{count}"
        found.append(replace(subject, name=name))
    return found


def _network(subject: Subject, run: Run, path: Path) -> Answers:
    from edgekd.runtimes.torch import network_of, restore

    known = network_of(run, path)
    spec = _teacher_spec(subject) if subject.kind == "teacher" else None
    columns, probabilities = None, False
    if spec is not None:
        probabilities = spec.gives == "probabilities"
        if spec.classes and spec.classes != run.manifest.classes:
            order = list(spec.classes)
            columns = [order.index(name) for name in run.manifest.classes]
    return NetworkAnswers(
        restore(run, path),
        lambda dataset: as_trained(dataset, known),
        columns=columns,
        probabilities=probabilities,
    )


def _teacher_spec(subject: Subject) -> TeacherSpec | None:
    """Return the table of the recipe that a teacher came from; copies share one."""
    specs = subject.recipe.every_teacher
    return specs[subject.number] if subject.number < len(specs) else None


def _view_of_files(subject: Subject) -> View:
    """Return the data as files are fed: as the student sees it, or as it is."""
    view = _view_of_students(subject)
    if subject.artifact is not None and subject.artifact.manifest.embed_preprocess:
        return lambda dataset: as_raw(view(dataset))
    return view


def _view_of_students(subject: Subject) -> View:
    run = subject.run
    if run is not None and run.student_path.is_file():
        known = run.manifest.networks.get(run.student_path.name)
        if known is not None:
            return lambda dataset: as_trained(dataset, known)
    spec = subject.recipe.student.input
    return lambda dataset: seen_by(dataset, spec, "student.input")
