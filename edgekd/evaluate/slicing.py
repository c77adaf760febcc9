"""The same numbers for parts of the split: by speaker, by source, by length."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from edgekd.data.split import Dataset
from edgekd.errors import UnknownNameError
from edgekd.evaluate.answers import Logits
from edgekd.evaluate.scoring import Labels
from edgekd.records_evaluation import SliceScores

#: A column of numbers with more values than this is cut into quarters.
MOST_NUMBERS = 12

#: What samples without a value belong to.
WITHOUT = "(none)"


def slices(
    dataset: Dataset,
    split: str,
    column: str,
    answers: Mapping[str, Logits],
    targets: Labels,
    teacher: Logits | str,
) -> tuple[SliceScores, ...]:
    """Return accuracies, and agreements with the teacher, for every value of a column.

    Args:
        dataset: knows the columns.
        split: the split.
        column: a name in ``dataset.columns``.
        answers: logits (N, C) by subject.
        targets: labels (N,).
        teacher: logits (N, C), or why there are none.

    Raises:
        UnknownNameError: the data has no such column.
    """
    if column not in dataset.columns:
        raise UnknownNameError("column of the data", column, dataset.columns)
    known = dataset.columns[column]
    values = [known.get(name, WITHOUT) for name in dataset.splits[split].ids]
    found = []
    for value, here in groups(values):
        right = {n: float((y.argmax(1) == targets)[here].mean()) for n, y in answers.items()}
        same = {}
        if not isinstance(teacher, str):
            theirs = teacher.argmax(1)
            same = {n: float((y.argmax(1) == theirs)[here].mean()) for n, y in answers.items()}
        found.append(
            SliceScores(
                column=column,
                value=value,
                samples=int(here.sum()),
                accuracies=right,
                agreements=same,
            )
        )
    return tuple(found)


def groups(values: Sequence[str]) -> list[tuple[str, NDArray[np.bool_]]]:
    """Return each value with the samples that have it; many different numbers become quarters.

    >>> [(name, int(here.sum())) for name, here in groups(["b", "a", "b"])]
    [('a', 1), ('b', 2)]
    >>> [name for name, _ in groups([str(n) for n in range(100)])]
    ['0 to 24', '25 to 49', '50 to 74', '75 to 99']
    """
    array = np.array(values)
    names = sorted(set(values))
    numbers = _numbers([name for name in names if name != WITHOUT])
    if numbers is None or len(numbers) <= MOST_NUMBERS:
        order = {name: numbers[name] for name in names if name in numbers} if numbers else {}
        names.sort(key=lambda name: (name == WITHOUT, order.get(name, 0.0), name))
        return [(name, array == name) for name in names]
    known = np.array([numbers.get(value, np.nan) for value in values])
    edges = np.quantile(known[~np.isnan(known)], [0.25, 0.5, 0.75])
    place = np.where(np.isnan(known), -1, np.searchsorted(edges, known, side="left"))
    found = []
    for quarter in range(4):
        here = place == quarter
        if here.any():
            low, high = known[here].min(), known[here].max()
            found.append((f"{low:g} to {high:g}", here))
    if (place == -1).any():
        found.append((WITHOUT, place == -1))
    return found


def _numbers(names: Sequence[str]) -> dict[str, float] | None:
    """Return the values as numbers; None if one is not a finite number."""
    try:
        found = {name: float(name) for name in names}
    except ValueError:
        return None
    return found if all(np.isfinite(list(found.values()))) else None
