"""Training batches whose order and views depend on seed and epoch alone.

Nothing here keeps state between steps, so a resumed run sees exactly what an uninterrupted one
would have seen.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from edgekd.data.split import Dataset
from edgekd.distill.mix import cutmix, draw, mixup, soft_targets
from edgekd.distill.ranks import Ranks
from edgekd.distill.views import Normalise, Views
from edgekd.recipe import TrainSpec
from edgekd.seeds import derive_seed


@dataclass
class Batch:
    """One batch. Not frozen, for the reason that `Outputs` is not.

    Attributes:
        inputs: (N, *sample_shape) float32, augmented and normalised.
        targets: (N,) int64 class indices; (N, C) probabilities where samples are mixed.
        indices: (N,) int64 positions in the training split.
        view: the number of the view that all samples are in.
        mask: (N, L) False at padding, for sequences; None otherwise.
        total: samples in the whole batch, those of other processes among them.
    """

    inputs: Tensor
    targets: Tensor
    indices: Tensor
    view: int = 0
    mask: Tensor | None = None
    total: int = 0


class TrainingBatches:
    """The training split, shuffled anew each epoch, augmented as the recipe says.

    Args:
        dataset: where samples come from.
        train: batch size and augmentations.
        seed: of order and views.
        views: how many different views of a sample there are before they repeat; 0: one an epoch.
        ranks: the processes that share each batch.
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
        ranks: Ranks | None = None,
    ) -> None:
        """Build the augmentations."""
        self.part = dataset.splits["train"]
        self.scale = dataset.preprocess.scale
        self.ranks = ranks or Ranks()
        self.batch_size = min(train.batch_size * self.ranks.world, len(self.part))
        self.seed = seed
        self.number_of_views = views
        self.normalise = Normalise(
            dataset.preprocess.mean, dataset.preprocess.std, dataset.sample_shape
        )
        self.channels_last = train.channels_last
        self.mix = train.mix
        self.classes = len(dataset.classes)
        self._mixing: tuple[int, Any] = (-1, None)
        self.views = Views(
            train.augment,
            dataset.sample_shape,
            len(self.part),
            seed if views_seed is None else views_seed,
        )

    def __len__(self) -> int:
        """Return the number of batches an epoch.

        A last batch of one sample a process is left out: batch statistics of one sample are
        degenerate.
        """
        full, rest = divmod(len(self.part), self.batch_size)
        return full + (1 if rest >= 2 * self.ranks.world else 0)

    def size(self, number: int) -> int:
        """Return the number of samples in a batch of an epoch, over all processes."""
        return min(self.batch_size, len(self.part) - number * self.batch_size)

    def view_of(self, epoch: int) -> int:
        """Return which view of every sample an epoch shows."""
        return epoch % self.number_of_views if self.number_of_views else epoch

    def epoch(self, number: int, device: torch.device) -> Iterator[Batch]:
        """Yield the batches of an epoch, counted from 0, on a device."""
        random = np.random.default_rng(derive_seed(self.seed, "order", number))
        order = random.permutation(len(self.part))
        for step in range(len(self)):
            chosen = order[step * self.batch_size : (step + 1) * self.batch_size]
            start, end = self.ranks.share(len(chosen))
            batch = self.batch(chosen[start:end], self.view_of(number), device)
            batch.total = len(chosen)
            yield batch

    def batch(self, chosen: np.ndarray, view: int, device: torch.device) -> Batch:
        """Return one view of these samples.

        Args:
            chosen: (N,) positions in the training split.
            view: the number of the view.
            device: where the batch is to be.
        """
        inputs, targets = self._one_by_one(chosen, view, device)
        if self.mix is not None:
            inputs, targets = self._mixed(inputs, targets, chosen, view)
        if self.channels_last and inputs.ndim == 4:
            inputs = inputs.contiguous(memory_format=torch.channels_last)
        indices = torch.from_numpy(chosen).to(device)
        return Batch(inputs, targets, indices, view, total=len(chosen))

    def _one_by_one(
        self, chosen: np.ndarray, view: int, device: torch.device
    ) -> tuple[Tensor, Tensor]:
        raw = torch.from_numpy(self.part.read(chosen)).to(device)
        inputs = self.views.apply(raw.float() * self.scale, torch.from_numpy(chosen), view)
        targets = torch.from_numpy(self.part.targets[chosen]).to(device)
        return self.normalise.to(device)(inputs), targets

    def _mixed(
        self, inputs: Tensor, targets: Tensor, chosen: np.ndarray, view: int
    ) -> tuple[Tensor, Tensor]:
        """Mix every sample with its partner of this view, inputs and targets."""
        if self.mix is None:
            return inputs, targets
        if self._mixing[0] != view:
            drawn = draw(self.mix, len(self.part), self.views.seed, view)
            self._mixing = (view, drawn)
        mixing = self._mixing[1]
        partners, theirs = self._one_by_one(mixing.partner[chosen], view, inputs.device)
        own = torch.from_numpy(mixing.own[chosen]).to(inputs.device)
        if self.mix.kind == "mixup":
            mixed = mixup(inputs, partners, own)
        else:
            centre = torch.from_numpy(mixing.centre[chosen]).to(inputs.device)
            mixed, own = cutmix(inputs, partners, own, centre)
        return mixed, soft_targets(targets, theirs, own, self.classes)
