"""One-dimensional convolutions, for raw waveforms and other sequences of values.

W. Dai et al., "Very Deep Convolutional Neural Networks for Raw Waveforms", ICASSP 2017,
https://arxiv.org/abs/1610.00087: their M5, at a quarter of its width by default.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edgekd.errors import ModelError
from edgekd.models.shapes import positive, scaled

#: Channels of M5's four blocks, a quarter of them.
CHANNELS = (32, 32, 64, 128)

#: What every block but the last is pooled by.
_POOL = 4


class Block(nn.Module):
    """Convolution, BatchNorm, ReLU and, unless too little is left of the length, pooling."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, pool: int) -> None:
        """Make the layers."""
        super().__init__()
        self.conv = nn.Conv1d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)
        self.bn = nn.BatchNorm1d(outputs)
        self.relu = nn.ReLU()
        self.pool = nn.MaxPool1d(pool) if pool > 1 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, outputs, length) of (N, inputs, length)."""
        pooled: Tensor = self.pool(self.relu(self.bn(self.conv(x))))
        return pooled


class Conv1d(nn.Module):
    """Blocks of convolution, the mean over what is left of the length, a linear classifier.

    Args:
        num_classes: length of the logits.
        inputs: channels of the input.
        length: of the input.
        channels: of each block.
        kernel: length of the first filters.
        stride: of the first filters.
        dropout: before the classifier.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        inputs: int,
        length: int,
        channels: tuple[int, ...],
        kernel: int,
        stride: int,
        dropout: float,
    ) -> None:
        """Make the layers."""
        super().__init__()
        blocks: list[nn.Module] = []
        for number, outputs in enumerate(channels):
            first = number == 0
            width, step = (kernel, stride) if first else (3, 1)
            length = (length + 2 * (width // 2) - width) // step + 1
            pool = _POOL if number + 1 < len(channels) and length >= _POOL else 1
            blocks.append(Block(inputs, outputs, width, step, pool))
            inputs, length = outputs, length // pool
        self.blocks = nn.Sequential(*blocks)
        self.average = nn.AdaptiveAvgPool1d(1)
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(inputs, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (N, num_classes) of (N, C, L), or of images (N, C, H, W)."""
        if x.ndim == 4:
            x = x.transpose(2, 3).flatten(1, 2)
        x = torch.flatten(self.average(self.blocks(x)), 1)
        logits: Tensor = self.linear(self.dropout(x))
        return logits


def conv1d(
    *,
    num_classes: int,
    input_shape: tuple[int, ...],
    width: float = 1.0,
    kernel: int = 80,
    stride: int = 4,
    dropout: float = 0.0,
) -> Conv1d:
    """M5 at a quarter of its width: 38,154 parameters for 1x8000 and 10 classes.

    Args:
        num_classes: length of the logits.
        input_shape: (C, L), a sequence of L moments with C channels; or (C, H, W), an image read
            as H moments with C * W channels.
        width: factor on the channels of every block.
        kernel: length of the first filters.
        stride: of the first filters.
        dropout: before the classifier.

    Raises:
        ModelError: the samples are neither, or an option cannot be.
    """
    if len(input_shape) not in (2, 3):
        raise ModelError(
            f"conv1d takes waveforms (C, L) or images (C, H, W), not samples of shape "
            f"{tuple(input_shape)}",
            hint="For vectors there is the model 'mlp'.",
        )
    positive(kernel, "kernel")
    positive(stride, "stride")
    image = len(input_shape) == 3
    return Conv1d(
        num_classes=num_classes,
        inputs=input_shape[0] * input_shape[2] if image else input_shape[0],
        length=input_shape[1],
        channels=tuple(scaled(channels, width) for channels in CHANNELS),
        kernel=kernel,
        stride=stride,
        dropout=dropout,
    )
