"""The five numbers that matter, each with what it must be compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgekd import format as fmt
from edgekd.summary import Headline, Row, Spread


@dataclass(frozen=True)
class Tile:
    """One number.

    Attributes:
        label: what it is.
        value: the number, with its unit.
        detail: what to compare it with.
        spread: what stands small beside the number.
    """

    label: str
    value: str
    detail: str
    spread: str = ""


def tiles(rows: Sequence[Row], found: Headline) -> list[Tile]:
    """Return accuracy, what distillation changed, parameters, size and latency."""
    by_name = {row.name: row for row in reversed(rows)}
    return [
        _accuracy(found),
        _gain(found),
        _parameters(by_name.get("teacher"), by_name.get("student")),
        _size(rows, by_name.get("teacher")),
        _latency(rows),
    ]


def spread(found: Spread | None) -> str:
    """Return mean and standard deviation as percentages."""
    if found is None:
        return fmt.MISSING
    if found.sd is None:
        return fmt.percent(found.mean)
    return f"{fmt.percent(found.mean).rstrip('%')} ± {found.sd * 100:.2f}%"


def _accuracy(found: Headline) -> Tile:
    student = found.student
    seeds = ""
    if student is not None:
        seeds = "one seed" if student.n == 1 else f"mean and deviation of {student.n} seeds"
    details = [f"teacher {spread(found.teacher)}" if found.teacher else "", seeds]
    detail = "; ".join(part for part in details if part)
    value = fmt.percent(student.mean if student else None)
    deviation = f"± {student.sd * 100:.2f}" if student and student.sd is not None else ""
    return Tile("Student's test accuracy", value, detail, deviation)


def _gain(found: Headline) -> Tile:
    label = "Effect of distillation"
    gain = found.gain
    if gain is None:
        return Tile(label, fmt.MISSING, "not known: set train.baseline = true in the recipe")
    against = f"the same student without a teacher: {spread(found.baseline)}"
    if gain.low is None or gain.high is None:
        return Tile(label, fmt.points(gain.mean), f"{against}; one seed, so it may be chance")
    interval = f"95% interval {gain.low * 100:+.2f} to {gain.high * 100:+.2f} pp"
    chance = "" if gain.low > 0 or gain.high < 0 else ", so it may be chance"
    return Tile(label, fmt.points(gain.mean), f"{against}; {interval}{chance}")


def _parameters(teacher: Row | None, student: Row | None) -> Tile:
    label = "Student's parameters"
    if student is None or not student.parameters:
        return Tile(label, fmt.MISSING, "there is no student")
    detail = ""
    if teacher is not None and teacher.parameters:
        ratio = fmt.significant(teacher.parameters / student.parameters)
        detail = f"the teacher's {fmt.count(teacher.parameters)} are {ratio} times as many"
    return Tile(label, fmt.count(student.parameters), detail)


def _size(rows: Sequence[Row], teacher: Row | None) -> Tile:
    files = [row for row in rows if row.kind == "artifact" and row.size_bytes]
    if not files:
        return Tile("Smallest file", fmt.MISSING, "nothing exported yet: edgekd export")
    best = min(files, key=lambda row: row.size_bytes or 0)
    detail = best.name
    if teacher is not None and teacher.size_bytes and best.size_bytes:
        ratio = fmt.significant(teacher.size_bytes / best.size_bytes)
        detail += f"; the teacher's weights take {ratio} times as much"
    return Tile("Smallest file", fmt.size(best.size_bytes), detail)


def _latency(rows: Sequence[Row]) -> Tile:
    label = "Fastest file"
    timed = [
        row for row in rows if row.kind == "artifact" and row.latency_p50_ms and not row.emulated
    ]
    if not timed:
        return Tile(label, fmt.MISSING, "nothing measured yet: edgekd benchmark")
    best = min(timed, key=lambda row: row.latency_p50_ms or 0.0)
    detail = f"{best.name}, median on {best.device}"
    same = (row for row in rows if row.kind == "teacher" and row.device == best.device)
    teacher = next(same, None)
    if teacher is not None and teacher.latency_p50_ms and best.latency_p50_ms:
        ratio = fmt.significant(teacher.latency_p50_ms / best.latency_p50_ms)
        detail += f"; the teacher in {teacher.runtime or 'PyTorch'} takes {ratio} times as long"
    return Tile(label, fmt.milliseconds(best.latency_p50_ms), detail)
