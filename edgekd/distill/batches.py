"""Training batches whose order and views depend on seed and epoch alone.

Nothing here keeps state between steps, so a resumed run sees exactly what an uninterrupted one
would have seen.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from edgekd.data.split import Dataset
from edgekd.distill.views import Normalise, Views
from edgekd.recipe import TrainSpec
from edgekd.seeds import derive_seed


@dataclass
class Batch:
    """One batch. Not frozen, for the reason that `Outputs` is not.

    Attributes:
        inputs: (N, *sample_shape) float32, augmented and normalised.
        targets: (N,) int64 class indices.
        indices: (N,) int64 positions in the training split.
        view: the number of the view that all samples are in.
        mask: (N, L) False at padding, for sequences; None otherwise.
    """

    inputs: Tensor
    targets: Tensor
    indices: Tensor
    view: int = 0
    mask: Tensor | None = None


class TrainingBatches:
    """The training split, shuffled anew each epoch, augmented as the recipe says.

    Args:
        dataset: where samples come from.
        train: batch size and augmentations.
        seed: of order and views.
        views: how many different views of a sample there are before they repeat; 0: one an epoch.
        views_seed: the seed of the views, where it is not that of the order: what a cache holds
            must not depend on the seed of one student.
    """

    def __init__(
        self,
        dataset: Dataset,
        train: TrainSpec,
        seed: int,
        *,
        views: int = 0,
        views_seed: int | None = None,
    ) -> None:
        """Build the augmentations."""
        self.part = dataset.splits["train"]
        self.scale = dataset.preprocess.scale
        self.batch_size = min(train.batch_size, len(self.part))
        self.seed = seed
        self.number_of_views = views
        self.normalise = Normalise(
            dataset.preprocess.mean, dataset.preprocess.std, dataset.sample_shape
        )
        self.views = Views(
            train.augment,
            dataset.sample_shape,
            len(self.part),
            seed if views_seed is None else views_seed,
        )

    def __len__(self) -> int:
        """Return the number of batches an epoch.

        A last batch of one sample is left out: batch statistics of one sample are degenerate.
        """
        full, rest = divmod(len(self.part), self.batch_size)
        return full + (1 if rest > 1 else 0)

    def view_of(self, epoch: int) -> int:
        """Return which view of every sample an epoch shows."""
        return epoch % self.number_of_views if self.number_of_views else epoch

    def epoch(self, number: int, device: torch.device) -> Iterator[Batch]:
        """Yield the batches of an epoch, counted from 0, on a device."""
        random = np.random.default_rng(derive_seed(self.seed, "order", number))
        order = random.permutation(len(self.part))
        for step in range(len(self)):
            chosen = order[step * self.batch_size : (step + 1) * self.batch_size]
            yield self.batch(chosen, self.view_of(number), device)

    def batch(self, chosen: np.ndarray, view: int, device: torch.device) -> Batch:
        """Return one view of these samples.

        Args:
            chosen: (N,) positions in the training split.
            view: the number of the view.
            device: where the batch is to be.
        """
        indices = torch.from_numpy(chosen)
        raw = torch.from_numpy(self.part.read(chosen)).to(device)
        inputs = self.views.apply(raw.float() * self.scale, indices, view)
        targets = torch.from_numpy(self.part.targets[chosen]).to(device)
        return Batch(self.normalise.to(device)(inputs), targets, indices.to(device), view)
