"""Export a trained run and score its files: ``python -m benchmarks.evidence.score PLAN JOB``.

Every file answers the whole test split, which nothing was chosen by. The converter proves each of
them first; one that falls short of that proof is scored all the same, and the row says so.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.evidence.places import Places
from benchmarks.evidence.plan import Job, Plan, load_plan
from benchmarks.evidence.rows import (
    STUDENT,
    TARGETS,
    TEACHER,
    Classes,
    Row,
    append_row,
    write_answers,
)
from benchmarks.evidence.train import run_path
from edgekd.cli.export_wanted import Wanted, of_flags
from edgekd.data.load import load_dataset
from edgekd.data.split import Dataset
from edgekd.errors import OutputExistsError, ParityError
from edgekd.evaluate.answers import stored_keys
from edgekd.evaluate.subjects import Subject, of_run
from edgekd.export.stage import export
from edgekd.provenance import collect
from edgekd.recordfile import read_record
from edgekd.records import ArtifactManifest
from edgekd.rundir import Artifact, Run, sha256_file

_SCHEMES = {"fp32": "none", "int8": "int8"}


def main(arguments: list[str] | None = None) -> None:
    """Score one run of a plan, and write its row."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("plan")
    parser.add_argument("job", help="ARM-SEED")
    parser.add_argument("--plans", type=Path, help="the folder of plans")
    given = parser.parse_args(arguments)
    places = Places.of()
    places = places if given.plans is None else replace(places, plans=given.plans)
    plan = load_plan(given.plan, places)
    job = next(job for job in plan.jobs() if job.key == given.job)
    row, answers = score(plan, job, run_path(plan, job, places))
    write_answers(places.answers(plan.name, job.key), answers)
    append_row(places.rows(plan.name), row)  # last: it says that the run is done


def score(plan: Plan, job: Job, path: Path) -> tuple[Row, dict[str, Classes]]:
    """Export a run and let its files answer the test split.

    Args:
        plan: says which files.
        job: the run.
        path: its folder.

    Returns:
        the row, and the classes (N,) that everything answered, the labels among them.
    """
    run = Run.open(path)
    failed = _export(run, plan)
    dataset = load_dataset(run.recipe.data)
    targets = dataset.splits["test"].targets
    answers: dict[str, Classes] = {TARGETS: targets}
    if "teacher_logits" in stored_keys(run.predictions_path):
        answers[TEACHER] = _stored(run, dataset)
    files: dict[str, Any] = {}
    for subject in [*of_run(run), *(_aside(run, name) for name in failed)]:
        if subject.kind not in ("student", "artifact"):
            continue
        found = subject.open()
        name = STUDENT if subject.kind == "student" else subject.name
        answers[name] = found.logits(dataset, "test").argmax(1)
        if subject.kind == "artifact" and subject.path is not None and subject.artifact is not None:
            files[name] = {
                "target": subject.artifact.manifest.target,
                "quantize": subject.artifact.manifest.quantize,
                "size_bytes": subject.path.stat().st_size,
                "sha256": subject.sha256,
                "runtime": found.runtime,
                **({"failed": failed[name]} if name in failed else {}),
            }
    for name in (STUDENT, *files):
        scores = scores_of(answers[name], targets, answers.get(TEACHER))
        if name in files:
            files[name] = {**scores, **files[name]}
    return {**_facts(run, plan, job), "files": files}, answers


def scores_of(classes: Classes, targets: Classes, teacher: Classes | None) -> dict[str, Any]:
    """Return accuracy, and agreement with the teacher where its answers are known."""
    agrees = None if teacher is None else float(np.mean(classes == teacher))
    return {"accuracy": float(np.mean(classes == targets)), "agreement": agrees}


def _export(run: Run, plan: Plan) -> dict[str, str]:
    """Make the recipe's files and those of the plan; return which did not pass, and why."""
    wanted = of_flags(str(run.path), (), (), {}) if run.recipe.export else []
    plain = {(one.target, one.quantize or "none") for one in wanted}
    for name in plan.files:
        target, scheme = name.split("-")
        if (target, _SCHEMES[scheme]) not in plain:
            wanted.append(Wanted(target, _SCHEMES[scheme]))
    failed: dict[str, str] = {}
    for one in wanted:
        try:
            export(run, target=one.target, quantize=one.quantize, **one.options)
        except OutputExistsError:  # made before this process was started again
            continue
        except ParityError as error:
            folders = sorted(run.artifacts_dir.glob("*.failed"), key=lambda p: p.stat().st_mtime_ns)
            failed[folders[-1].name.removesuffix(".failed")] = error.message
    return failed


def _aside(run: Run, name: str) -> Subject:
    """Return a file that was kept aside because it did not pass."""
    folder = run.artifacts_dir / f"{name}.failed"
    manifest = read_record(folder / "manifest.json", ArtifactManifest)
    artifact = Artifact(folder, manifest)
    return Subject(name, "artifact", artifact.path, run.recipe, run, artifact)


def _stored(run: Run, dataset: Dataset) -> Classes:
    """Return the classes (N,) that all teachers together gave."""
    found = Subject("teacher", "teacher", None, run.recipe, run, stored="teacher_logits").open()
    classes: Classes = found.logits(dataset, "test").argmax(1)
    return classes


def _facts(run: Run, plan: Plan, job: Job) -> Row:
    """Return what the run's manifest knows."""
    manifest = run.manifest
    student = manifest.student_scores[0]
    return {
        "plan": plan.name,
        "job": job.key,
        "arm": job.arm,
        "fold": job.fold,
        "seed": job.seed,
        "run": run.path.name,
        "overrides": [*plan.common, *plan.arm_of(job.arm).set],
        "recipe_sha256": manifest.recipe_sha256,
        "data_sha256": manifest.data_sha256,
        "splits": dict(manifest.splits),
        "epochs": student.epochs,
        "seconds": student.train_seconds,
        "validation": student.validation_accuracy,
        "accuracy": student.test_accuracy,
        "agreement": student.test_agreement,
        "qat_accuracy": None if manifest.qat_score is None else manifest.qat_score.test_accuracy,
        "parameters": None if manifest.student is None else manifest.student.parameters,
        "macs": None if manifest.student is None else manifest.student.macs,
        "teachers": [
            {
                "name": facts.name,
                "parameters": facts.parameters,
                "macs": facts.macs,
                "sha256": facts.sha256,
                "validation": None if one is None else one.validation_accuracy,
                "accuracy": None if one is None else one.test_accuracy,
                "epochs": None if one is None else one.epochs,
                "seconds": None if one is None else one.train_seconds,
            }
            for facts, one in zip(manifest.teachers, manifest.teacher_scores, strict=True)
        ],
        "commit": manifest.provenance.git_commit,
        "dirty": manifest.provenance.git_dirty,
        "provenance": collect(seed=job.seed).model_dump(mode="json", exclude={"command", "seed"}),
        "student_sha256": sha256_file(run.student_path),
    }


if __name__ == "__main__":
    main()
