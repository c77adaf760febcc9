"""The verb: evaluate networks and files on one split."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from edgekd.data.load import load_dataset
from edgekd.errors import DataError, RunError
from edgekd.evaluate.record import make_record
from edgekd.evaluate.session import Asked, Session
from edgekd.evaluate.subjects import Subject, artifact_of, choose, is_model_file, of_file, of_run
from edgekd.recipe import Recipe
from edgekd.records_evaluation import Evaluation
from edgekd.rundir import Run, write_record

Say = Callable[[str], None]
Split = Literal["test", "validation"]

#: Kinds that a comparison with another run takes part in when nothing else is asked for.
_OF_OTHERS = ("student", "artifact")


def evaluate(
    source: str | Path | Run | None = None,
    *,
    on: Sequence[str | Path] | None = None,
    split: Split = "test",
    against: str | Path | Run | None = None,
    slices: Sequence[str] = (),
    cka: bool = True,
    recipe: Recipe | str | Path | None = None,
    out: str | Path | None = None,
    say: Say | None = None,
) -> Evaluation:
    """Run networks and files on a split, and say what they do and how they compare.

    The record is written to ``evaluations/NAME.json`` of the run; what a bare file does is written
    only where ``out`` says.

    Args:
        source: a run (open, path or id; None: the newest), or a model file.
        on: names of what to evaluate: ``teacher``, ``student``, ``baseline``, an artifact, or the
            path of a model file; None: all that the run has.
        split: ``test``, or ``validation``.
        against: another run; what both have under one name is compared sample by sample.
        slices: columns of the data; accuracies are given for each value of them.
        cka: compare the layers of student and teacher.
        recipe: whose data and labels a file is run on that belongs to no run.
        out: where to write the record instead.
        say: is told what is being run.

    Raises:
        RunError: a run cannot be found or trusted, or a bare file comes without a recipe.
        UnknownNameError: nothing is called as asked, or the data has no such column.
        DataError: the data has changed, or the runs have different samples.
        ModelFileError: a file that was asked for cannot be run.
    """
    if split not in ("test", "validation"):
        raise DataError(
            f"split {split!r} is not one to evaluate on", hint="Choose test or validation."
        )
    run, subjects, names = find_subjects(
        source, None if on is None else [str(n) for n in on], recipe
    )
    other = None if against is None else Run.open(against)
    session = Session(
        asked=Asked(split, tuple(slices), cka, explicit=names is not None),
        run=run,
        dataset=load_dataset(subjects[0].recipe.data),
        say=say or (lambda text: None),
    )
    session.check_data(run)
    session.ask(subjects)
    if other is not None:
        wanted = [s.name for s in subjects if names is not None or s.kind in _OF_OTHERS]
        theirs = [subject for subject in of_run(other) if subject.name in wanted]
        session.ask_others(other, theirs)
    name = record_name(split, names, None if other is None else other.path.name)
    record = make_record(session, name)
    if out is not None:
        write_record(Path(out), record)
    elif run is not None:
        write_record(run.evaluations_dir / f"{name}.json", record)
    return record


def find_subjects(
    source: str | Path | Run | None,
    names: list[str] | None,
    recipe: Recipe | str | Path | None,
) -> tuple[Run | None, list[Subject], list[str] | None]:
    """Find out what the user means.

    Returns:
        The run that the record belongs to, if any; at least one subject; and the names, where not
        everything was asked for.
    """
    if not isinstance(source, Run) and source is not None and is_model_file(source):
        path = Path(source)
        if names is not None:
            raise RunError(
                f"{path} is a file: there is nothing to choose from it",
                hint=f"Name the run, and the file with --on {path}.",
            )
        belongs = None if recipe is not None else artifact_of(path)
        if belongs is None:
            return None, [of_file(path, _recipe(path, recipe), None)], None
        source, names = belongs[0], [belongs[1]]
    run = Run.open(source)
    found = of_run(run)
    subjects = found if names is None else choose(found, names, run)
    if not subjects:
        raise RunError(f"{run.path} holds nothing to evaluate", hint="Distil again.")
    return run, subjects, names


def _recipe(path: Path, recipe: Recipe | str | Path | None) -> Recipe:
    if recipe is None:
        raise RunError(
            f"{path} belongs to no run, so nothing says which data to run it on",
            hint="Name a recipe with --recipe, or a run, with the file after --on.",
        )
    return recipe if isinstance(recipe, Recipe) else Recipe.load(recipe)


def record_name(split: str, names: Sequence[str] | None, against: str | None) -> str:
    """Return the name of the record: what was asked, fit for a file.

    >>> record_name("test", None, None), record_name("test", ["student", "a/b.onnx"], "other")
    ('test', 'test--student--b.onnx--against-other')
    """
    parts = [split, *(Path(name).name for name in names or ())]
    if against is not None:
        parts.append(f"against-{against}")
    return re.sub(r"[^A-Za-z0-9._-]+", "-", "--".join(parts))[:120]
