"""Augmented views of samples: what a sample looks like depends on its number and the view's alone.

The parameters of every augmentation are drawn for the whole training split, in its own order, from
a seed made of the run's seed and the number of the view. A batch picks the parameters of its
samples. So the same view of a sample is the same tensor whatever batch it stands in, whichever
process made it, and whether it is made now or was shown to the teacher yesterday.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from edgekd.recipe import AugmentSpec
from edgekd.registry import table
from edgekd.seeds import derive_seed

Parameters = dict[str, Tensor]


class Views:
    """Draws and applies the augmentations of a recipe.

    Args:
        specs: the augmentations, in order.
        sample_shape: the shape of one sample.
        samples: the number of training samples.
        seed: of all views.
    """

    def __init__(
        self, specs: Sequence[AugmentSpec], sample_shape: tuple[int, ...], samples: int, seed: int
    ) -> None:
        """Build the augmentations."""
        self.samples = samples
        self.sample_shape = sample_shape
        self.seed = seed
        self.modules: list[Any] = [
            table("augmentation").resolve(spec.name)(sample_shape=sample_shape, **spec.options)
            for spec in specs
        ]
        self._drawn: tuple[int, list[Parameters]] = (-1, [])

    def parameters(self, view: int) -> list[Parameters]:
        """Return the parameters of a view, for every sample: (samples, ...) tensors.

        The generator of the caller is left as it was.
        """
        if self._drawn[0] != view:
            with torch.random.fork_rng(devices=()):
                torch.manual_seed(derive_seed(self.seed, "view", view))
                shape = torch.Size((self.samples, *self.sample_shape))
                drawn = [module.forward_parameters(shape) for module in self.modules]
            self._drawn = (view, drawn)
        return self._drawn[1]

    def apply(self, inputs: Tensor, indices: Tensor, view: int) -> Tensor:
        """Return the view of a batch.

        Args:
            inputs: (N, *sample_shape), scaled but not yet normalised.
            indices: (N,) numbers of the samples in the training split.
            view: the number of the view.
        """
        for module, parameters in zip(self.modules, self.parameters(view), strict=True):
            chosen = {
                name: value[indices.cpu()].to(inputs.device)
                if value.ndim and len(value) == self.samples
                else value
                for name, value in parameters.items()
            }
            chosen["forward_input_shape"] = torch.tensor(inputs.shape)
            augmented: Tensor = module(inputs, params=chosen)
            inputs = augmented
        return inputs
