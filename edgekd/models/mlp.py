"""Fully connected layers: for vectors, and as the smallest student there is."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import nn

from edgekd.models.shapes import positive


def mlp(
    *,
    num_classes: int,
    input_shape: tuple[int, ...],
    hidden: Sequence[int] = (64,),
    dropout: float = 0.0,
) -> nn.Sequential:
    """Flatten samples (N, ...) of any shape, then linear layers and ReLU to (N, num_classes).

    Args:
        num_classes: length of the logits.
        input_shape: the shape of one sample.
        hidden: the widths of the hidden layers; none makes it linear.
        dropout: after every hidden layer.
    """
    layers: list[nn.Module] = [nn.Flatten()]
    current = math.prod(input_shape)
    for width in hidden:
        positive(width, "hidden")
        layers += [nn.Linear(current, width), nn.ReLU()]
        if dropout:
            layers.append(nn.Dropout(dropout))
        current = width
    return nn.Sequential(*layers, nn.Linear(current, num_classes))
