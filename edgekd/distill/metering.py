"""The energy of a run's trainings: measured one by one, then put together."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lightning_fabric import Fabric

from edgekd.distill.energy import Meter
from edgekd.distill.session import Session
from edgekd.recordfile import read_record
from edgekd.records import Energy
from edgekd.records_distill import TeacherManifest
from edgekd.storage import atomic_write, process_lock

if TYPE_CHECKING:
    from edgekd.distill.teacher import Teacher


def metered(session: Session, phase: str, name: str, seed: int, fabric: Fabric) -> Meter:
    """Return the meter of one training; it measures nothing where the recipe does not want it.

    The first process measures for all: the others on its machine are its children.

    Args:
        session: the run in the making.
        phase: what the training is for: ``teacher``, ``student``, ``baseline``, ...
        name: of the network in the recipe.
        seed: of the network.
        fabric: knows which process this is.
    """
    spec = session.recipe.train.energy if fabric.is_global_zero else None
    path = session.energy_file(phase, name, seed)
    return Meter(spec, path, phase=phase, name=name, seed=seed)


def kept_energy(session: Session, phase: str, name: str, seed: int) -> Energy | None:
    """Return what a training of this run used, if it was measured."""
    path = session.energy_file(phase, name, seed)
    return read_record(path, Energy) if path.is_file() else None


def energies(session: Session, teachers: Sequence[Teacher], *, students: int) -> tuple[Energy, ...]:
    """Return what teachers, students and their twins used, as far as it is known.

    A kept teacher brings what its training used, and learns how many students it has by now.

    Args:
        session: the run, all of whose networks are trained.
        teachers: of the run.
        students: that this run trained.
    """
    found: list[Energy] = []
    brought: list[Path] = []
    for teacher in teachers:
        if teacher.kept is None or not (teacher.kept / "manifest.json").is_file():
            continue
        shared = shared_by(teacher.kept, session, students)
        energy = read_record(teacher.kept / "manifest.json", TeacherManifest).energy
        if energy is not None:
            brought.append(session.energy_file(energy.phase, energy.name, energy.seed))
            change = {"name": teacher.named.name, "students": shared}
            found.append(energy.model_copy(update=change))
    own = [path for path in session.energy_files() if path not in brought]
    return (*found, *(read_record(path, Energy) for path in own))


def shared_by(kept: Path, session: Session, students: int) -> int:
    """Count the students of a kept teacher, over all runs that used it.

    Args:
        kept: the teacher's folder; ``students.json`` in it holds their number by run.
        session: this run, which counts once however often it is resumed.
        students: how many it trained.
    """
    path = kept / "students.json"
    run = f"{session.manifest.id} {session.manifest.provenance.created}"
    with process_lock(kept / ".students.lock", wait=True):
        known: dict[str, int] = json.loads(path.read_text()) if path.is_file() else {}
        known[run] = students
        atomic_write(path, json.dumps(known, indent=2) + "\n")
    return sum(known.values())
