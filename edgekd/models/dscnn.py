"""DS-CNN, the depthwise separable network of keyword spotting.

Y. Zhang, N. Suda, L. Lai, V. Chandra, "Hello Edge: Keyword Spotting on Microcontrollers",
arXiv:1711.07128, 2017; the defaults are those of MLPerf Tiny, for 1x49x10 MFCC features.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edgekd.errors import ModelError
from edgekd.models.shapes import image_shape, positive, scaled


def _same(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Return TensorFlow's SAME padding (before, after): ceil(size / stride) values come out."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def _normalised(convolution: nn.Conv2d) -> list[nn.Module]:
    return [convolution, nn.BatchNorm2d(convolution.out_channels), nn.ReLU()]


class DSCNN(nn.Module):
    """One convolution, then depthwise separable ones.

    Args:
        num_classes: length of the logits.
        input_shape: (C, H, W).
        channels: channels of every layer.
        layers: depthwise separable layers.
        kernel: height and width of the first filter.
        dropout: before the classifier.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        input_shape: tuple[int, int, int],
        channels: int,
        layers: int,
        kernel: tuple[int, int],
        dropout: float,
    ) -> None:
        """Make the layers."""
        super().__init__()
        inputs, height, width = input_shape
        pad = (*_same(width, kernel[1], 2), *_same(height, kernel[0], 2))
        found: list[nn.Module] = [nn.ZeroPad2d(pad)]
        found += _normalised(nn.Conv2d(inputs, channels, kernel, 2, bias=False))
        for _ in range(layers):
            depthwise = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
            found += _normalised(depthwise)
            found += _normalised(nn.Conv2d(channels, channels, 1, bias=False))
        self.features = nn.Sequential(*found)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(channels, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (N, num_classes) of inputs (N, C, H, W)."""
        x = torch.flatten(self.pool(self.features(x)), 1)
        logits: Tensor = self.linear(self.dropout(x))
        return logits


def dscnn(
    *,
    num_classes: int,
    input_shape: tuple[int, ...],
    width: float = 1.0,
    layers: int = 4,
    kernel: tuple[int, int] = (10, 4),
    dropout: float = 0.2,
) -> DSCNN:
    """DS-CNN: 23,180 parameters for 1x49x10 and 12 classes.

    The reference has a bias on every convolution; BatchNorm makes it redundant, so it is left out.

    Args:
        num_classes: length of the logits.
        input_shape: (C, H, W), H and W at least 8; audio features as (1, time, coefficients).
        width: factor on the 64 channels of every layer.
        layers: depthwise separable layers.
        kernel: height and width of the first filter, which strides by 2.
        dropout: before the classifier.

    Raises:
        ModelError: the input is no image, or an option cannot be.
    """
    channels, height, side = image_shape(input_shape, "ds-cnn")
    positive(layers, "layers")
    if len(kernel) != 2 or min(kernel) < 1:
        raise ModelError(f"kernel is {kernel!r}", hint="It is [height, width], as [10, 4].")
    return DSCNN(
        num_classes=num_classes,
        input_shape=(channels, height, side),
        channels=scaled(64, width),
        layers=layers,
        kernel=(kernel[0], kernel[1]),
        dropout=dropout,
    )
