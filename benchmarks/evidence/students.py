"""The committed students: ``python -m benchmarks.evidence students NAME``.

Of the arm ``best`` the first seed, whatever the others reached: what was chosen by its test
accuracy would not be what the tables say.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

from benchmarks.evidence.measure import TEACHER_FILE, artifacts, main_file, open_student
from benchmarks.evidence.places import Places
from benchmarks.evidence.plan import BEST, Plan
from benchmarks.evidence.rows import TEACHER, read_answers, write_answers
from benchmarks.evidence.train import run_path
from edgekd.errors import RunError
from edgekd.format import size
from edgekd.rundir import Run, new_directory
from edgekd.storage import atomic_write

#: The files of a student; each must be smaller than `LIMIT`.
FILES = ("recipe.toml", "manifest.json", "student.safetensors")
ARTIFACTS = ("tflite-fp32", "tflite-int8", "onnx-int8")
LIMIT = 1_000_000

#: A path from the root, also behind ``file://``: a folder of one machine.
_OF_A_MACHINE = re.compile(r"(?:(?<![\w./}-])|(?<=//))/\w[\w.-]*/")


def keep(plan: Plan, places: Places) -> Path:
    """Copy the best arm's first seed to where it is committed; return its folder.

    Raises:
        RunError: it is not there, is too large, or names folders of this machine.
    """
    job = plan.jobs(arm=BEST)[0]
    run = Run.open(run_path(plan, job, places))
    folder = places.students / plan.name
    with new_directory(folder, overwrite=True) as staging:
        for name in FILES:
            shutil.copyfile(run.path / name, staging / name)
        for artifact in run.artifacts():
            if artifact.manifest.name in ARTIFACTS or artifact == main_file(run):
                shutil.copytree(artifact.directory, staging / artifact.manifest.name)
        answers = read_answers(places.answers(plan.name, job.key))
        if TEACHER in answers:
            write_answers(staging / TEACHER_FILE, {TEACHER: answers[TEACHER]})
        _refuse(staging)
        atomic_write(staging / "README.md", _readme(plan, open_student(staging)))
    return folder


def write_measured(plan: Plan, found: dict[str, Any], places: Places) -> Path:
    """Write what was measured of a student's files; return the JSON that is committed."""
    result = {
        "kind": "student",
        "version": 1,
        "name": plan.name,
        "reference": plan.reference,
        **found,
    }
    path = places.measured(plan.name)
    atomic_write(path, json.dumps(result, indent=1) + "\n")
    return path


def _refuse(folder: Path) -> None:
    faults = []
    for path in sorted(folder.rglob("*")):
        if path.is_dir():
            continue
        name = path.relative_to(folder)
        if path.stat().st_size >= LIMIT:
            faults.append(f"{name} has {size(path.stat().st_size)}")
        if path.suffix in (".json", ".toml") and _OF_A_MACHINE.search(path.read_text("utf-8")):
            faults.append(f"{name} names a folder of this machine")
    if faults:
        raise RunError(
            f"this student cannot be committed: {'; '.join(faults)}",
            hint="Name data by $EDGEKD_DATA; files must be smaller than 1 MB.",
        )


def _readme(plan: Plan, run: Run) -> str:
    lines = [
        f"# {plan.title}",
        "",
        f"Of `edgekd distill {plan.recipe}`, seed {run.recipe.seeds[0]}: the arm `{BEST}` of",
        f"`benchmarks/evidence/plans/{plan.name}.toml`. The folder is a part of a run; its",
        "manifests are those of the run. `make evidence` measures the files again.",
        "",
        "| File | Size |",
        "| --- | ---: |",
        f"| student.safetensors | {size(run.student_path.stat().st_size)} |",
    ]
    lines += [
        f"| {one.path.relative_to(run.path)} | {size(one.path.stat().st_size)} |"
        for one in artifacts(run)
    ]
    if run.manifest.teachers:
        lines += ["", f"`{TEACHER_FILE}`: the classes that the teacher gave the test split."]
    return "\n".join(lines) + "\n"
