"""Training batches whose order and views depend on seed, epoch and step alone.

Nothing here keeps state between steps, so a resumed run sees exactly what an uninterrupted one
would have seen.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from edgekd.data.split import Dataset
from edgekd.recipe import TrainSpec
from edgekd.records import Preprocess
from edgekd.registry import table


def derive_seed(*parts: int | str) -> int:
    """Return a 63-bit seed that depends on every part and on their order.

    Neighbouring seeds and epochs give unrelated streams, which sums of them would not.
    """
    digest = hashlib.sha256("/".join(str(part) for part in parts).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


@dataclass
class Batch:
    """One batch. Not frozen, for the reason that `Outputs` is not.

    Attributes:
        inputs: (N, *sample_shape) float32, augmented and normalised.
        targets: (N,) int64 class indices.
        indices: (N,) int64 positions in the training split.
        mask: (N, L) False at padding, for sequences; None otherwise.
    """

    inputs: Tensor
    targets: Tensor
    indices: Tensor
    mask: Tensor | None = None


class Normalise(nn.Module):
    """Scaled values in, normalised values out; see `edgekd.records.Preprocess`."""

    mean: Tensor
    std: Tensor

    def __init__(self, preprocess: Preprocess, sample_shape: tuple[int, ...]) -> None:
        """Shape the statistics so that they broadcast over (N, *sample_shape)."""
        super().__init__()
        shape = (1, -1, *([1] * (len(sample_shape) - 1)))
        self.register_buffer("mean", torch.tensor(preprocess.mean).reshape(shape))
        self.register_buffer("std", torch.tensor(preprocess.std).reshape(shape))

    def forward(self, inputs: Tensor) -> Tensor:
        """Normalise a batch."""
        normalised: Tensor = (inputs - self.mean) / self.std
        return normalised


class TrainingBatches:
    """The training split, shuffled anew each epoch, augmented as the recipe says.

    Args:
        dataset: where samples come from.
        train: batch size and augmentations.
        seed: of order and views.
    """

    def __init__(self, dataset: Dataset, train: TrainSpec, seed: int) -> None:
        """Build the augmentations."""
        self.part = dataset.splits["train"]
        self.preprocess = dataset.preprocess
        self.batch_size = min(train.batch_size, len(self.part))
        self.seed = seed
        self.normalise = Normalise(dataset.preprocess, dataset.sample_shape)
        self.augment = nn.Sequential(
            *(
                table("augmentation").resolve(spec.name)(
                    sample_shape=dataset.sample_shape, **spec.options
                )
                for spec in train.augment
            )
        )

    def __len__(self) -> int:
        """Return the number of batches an epoch.

        A last batch of one sample is left out: batch statistics of one sample are degenerate.
        """
        full, rest = divmod(len(self.part), self.batch_size)
        return full + (1 if rest > 1 else 0)

    def epoch(self, number: int, device: torch.device) -> Iterator[Batch]:
        """Yield the batches of an epoch, counted from 0, on a device."""
        order = np.random.default_rng(derive_seed(self.seed, "order", number)).permutation(
            len(self.part)
        )
        for step in range(len(self)):
            chosen = order[step * self.batch_size : (step + 1) * self.batch_size]
            raw = torch.from_numpy(self.part.read(chosen)).to(device)
            targets = torch.from_numpy(self.part.targets[chosen]).to(device)
            yield Batch(self._view(raw, number, step), targets, torch.from_numpy(chosen).to(device))

    def _view(self, raw: Tensor, epoch: int, step: int) -> Tensor:
        inputs = raw.float() * self.preprocess.scale
        if len(self.augment):
            torch.manual_seed(derive_seed(self.seed, "view", epoch, step))
            inputs = self.augment(inputs)
        normalised: Tensor = self.normalise.to(inputs.device)(inputs)
        return normalised
