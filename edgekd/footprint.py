"""The energy of a run in words: what the command line and the report both say.

Pure Python, so that both work with the base install.
"""

from __future__ import annotations

from collections.abc import Sequence

from edgekd import format as fmt
from edgekd.records import Energy, RunManifest

#: What the phases of a run are called; any other is called by its own name.
_PHASES = {"student": "student", "baseline": "student without teacher"}


def footprint(manifest: RunManifest) -> list[tuple[str, str]]:
    """Say what training took: energy, CO2e, and how both are known; nothing if nobody measured.

    Args:
        manifest: of the run.

    Returns:
        (name, text) of each fact.
    """
    if not manifest.energy:
        return []
    teachers = [found for found in manifest.energy if found.students]
    own = [found for found in manifest.energy if not found.students]
    parts = [_teacher(found) for found in teachers]
    for phase in dict.fromkeys(found.phase for found in own):
        parts.append(_phase(phase, [found for found in own if found.phase == phase]))
    facts = [("Energy", "; ".join(parts))]
    missing = len(manifest.teachers) - sum(found.phase == "teacher" for found in teachers)
    if missing > 0:
        facts.append(("Energy not known", f"of {_count(missing, 'teacher')} trained unmeasured"))
    facts.append(("CO2e", _emissions(teachers, own)))
    return [*facts, ("Energy, how", _methods(manifest.energy))]


def _teacher(found: Energy) -> str:
    students = found.students or 1
    each = fmt.energy(found.kwh / students)
    return (
        f"{found.phase} ({found.name}) {fmt.energy(found.kwh)}, "
        f"shared by {_count(students, 'student')} so far: {each} each"
    )


def _phase(phase: str, found: Sequence[Energy]) -> str:
    total = fmt.energy(sum(energy.kwh for energy in found))
    name = _PHASES.get(phase, phase)
    return f"{name} {total}" if len(found) == 1 else f"{name} {total} (all {len(found)} seeds)"


def _emissions(teachers: Sequence[Energy], own: Sequence[Energy]) -> str:
    """Say what came of it, with the share of the teachers that falls to this run's students."""
    students = sum(found.phase == "student" for found in own)
    shares = sum(found.co2e_kg * students / found.students for found in teachers if found.students)
    total = shares + sum(found.co2e_kg for found in own)
    places = {found.country for found in [*teachers, *own]}
    where = " and ".join(
        "the world's average" if place is None else f"that of {place}"
        for place in sorted(places, key=str)
    )
    whole = ", this run's share of its teachers included" if teachers else ""
    return f"{fmt.mass(total)}{whole}, with electricity as {where}"


def _methods(found: Sequence[Energy]) -> str:
    methods = {(part, method) for energy in found for part, method in energy.methods.items()}
    return "; ".join(f"{part.upper()} {method}" for part, method in sorted(methods))


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
