"""A recurrent network for sequences, and for images read row by row.

K. Cho et al., "Learning Phrase Representations using RNN Encoder-Decoder", EMNLP 2014,
https://arxiv.org/abs/1406.1078.
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from edgekd.errors import ModelError
from edgekd.models.shapes import positive


class Recurrent(nn.Module):
    """One gated recurrent layer that gives its states, one a moment."""

    def __init__(self, inputs: int, hidden: int) -> None:
        """Make the layer."""
        super().__init__()
        self.gru = nn.GRU(inputs, hidden, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        """Return states (N, L, hidden) of a sequence (N, L, inputs)."""
        states: Tensor = self.gru(x)[0]
        return states


class GRU(nn.Module):
    """Recurrent layers and a linear classifier on the last state.

    Args:
        num_classes: length of the logits.
        inputs: features of a moment.
        hidden: features of a state.
        layers: recurrent layers.
        dropout: between them, and before the classifier.
    """

    def __init__(
        self, *, num_classes: int, inputs: int, hidden: int, layers: int, dropout: float
    ) -> None:
        """Make the layers."""
        super().__init__()
        widths = [inputs] + [hidden] * layers
        # A module for each, so that the states of every layer can be captured.
        self.layers = nn.ModuleList(Recurrent(a, b) for a, b in pairwise(widths))
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(hidden, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (N, num_classes) of (N, L, D), or of images (N, C, H, W)."""
        if x.ndim == 4:
            x = x.transpose(1, 2).flatten(2)
        for layer in self.layers:
            x = self.dropout(layer(x))
        logits: Tensor = self.linear(x[:, -1])
        return logits


def gru(
    *,
    num_classes: int,
    input_shape: tuple[int, ...],
    hidden: int = 64,
    layers: int = 2,
    dropout: float = 0.0,
) -> GRU:
    """Gated recurrent network: 56,714 parameters for 3x32x32 and 10 classes.

    Args:
        num_classes: length of the logits.
        input_shape: (L, D), L moments of D features; or (C, H, W), an image read as H moments of
            C * W features.
        hidden: features of a state.
        layers: recurrent layers.
        dropout: between layers, and before the classifier.

    Raises:
        ModelError: the samples are neither, or an option cannot be.
    """
    if len(input_shape) not in (2, 3):
        raise ModelError(
            f"gru takes sequences (L, D) or images (C, H, W), not samples of shape {input_shape}",
            hint="For vectors there is the model 'mlp'.",
        )
    positive(hidden, "hidden")
    positive(layers, "layers")
    image = len(input_shape) == 3
    inputs = input_shape[0] * input_shape[2] if image else input_shape[1]
    return GRU(
        num_classes=num_classes, inputs=inputs, hidden=hidden, layers=layers, dropout=dropout
    )
