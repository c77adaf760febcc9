"""Networks that answer in their own way: other label orders, probabilities, objects."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from edgekd.quantize.fake.network import FakeQuantized


class Taught(nn.Module):
    """A network whose outputs become logits in the order of the data's classes.

    Args:
        network: gives a tensor (N, K), or an object with ``logits``.
        columns: for each class of the data, which of the outputs stands for it; None: all, as
            they are.
        probabilities: it gives probabilities, whose logarithms are logits.
    """

    columns: Tensor | None

    def __init__(
        self, network: nn.Module, columns: Sequence[int] | None, *, probabilities: bool
    ) -> None:
        """Store the network."""
        super().__init__()
        self.network = network
        chosen = None if columns is None else torch.tensor(columns)
        self.register_buffer("columns", chosen, persistent=False)
        self.probabilities = probabilities

    def forward(self, inputs: Tensor) -> Tensor:
        """Return logits (N, C)."""
        found = self.network(inputs)
        logits: Tensor = getattr(found, "logits", found)
        if self.probabilities:
            # Below float16's smallest normal number nothing is meant.
            logits = logits.clamp(min=6e-5).log()
        return logits if self.columns is None else logits[:, self.columns]


def inner(model: nn.Module) -> nn.Module:
    """Return the network whose layers have the names that a recipe knows."""
    return model.network if isinstance(model, Taught | FakeQuantized) else model
