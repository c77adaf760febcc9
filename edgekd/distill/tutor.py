"""A teacher as the loop knows it: a network, and how it sees the samples."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from edgekd.data.split import Dataset
from edgekd.distill.batches import Batch, TrainingBatches, View, scale_of
from edgekd.recipe import CacheSpec


@dataclass(frozen=True)
class Tutor:
    """A teacher that the loop does not train.

    Attributes:
        name: what losses call it.
        model: gives logits in the order of the data's classes.
        dataset: the data as it sees it.
        weight: its share among several.
        view: which view of a sample it sees.
        cache: read its answers from a cache.
        fold: fold BatchNorm into its convolutions.
        trained: False in a dry run whose teacher is yet to be trained.
        average: of the student, where that is what the teacher is; ``model`` is its network.
        answers: what it said of whole splits, each with the state that it was in.
    """

    name: str
    model: nn.Module
    dataset: Dataset
    weight: float = 1.0
    view: View = "same"
    cache: CacheSpec | None = None
    fold: bool = False
    trained: bool = True
    average: AveragedModel | None = None
    answers: dict[str, tuple[object, np.ndarray]] = field(
        default_factory=dict, compare=False, repr=False
    )


class Reads:
    """What a teacher sees of a batch.

    Args:
        tutor: the teacher.
        batches: the student's batches.
    """

    def __init__(self, tutor: Tutor, batches: TrainingBatches) -> None:
        """Find out whether it sees what the student sees."""
        self.view = tutor.view
        self.batches = batches
        ours, theirs = batches.dataset, tutor.dataset
        self.same = ours.input == theirs.input and ours.preprocess == theirs.preprocess
        self.input = theirs.input
        self.prepare = theirs.prepare()
        # Its own scale, on top of the one that the batch's samples have already.
        self.factor = theirs.preprocess.scale / scale_of(ours, theirs.input)

    def __call__(self, batch: Batch) -> Tensor:
        """Return the teacher's input (N, *sample_shape)."""
        if self.view != "same":
            batch = self.batches.again(batch, self.view)
        if self.same:
            return batch.inputs
        scaled = batch.scaled[self.input]
        inputs = self.prepare.to(scaled.device)(scaled * self.factor)
        return self.batches.laid_out(inputs)
