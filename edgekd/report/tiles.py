"""The five numbers that matter, each with what it must be compared with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgekd import format as fmt
from edgekd.summary import BASELINE, Headline, Row, Spread


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
    """Return accuracy, agreement, size, latency and memory."""
    return [_accuracy(found), _agreement(rows), _size(rows), _latency(rows), _memory(rows)]


def verdict(found: Headline) -> str:
    """Say in a sentence what the teacher brought, against the student trained without it."""
    gain = found.gain
    if gain is None:
        return (
            "What the teacher brought is not known: set train.baseline = true in the recipe, to "
            "train the same student without it."
        )
    text = f"Against the same student without a teacher: {fmt.points(gain.mean)} of accuracy"
    if gain.low is None or gain.high is None:
        return f"{text}; one seed, so it may be chance."
    interval = f"95% interval {gain.low * 100:+.2f} to {gain.high * 100:+.2f} pp"
    chance = "" if gain.low > 0 or gain.high < 0 else ", so it may be chance"
    return f"{text}; {interval} over {gain.n} seeds{chance}."


def progress(line: Mapping[str, Any], epochs: int) -> list[Tile]:
    """Return what the newest line of a training log says.

    Args:
        line: of ``metrics.jsonl``.
        epochs: that the student trains for.
    """
    accuracy, seconds = line.get("validation_accuracy"), line.get("seconds")
    of = f"of {epochs}" if line.get("phase") == "student" else ""
    return [
        Tile("Network", str(line.get("phase")), f"seed {line.get('seed')}"),
        Tile("Epoch", str(line.get("epoch")), of),
        Tile("Validation accuracy", fmt.percent(accuracy), ""),
        Tile("Loss", fmt.significant(line["loss"]), "the sum of its weighted terms"),
        Tile("An epoch", fmt.MISSING if seconds is None else f"{seconds:.1f} s", ""),
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
    details = [
        f"teacher {spread(found.teacher)}" if found.teacher else "",
        f"without a teacher {spread(found.baseline)}" if found.baseline else "",
        seeds,
    ]
    value = fmt.percent(student.mean if student else None)
    deviation = f"± {student.sd * 100:.2f}" if student and student.sd is not None else ""
    return Tile("Student's test accuracy", value, _joined(details), deviation)


def _agreement(rows: Sequence[Row]) -> Tile:
    student, alone = _named(rows, "student"), _named(rows, BASELINE)
    files = [row.agreement for row in rows if row.kind == "artifact" and row.agreement is not None]
    details = [
        f"without a teacher {fmt.percent(alone.agreement)}"
        if alone and alone.agreement is not None
        else "",
        f"the files {_range(files)}" if files else "",
    ]
    label = "Agreement with the teacher"
    if student is None or student.agreement is None:
        return Tile(label, fmt.MISSING, _joined(details) or "there is no teacher to agree with")
    return Tile(label, fmt.percent(student.agreement), _joined(details))


def _range(values: Sequence[float]) -> str:
    low, high = fmt.percent(min(values)), fmt.percent(max(values))
    return low if low == high else f"{low} to {high}"


def _size(rows: Sequence[Row]) -> Tile:
    files = [row for row in rows if row.kind == "artifact" and row.size_bytes]
    if not files:
        return Tile("Smallest file", fmt.MISSING, "nothing exported yet: edgekd export")
    best = min(files, key=lambda row: row.size_bytes or 0)
    details = [best.name]
    for name, text in (
        ("teacher", "the teacher's weights take {} times as much"),
        ("student", "the float student's {} times"),
    ):
        other = _named(rows, name)
        if other is not None and other.size_bytes and best.size_bytes:
            details.append(text.format(fmt.significant(other.size_bytes / best.size_bytes)))
    return Tile("Smallest file", fmt.size(best.size_bytes), _joined(details))


def _latency(rows: Sequence[Row]) -> Tile:
    best = _least(rows, lambda row: row.latency_p50_ms)
    if best is not None and best.latency_p50_ms:
        times = _times(rows, best, lambda row: row.latency_p50_ms)
        detail = f"{best.name}, median on {best.device}"
        teacher = f"the teacher in {times[1]} takes {times[0]} times as long" if times else ""
        return Tile(
            "Fastest file", fmt.milliseconds(best.latency_p50_ms), _joined([detail, teacher])
        )
    counted = [row for row in rows if row.kind == "artifact" and row.instructions]
    if counted:
        least = min(counted, key=lambda row: row.instructions or 0)
        detail = f"{least.name} on {least.device}; emulated, so no milliseconds"
        return Tile("Fewest instructions", fmt.count(least.instructions), detail)
    return Tile("Fastest file", fmt.MISSING, "nothing measured yet: edgekd benchmark")


def _memory(rows: Sequence[Row]) -> Tile:
    label = "Least memory"
    best = _least(rows, lambda row: row.peak_rss_bytes)
    if best is None:
        return Tile(label, fmt.MISSING, "nothing measured yet: edgekd benchmark")
    detail = f"{best.name} on {best.device}, beside its runtime"
    times = _times(rows, best, lambda row: row.peak_rss_bytes)
    teacher = f"the teacher in {times[1]} takes {times[0]} times as much" if times else ""
    return Tile(label, fmt.size(best.peak_rss_bytes), _joined([detail, teacher]))


def _least(rows: Sequence[Row], number: Callable[[Row], float | None]) -> Row | None:
    """Return the file with the smallest number; none that was emulated."""
    known = [
        row
        for row in rows
        if row.kind == "artifact" and not row.emulated and number(row) is not None
    ]
    return min(known, key=lambda row: number(row) or 0.0, default=None)


def _times(
    rows: Sequence[Row], best: Row, number: Callable[[Row], float | None]
) -> tuple[str, str] | None:
    """Return the teacher's number over that of a file on the same device, and what ran it."""
    same = (row for row in rows if row.kind == "teacher" and row.device == best.device)
    teacher = next(same, None)
    if teacher is None:
        return None
    theirs, ours = number(teacher), number(best)
    if not theirs or not ours:
        return None
    return fmt.significant(theirs / ours), teacher.runtime or "PyTorch"


def _named(rows: Sequence[Row], name: str) -> Row | None:
    return next((row for row in rows if row.name == name), None)


def _joined(details: Sequence[str]) -> str:
    return "; ".join(part for part in details if part)
