"""From rows and answers to results: gains over twins, effects of factors, agreement."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.study_parts.cells import AUGMENT, Cell, Setting
from benchmarks.study_parts.driver import Row, read_rows
from benchmarks.study_parts.train import answers
from edgekd.statistics.paired import mcnemar
from edgekd.statistics.seeds import compare_seeds

#: A difference that chance makes less often than this counts as one.
LEVEL = 0.05

#: What a level of a factor is compared with, pair by pair.
FACTORS = ("temperature", "teacher", "augment")


@dataclass(frozen=True)
class Student:
    """A student beside its twin and its teacher, on the same test samples.

    Attributes:
        cell: what it is.
        accuracy: of the student.
        twin: accuracy of its twin.
        teacher: accuracy of its teacher.
        agreement: share of samples that student and teacher call the same.
        twin_agreement: likewise of the twin, which has never heard the teacher.
        p: of McNemar's exact test of student against twin.
    """

    cell: Cell
    accuracy: float
    twin: float
    teacher: float
    agreement: float
    twin_agreement: float
    p: float

    @property
    def gain(self) -> float:
        """By how much it is better than its twin."""
        return self.accuracy - self.twin


def students(setting: Setting, folder: Path) -> list[Student]:
    """Return the students whose twin and teacher are there too.

    Args:
        setting: of the study.
        folder: of the study.
    """
    rows = read_rows(folder, setting)
    found = []
    for row in rows.values():
        cell = Cell(**row["cell"])
        teacher = cell.teacher_cell(setting)
        if teacher is None or teacher.name not in rows or cell.twin.name not in rows:
            continue
        right, top = _answers(cell, folder)
        twin_right, twin_top = _answers(cell.twin, folder)
        _, teacher_top = _answers(teacher, folder)
        exact, _ = mcnemar(int((right & ~twin_right).sum()), int((twin_right & ~right).sum()))
        found.append(
            Student(
                cell=cell,
                accuracy=row["test_accuracy"],
                twin=rows[cell.twin.name]["test_accuracy"],
                teacher=rows[teacher.name]["test_accuracy"],
                agreement=float((top == teacher_top).mean()),
                twin_agreement=float((twin_top == teacher_top).mean()),
                p=exact,
            )
        )
    return found


def _answers(cell: Cell, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    with np.load(answers(cell, folder), allow_pickle=False) as found:
        return found["right"], found["top"]


def collect(setting: Setting, folder: Path) -> dict[str, Any]:
    """Return all results of the cells that are there.

    Args:
        setting: of the study.
        folder: of the study.

    Raises:
        SystemExit: no student is there with its twin and its teacher.
    """
    from edgekd.provenance import collect as provenance

    rows = read_rows(folder, setting)
    known = students(setting, folder)
    if not known:
        raise SystemExit(f"{folder} has no student with its twin: run the study first")
    facts = provenance(packages=("torch", "kornia", "numpy")).model_dump(
        mode="json", exclude={"command", "seed"}
    )
    described = asdict(setting)
    described["data"] = {k: v for k, v in described["data"].items() if k != "root"}
    return {
        "kind": "distillation-study",
        "version": 1,
        "setting": described,
        "augmentations": AUGMENT,
        "steps": {
            name: setting.epochs(count) * -(-count // setting.batch_size)
            for name, count in setting.labels.items()
        },
        "teachers": [_network(row) for row in rows.values() if row["cell"]["kind"] == "teacher"],
        "twins": [_network(row) for row in rows.values() if row["cell"]["kind"] == "twin"],
        "cells": cells(known),
        "effects": effects(known, setting),
        "agreement": correlation(known, setting),
        "wall_seconds": round(sum(row["wall_seconds"] for row in rows.values())),
        "test_samples": next(iter(rows.values()))["test_samples"],
        "provenance": facts,
    }


def _network(row: Row) -> dict[str, Any]:
    kept = ("test_accuracy", "epochs", "train_seconds", "parameters", "macs", "train_samples")
    return {**row["cell"], **{name: row[name] for name in kept}}


def cells(known: Sequence[Student]) -> list[dict[str, Any]]:
    """Return a line for each combination, its seeds together.

    ``verdict`` is ``better`` or ``worse`` where every seed says so beyond chance, by McNemar's
    exact test against the twin of the same seed; else ``open``.
    """
    groups: dict[tuple[Any, ...], list[Student]] = defaultdict(list)
    for one in known:
        cell = one.cell
        key = (cell.labels, cell.arm, cell.teacher, cell.temperature, cell.augment)
        groups[key].append(one)
    found = []
    for (labels, arm, teacher, temperature, augment), several in groups.items():
        several.sort(key=lambda one: one.cell.seed)
        gains = [one.gain for one in several]
        beyond = all(one.p < LEVEL for one in several)
        sign = 1 if min(gains) > 0 else -1 if max(gains) < 0 else 0
        found.append(
            {
                "labels": labels,
                "arm": arm,
                "teacher": teacher,
                "temperature": temperature,
                "augment": augment,
                "seeds": [one.cell.seed for one in several],
                "student": [one.accuracy for one in several],
                "twin": [one.twin for one in several],
                "teacher_accuracy": several[0].teacher,
                "agreement": [one.agreement for one in several],
                "twin_agreement": [one.twin_agreement for one in several],
                "p": [one.p for one in several],
                "gain": float(np.mean(gains)),
                "verdict": {1: "better", -1: "worse"}.get(sign, "open") if beyond else "open",
            }
        )
    return found


def effects(known: Sequence[Student], setting: Setting) -> list[dict[str, Any]]:
    """Return what each level of a factor gives beside the middle one, all else equal.

    Each student at the level is paired with the one that differs in this factor alone; what is
    compared are their gains over their twins. With two pairs or more, the paired t-test.
    """
    same = {one.cell: one for one in known if one.cell.arm == "same"}
    middle = dict(zip(FACTORS, setting.middle, strict=True))
    levels: dict[str, Iterable[Any]] = {
        "temperature": setting.temperatures,
        "teacher": setting.teachers,
        "augment": AUGMENT,
    }
    found = []
    for labels in setting.labels:
        for factor in FACTORS:
            for level in levels[factor]:
                pairs = [
                    (one, other)
                    for one in same.values()
                    if one.cell.labels == labels
                    and getattr(one.cell, factor) == level
                    and level != middle[factor]
                    and (other := same.get(_with(one.cell, factor, middle[factor]))) is not None
                ]
                if pairs:
                    found.append(_effect(labels, factor, level, middle[factor], pairs))
    return found


def _with(cell: Cell, factor: str, level: Any) -> Cell:
    return Cell(**{**asdict(cell), factor: level})


def _effect(
    labels: str, factor: str, level: Any, middle: Any, pairs: Sequence[tuple[Student, Student]]
) -> dict[str, Any]:
    tests = compare_seeds([one.gain for one, _ in pairs], [other.gain for _, other in pairs])
    return {
        "labels": labels,
        "factor": factor,
        "level": level,
        "against": middle,
        "pairs": tests.n,
        "difference": tests.difference,
        "t_p": tests.t_p,
    }


def correlation(known: Sequence[Student], setting: Setting) -> dict[str, dict[str, Any]]:
    """Return by fraction of labels how agreement with the teacher goes with accuracy.

    ``r`` is Pearson's, over the students of the arm ``same``; None with fewer than three or where
    all are equal. ``higher_agreement`` counts those that agree more with their teacher than their
    twin does, ``but_worse`` those of them that are nevertheless worse than their twin.
    """
    found = {}
    for labels in setting.labels:
        chosen = [one for one in known if one.cell.labels == labels and one.cell.arm == "same"]
        closer = [one for one in chosen if one.agreement > one.twin_agreement]
        found[labels] = {
            "students": len(chosen),
            "r": _pearson(chosen, lambda one: one.agreement, lambda one: one.accuracy),
            "higher_agreement": len(closer),
            "but_worse": sum(one.gain < 0 for one in closer),
        }
    return found


def _pearson(
    chosen: Sequence[Student],
    first: Callable[[Student], float],
    second: Callable[[Student], float],
) -> float | None:
    if len(chosen) < 3:
        return None
    x, y = np.array([first(one) for one in chosen]), np.array([second(one) for one in chosen])
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    return float(np.corrcoef(x, y)[0, 1])


def of(result: Mapping[str, Any], **wanted: Any) -> list[dict[str, Any]]:
    """Return the lines of ``cells`` with these values."""
    return [
        line
        for line in result["cells"]
        if all(line[name] == value for name, value in wanted.items())
    ]
