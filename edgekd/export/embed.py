"""Normalisation and softmax as a part of the network: raw samples in, probabilities out."""

from __future__ import annotations

import torch
from torch import nn

from edgekd.data.split import Dataset
from edgekd.models.modes import evaluating

#: What the output is called where softmax is a part of the file.
PROBABILITIES = "probabilities"


class Scale(nn.Module):
    """Raw values in, scaled ones out; see `edgekd.records.Preprocess`.

    Args:
        factor: on every value.
    """

    def __init__(self, factor: float) -> None:
        """Store the factor."""
        super().__init__()
        self.factor = factor

    def forward(self, raw: torch.Tensor) -> torch.Tensor:
        """Return the scaled values, float32."""
        return raw.to(torch.float32) * self.factor


class Embedded(nn.Module):
    """A network that takes samples as the data holds them, e.g. pixels from 0 to 255.

    Args:
        network: takes network input.
        dataset: says how raw samples become network input.
        sample_shape: of one raw sample.

    The outputs become probabilities where the network gives one score a class.
    """

    def __init__(self, network: nn.Module, dataset: Dataset, sample_shape: tuple[int, ...]) -> None:
        """Take over the normalisation, and look at what the network gives."""
        super().__init__()
        self.network = network
        scale = Scale(float(dataset.preprocess.scale))
        self.preprocess = nn.Sequential(scale, dataset.prepare()).eval()
        self.softmax = False
        with evaluating(network), torch.no_grad():
            found = self(torch.zeros(2, *sample_shape))
        classes = len(dataset.classes)
        self.softmax = isinstance(found, torch.Tensor) and found.shape == (2, classes)

    def forward(self, raw: torch.Tensor) -> object:
        """Return the network's outputs for raw samples (N, *sample_shape)."""
        found = self.network(self.preprocess(raw))
        if self.softmax:
            return {PROBABILITIES: torch.softmax(found, dim=-1)}
        return found
