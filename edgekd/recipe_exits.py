"""``[student.exits]`` and the loss that trains them: each tells the other what it needs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: The loss that trains exits.
LOSS = "early-exits"


def fill_exits(raw: Mapping[str, Any]) -> None:
    """Tell the loss ``early-exits`` how many exits the student has, in place.

    Args:
        raw: the tables of a recipe, as TOML gives them; faults in them are left alone.
    """
    count = len(_exits(raw))
    for _, entry in _losses(raw):
        if count and entry.get("name") == LOSS:
            entry.setdefault("exits", count)


def faults_in_exits(raw: Mapping[str, Any]) -> list[str]:
    """Say where exits and losses do not go together.

    Args:
        raw: the tables of a recipe, as TOML gives them.
    """
    exits, faults = _exits(raw), []
    losses = _losses(raw)
    for number, entry in losses:
        if entry.get("name") != LOSS:
            continue
        where = f"loss[{number}]"
        if not exits:
            faults.append(f"{where}: {LOSS!r} needs exits: add [student.exits], e.g. at = [...]")
        elif entry.get("exits", len(exits)) != len(exits):
            faults.append(f"{where}.exits: the student has {len(exits)}; leave it out")
        if entry.get("teach", "self") != "self" and not raw.get("teacher"):
            faults.append(f"{where}.teach: there is no [[teacher]]; leave it at 'self'")
    if exits and not any(_trains(entry) for _, entry in losses):
        faults.append(f"student.exits: no loss trains them; add a [[loss]] of name {LOSS!r}")
    return faults


def _exits(raw: Mapping[str, Any]) -> list[Any]:
    student = raw.get("student")
    found = student.get("exits") if isinstance(student, Mapping) else None
    found = found.get("at") if isinstance(found, Mapping) else found
    if isinstance(found, str):
        return [found]
    return list(found) if isinstance(found, list | tuple) else []


def _losses(raw: Mapping[str, Any]) -> list[tuple[int, dict[str, Any]]]:
    found = raw.get("loss")
    entries = list(found) if isinstance(found, list | tuple) else [found]
    return [(n, entry) for n, entry in enumerate(entries) if isinstance(entry, dict)]


def _trains(entry: Mapping[str, Any]) -> bool:
    """Say whether a loss sees the exits: ours, one that captures them, or the user's own."""
    name = str(entry.get("name"))
    return name == LOSS or ":" in name or "exits." in str(entry.get("layers"))
