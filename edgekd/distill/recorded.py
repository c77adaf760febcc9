"""A recorded teacher: nothing runs, its answers stand in a file by the ids of samples.

What it answered holds for the sample as it is, not for an augmented view of it and not for a
mixture of two.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from edgekd.data.split import SPLITS, Dataset
from edgekd.distill.answers_file import Answers, read_answers
from edgekd.distill.batches import Batch
from edgekd.distill.filed import refuse_wrong_gives
from edgekd.errors import DataError, ModelError, RecipeError
from edgekd.losses.base import Outputs
from edgekd.recipe import TeacherSpec, TrainSpec
from edgekd.storage import sha256_file

_SHOWN = 3
_LOOKED_AT = 64


class Recorded(nn.Module):
    """What stands in the place of a teacher's network.

    Args:
        answers: of the file.
        dataset: whose samples they are for.
        columns: for each class of the data, which of the outputs stands for it; None: all.
        outputs: the number of classes that the answers tell apart.
        sha256: the hash of the file.
    """

    sha256: Tensor

    def __init__(
        self,
        answers: Answers,
        dataset: Dataset,
        columns: Sequence[int] | None,
        *,
        outputs: int,
        sha256: str,
    ) -> None:
        """Look every sample of the data up."""
        super().__init__()
        self.answers = answers
        self.outputs = outputs
        self.columns = None if columns is None else np.asarray(columns)
        self.classes = len(dataset.classes)
        self.register_buffer("sha256", torch.tensor(list(bytes.fromhex(sha256)), dtype=torch.uint8))
        place = {name: row for row, name in enumerate(answers.ids)}
        #: Of each split the row of every sample, -1 where there is none.
        self.rows = {
            split: np.asarray([place.get(name, -1) for name in dataset.splits[split].ids])
            for split in SPLITS
        }

    def forward(self, inputs: Tensor) -> Tensor:
        """Refuse: there is no network."""
        raise ModelError("a recorded teacher can only be asked for samples, not for inputs")

    def knows(self, split: str) -> bool:
        """Say whether every sample of a split was answered."""
        return bool((self.rows[split] >= 0).all())

    def logits(self, split: str, indices: np.ndarray | None = None) -> np.ndarray:
        """Return the logits (n, C) of samples of a split, all of it by default.

        Raises:
            ModelError: some were not recorded.
        """
        rows = self.rows[split] if indices is None else self.rows[split][indices]
        if (rows < 0).any():
            raise ModelError(f"{(rows < 0).sum()} answers to the {split} split were not recorded")
        found = self.answers.logits(rows, self.outputs)
        return found if self.columns is None else found[:, self.columns]


class RecordedVoice:
    """Answers for batches, looked up."""

    def __init__(self, teacher: Recorded) -> None:
        """Store the teacher."""
        self.teacher = teacher

    def answer(self, batch: Batch) -> Outputs:
        """Return what was recorded of the batch's samples."""
        logits = torch.from_numpy(self.teacher.logits("train", batch.indices.cpu().numpy()))
        return Outputs(logits.to(batch.inputs.device), {}, batch.mask, batch.indices)


def load_recorded(spec: TeacherSpec, dataset: Dataset, where: str) -> tuple[Answers, str]:
    """Read the answers that a recipe names, and hold them against the data.

    Args:
        spec: the teacher's table.
        dataset: the data.
        where: the key path of its table.

    Returns:
        The answers, and the hash of their file.

    Raises:
        DataError: the file is damaged, or training samples are missing in it.
        ModelError: its classes are not the data's.
    """
    path = Path(spec.outputs or "").expanduser()
    answers = read_answers(path)
    here = f"{where}.outputs {str(path)!r}"
    ids = dataset.splits["train"].ids
    there = set(answers.ids)
    missing = [name for name in ids if name not in there]
    if missing:
        raise DataError(
            f"{here} lacks {len(missing)} of {len(ids)} training samples, "
            f"e.g. {_some(missing)}; it has {len(answers.ids)}, e.g. {_some(answers.ids)}",
            hint="Record it again for this data and this split: edgekd record",
        )
    number = len(spec.classes or answers.names or dataset.classes)
    if answers.top is not None:
        low, high = int(answers.top.min()), int(answers.top.max())
        fits = low >= 0 and high < number and answers.top.shape[1] <= number
        found = f"classes {low} to {high}"
    else:
        fits, found = answers.values.shape[1] == number, f"{answers.values.shape[1]} classes"
    if not fits:
        raise ModelError(
            f"{here} has {found}, the data has {len(dataset.classes)} classes",
            hint=f"Name all of its classes, in its own order: {where}.classes = [...].",
        )
    if answers.top is None:
        gives = "probabilities" if answers.probabilities else "logits"
        _check_kind(answers.values[:_LOOKED_AT], gives, here)
    return answers, sha256_file(path)


def _check_kind(values: np.ndarray, gives: str, what: str) -> None:
    """Refuse an array of probabilities that is called ``logits``, and the reverse.

    Raises:
        ModelError: says how to name it.
    """
    try:
        refuse_wrong_gives(values, gives, 0.01, what, "")
    except ModelError as error:
        other = "logits" if gives == "probabilities" else "probabilities"
        raise ModelError(error.message, hint=f"Name the array {other!r} in the file.") from error


def check_views(specs: Sequence[TeacherSpec], train: TrainSpec) -> None:
    """Refuse recorded teachers where the student sees other samples than they have seen.

    Raises:
        RecipeError: says what to declare or to leave out.
    """
    faults = []
    for number, spec in enumerate(specs):
        if spec.outputs is None:
            continue
        where = f"teacher[{number}]"
        if train.mix is not None:
            faults.append(f"{where}.outputs: no answers are recorded for mixtures (train.mix)")
        if spec.view == "other":
            faults.append(f'{where}.view: recorded answers have one view, which is "plain"')
        if train.augment and spec.view == "same":
            faults.append(
                f"{where}.outputs: the answers are for samples without augmentation, and "
                f'train.augment changes them; if that is meant, say {where}.view = "plain"'
            )
    if faults:
        raise RecipeError("recorded teachers", faults)


def _some(ids: Sequence[str]) -> str:
    return ", ".join(repr(name) for name in ids[:_SHOWN])
