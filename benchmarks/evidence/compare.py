"""Ways of training held against each other: over seeds, and sample by sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from benchmarks.evidence.plan import BEST, Goal, Plan
from benchmarks.evidence.rows import TARGETS, Classes, Row
from edgekd.statistics.paired import compare
from edgekd.statistics.seeds import compare_seeds
from edgekd.summary import Spread

#: What is compared, by how rows name it.
FILES = ("tflite-int8", "tflite-fp32", "onnx-int8", "onnx-fp32")

#: job -> what its files answered.
Answers = Mapping[str, Mapping[str, Classes]]


def value(row: Row, what: str, *path: str) -> float | None:
    """Return a number of a row; None where it is not known.

    >>> value({"files": {"tflite-int8": {"accuracy": 0.9}}}, "tflite-int8", "accuracy")
    0.9
    >>> value({"accuracy": 0.91, "files": {}}, "accuracy")
    0.91
    """
    if not path:
        found = row.get(what)
    else:
        found = row["files"].get(what, {}).get(path[0])
    return None if found is None else float(found)


def spread(rows: Sequence[Row], *where: str) -> dict[str, Any] | None:
    """Return mean and spread of a number over rows; None where none has it."""
    known = [number for row in rows if (number := value(row, *where)) is not None]
    found = Spread.of(known)
    return None if found is None else asdict(found)


def against(ours: Sequence[Row], theirs: Sequence[Row], what: str, answers: Answers) -> Any:
    """Compare one file of two arms over the seeds that both have, and on the same samples.

    The seeds share their teacher and its views: the test over seeds is about other students of
    the same teacher. McNemar's test takes the two files of a seed as they are.

    Args:
        ours: rows of the one arm.
        theirs: of the other.
        what: the file.
        answers: what files answered.

    Returns:
        ours minus theirs, a dictionary; None where they share no seed.
    """
    other = {_pair(row): row for row in theirs if value(row, what, "accuracy") is not None}
    pairs = [
        (row, other[_pair(row)])
        for row in ours
        if _pair(row) in other and value(row, what, "accuracy") is not None
    ]
    if not pairs:
        return None
    numbers = [
        [row["files"][what]["accuracy"] for row in side] for side in zip(*pairs, strict=True)
    ]
    return {
        "file": what,
        "pairs": [_pair(row) for row, _ in pairs],
        "our_accuracies": numbers[0],
        "their_accuracies": numbers[1],
        **asdict(compare_seeds(numbers[0], numbers[1])),
        "samples": [
            found for a, b in pairs if (found := _mcnemar(a, b, what, answers)) is not None
        ],
    }


def _pair(row: Row) -> str:
    return f"{row.get('fold', '')} {row['seed']}".strip()


def _mcnemar(a: Row, b: Row, what: str, answers: Answers) -> dict[str, Any] | None:
    """Return McNemar's test of two files on the same samples; None where answers are missing."""
    first, second = answers.get(a["job"], {}), answers.get(b["job"], {})
    if what not in first or what not in second or len(first[what]) != len(second[what]):
        return None
    labels = first[TARGETS]
    if (labels != second[TARGETS]).any():
        return None
    found = compare(first[what] == labels, second[what] == labels)
    return {"pair": _pair(a), **asdict(found)}


def judge(goal: Goal, arms: Mapping[str, Sequence[Row]], plan: Plan) -> dict[str, Any]:
    """Say what came of a goal, by the mean over the runs of the arm ``best``.

    Returns:
        the goal's keys, ``value`` (None: not known yet), ``runs``, and ``met``.
    """
    ours, fp32 = arms.get(BEST, ()), goal.file.replace("int8", "fp32")
    of_best = [found for row in ours if (found := _number(goal, row, fp32)) is not None]
    number = sum(of_best) / len(of_best) if of_best else None
    runs = len(of_best)
    if goal.what == "int8 gain":
        found = against(ours, arms.get(goal.over or "", ()), goal.file, {})
        number, runs = (None, 0) if found is None else (found["difference"], found["n"])
    met = None
    if number is not None:
        low = goal.at_least if goal.at_least is not None else float("-inf")
        high = goal.at_most if goal.at_most is not None else float("inf")
        # Means of fractions differ in the last bit from the decimal fraction that is written.
        met = low - 1e-9 <= number <= high + 1e-9
    planned = len(plan.jobs(arm=BEST))
    return {
        **goal.model_dump(mode="json", exclude_none=True),
        "value": number,
        "runs": runs,
        "planned": planned,
        "met": met,
    }


def _number(goal: Goal, row: Row, fp32: str) -> float | None:
    if goal.what == "int8 size":
        return value(row, goal.file, "size_bytes")
    found = value(row, goal.file, "accuracy")
    if goal.what != "int8 drop" or found is None:
        return found
    before = value(row, fp32, "accuracy")
    return None if before is None else before - found
