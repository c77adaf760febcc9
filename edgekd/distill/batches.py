"""Training batches whose order and views depend on seed and epoch alone.

Nothing here keeps state between steps, so a resumed run sees exactly what an uninterrupted one
would have seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from edgekd.data.split import Dataset
from edgekd.distill.mix import cutmix, draw, mixup, soft_targets
from edgekd.distill.ranks import Ranks
from edgekd.distill.views import Views
from edgekd.errors import RecipeError, UnknownNameError
from edgekd.recipe import MixSpec, TrainSpec
from edgekd.seeds import derive_seed

View = Literal["same", "other", "plain"]


@dataclass
class Batch:
    """One batch. Not frozen, for the reason that `Outputs` is not.

    Attributes:
        inputs: (N, *sample_shape) float32, augmented and normalised, as the student takes them.
        targets: (N,) int64 class indices, -1 where there is no label; (N, C) probabilities where
            samples are mixed.
        indices: (N,) int64 positions in the training split.
        scaled: (N, ...) float32 the data's inputs that somebody takes, by name: augmented and
            mixed, but neither transformed nor normalised.
        view: the number of the view that all samples are in.
        mask: (N, L) False at padding, for sequences; None otherwise.
        total: samples in the whole batch, those of other processes among them.
    """

    inputs: Tensor
    targets: Tensor
    indices: Tensor
    scaled: dict[str, Tensor] = field(default_factory=dict)
    view: int = 0
    mask: Tensor | None = None
    total: int = 0


class TrainingBatches:
    """The training split, shuffled anew each epoch, augmented as the recipe says.

    Args:
        dataset: where samples come from, as the student sees them.
        train: batch size and augmentations.
        seed: of order and views.
        views: how many different views of a sample there are before they repeat; 0: one an epoch.
        ranks: the processes that share each batch.
        views_seed: the seed of the views, where it is not that of the order: what a cache holds
            must not depend on the seed of one student.
        others: further inputs of the data that teachers take.
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
        others: Iterable[str] = (),
    ) -> None:
        """Build the augmentations."""
        self.dataset = dataset
        self.part = dataset.splits["train"]
        self.ranks = ranks or Ranks()
        self.batch_size = min(train.batch_size * self.ranks.world, len(self.part))
        self.seed = seed
        self.views_seed = seed if views_seed is None else views_seed
        self.number_of_views = views
        self.prepare = dataset.prepare()
        self.channels_last = train.channels_last
        self.mix = train.mix
        self.classes = len(dataset.classes)
        self._mixing: tuple[int, Any] = (-1, None)
        self.names = tuple(dict.fromkeys([dataset.input, *others]))
        self.views = {
            name: make_views(dataset, train, name, self.views_seed) for name in self.names
        }
        # Drawn apart from the student's views, which stay what they are.
        other = derive_seed(self.views_seed, "other view")
        self.other_views = {name: make_views(dataset, train, name, other) for name in self.names}

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

    def batch(
        self, chosen: np.ndarray, view: int, device: torch.device, kind: View = "same"
    ) -> Batch:
        """Return one view of these samples.

        Args:
            chosen: (N,) positions in the training split.
            view: the number of the view.
            device: where the batch is to be.
            kind: ``same``: what the student sees; ``other``: a view drawn apart from that one;
                ``plain``: not augmented. Samples are mixed with the same partners in all three.
        """
        scaled, targets = self._one_by_one(chosen, view, device, kind)
        if self.mix is not None:
            scaled, targets = self._mixed(self.mix, scaled, targets, chosen, view, kind)
        inputs = self.laid_out(self.prepare.to(device)(scaled[self.dataset.input]))
        indices = torch.from_numpy(chosen).to(device)
        return Batch(inputs, targets, indices, scaled, view, total=len(chosen))

    def again(self, batch: Batch, kind: View) -> Batch:
        """Return the same samples in another kind of view."""
        chosen = batch.indices.cpu().numpy()
        found = self.batch(chosen, batch.view, batch.inputs.device, kind)
        return replace(found, mask=batch.mask, total=batch.total)

    def laid_out(self, inputs: Tensor) -> Tensor:
        """Return a batch of inputs in the recipe's memory layout."""
        if self.channels_last and inputs.ndim == 4:
            return inputs.contiguous(memory_format=torch.channels_last)
        return inputs

    def _one_by_one(
        self, chosen: np.ndarray, view: int, device: torch.device, kind: View
    ) -> tuple[dict[str, Tensor], Tensor]:
        numbers = torch.from_numpy(chosen)
        scaled = {}
        for name in self.names:
            raw = torch.from_numpy(self.dataset.raw("train", chosen, name)).to(device)
            scaled[name] = raw.float() * scale_of(self.dataset, name)
            if kind != "plain":
                views = self.views if kind == "same" else self.other_views
                scaled[name] = views[name].apply(scaled[name], numbers, view)
        return scaled, torch.from_numpy(self.part.targets[chosen]).to(device)

    def _mixed(
        self,
        mix: MixSpec,
        scaled: dict[str, Tensor],
        targets: Tensor,
        chosen: np.ndarray,
        view: int,
        kind: View,
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Mix every sample with its partner of this view, inputs and targets."""
        if self._mixing[0] != view:
            self._mixing = (view, draw(mix, len(self.part), self.views_seed, view))
        mixing = self._mixing[1]
        device = targets.device
        partners, theirs = self._one_by_one(mixing.partner[chosen], view, device, kind)
        own = torch.from_numpy(mixing.own[chosen]).to(device)
        if mix.kind == "mixup":
            mixed = {name: mixup(value, partners[name], own) for name, value in scaled.items()}
        else:
            name, value = self._only(scaled)
            centre = torch.from_numpy(mixing.centre[chosen]).to(device)
            image, own = cutmix(value, partners[name], own, centre)
            mixed = {name: image}
        return mixed, soft_targets(targets, theirs, own, self.classes)

    def _only(self, scaled: dict[str, Tensor]) -> tuple[str, Tensor]:
        if len(scaled) > 1:
            raise RecipeError(
                "train.mix",
                [f"cutmix cannot cut the same piece out of {' and '.join(scaled)}"],
                hint='With several inputs use kind = "mixup".',
            )
        return next(iter(scaled.items()))


def make_views(dataset: Dataset, train: TrainSpec, name: str, seed: int) -> Views:
    """Return the augmentations of one of the data's inputs.

    Raises:
        UnknownNameError: one is for an input that the data has not got.
    """
    facts = dataset.inputs.get(name)
    shape = dataset.sample_shape if facts is None else facts.sample_shape
    for spec in train.augment:
        if spec.input is not None and spec.input not in dataset.inputs:
            raise UnknownNameError("input of the data", spec.input, dataset.inputs)
    specs = [spec for spec in train.augment if (spec.input or dataset.input) == name]
    return Views(specs, shape, len(dataset.splits["train"]), seed)


def scale_of(dataset: Dataset, name: str) -> float:
    """Return the factor on raw values of one of the data's inputs, as the data has it."""
    if name == dataset.input:
        return dataset.preprocess.scale
    preprocess = dataset.inputs[name].preprocess
    return 1.0 if preprocess is None else preprocess.scale
