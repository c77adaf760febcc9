"""MobileNetV2 for images of any size.

M. Sandler, A. Howard, M. Zhu, A. Zhmoginov, L.-C. Chen, "MobileNetV2: Inverted Residuals and
Linear Bottlenecks", CVPR 2018, table 2. The paper halves a 224x224 image five times; smaller
images are halved less often, in the later layers only, so that about 4x4 pixels are left.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from edgekd.models.shapes import divisible, image_shape, positive

#: (expansion, channels, blocks, stride) of the seven stages.
_STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
_SMALLEST = 4


def _conv(
    inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1
) -> list[nn.Module]:
    padding = kernel // 2
    return [
        nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU6(),
    ]


class InvertedResidual(nn.Module):
    """Widen by 1x1, filter each channel by 3x3, narrow by 1x1 without activation."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        """Make the layers; the depthwise convolution strides."""
        super().__init__()
        hidden = inputs * expansion
        widen = _conv(inputs, hidden, 1) if expansion != 1 else []
        narrow = _conv(hidden, outputs, 1)[:2]
        self.layers = nn.Sequential(
            *widen, *_conv(hidden, hidden, 3, stride, groups=hidden), *narrow
        )
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, outputs, ceil(H / stride), ceil(W / stride))."""
        y: Tensor = self.layers(x)
        return x + y if self.residual else y


class MobileNetV2(nn.Module):
    """The network of table 2.

    Args:
        num_classes: length of the logits.
        channels: channels of the input.
        halvings: how many of the five strides of 2 to keep, the last ones.
        width: factor on the channels.
        depth: factor on the blocks of every stage.
        head: channels of the last convolution at width 1 and below.
        dropout: before the classifier.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        channels: int,
        halvings: int,
        width: float,
        depth: float,
        head: int,
        dropout: float,
    ) -> None:
        """Make the layers."""
        super().__init__()
        strides = _strides(halvings)
        current = divisible(32 * width)
        layers: list[nn.Module] = _conv(channels, current, 3, strides[0])
        for (expansion, base, blocks, _), stride in zip(_STAGES, strides[1:], strict=True):
            outputs = divisible(base * width)
            for block in range(math.ceil(blocks * depth)):
                step = stride if block == 0 else 1
                layers.append(InvertedResidual(current, outputs, step, expansion))
                current = outputs
        last = divisible(head * max(1.0, width))
        self.features = nn.Sequential(*layers, *_conv(current, last, 1))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(last, num_classes))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")
            elif isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, 0.0, 0.01)
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (N, num_classes) of images (N, C, H, W)."""
        logits: Tensor = self.classifier(torch.flatten(self.pool(self.features(x)), 1))
        return logits


def _strides(halvings: int) -> list[int]:
    """Return the strides of stem and stages, with only the last ``halvings`` twos kept."""
    strides = [2, *(stage[3] for stage in _STAGES)]
    drop = strides.count(2) - halvings
    for i, stride in enumerate(strides):
        if stride == 2 and drop > 0:
            strides[i] = 1
            drop -= 1
    return strides


def _halvings(side: int) -> int:
    """Return how often a side can be halved, rounding up, before it falls below 4 pixels."""
    count = 0
    while count < 5 and (side + 1) // 2 >= _SMALLEST:
        side = (side + 1) // 2
        count += 1
    return count


def mobilenetv2(
    *,
    num_classes: int,
    input_shape: tuple[int, ...],
    width: float = 1.0,
    depth: float = 1.0,
    head: int = 1280,
    dropout: float = 0.2,
) -> MobileNetV2:
    """MobileNetV2: 3,504,872 parameters for 3 channels, 1000 classes and width 1.

    Args:
        num_classes: length of the logits.
        input_shape: (C, H, W), H and W at least 8.
        width: factor on the channels, which are rounded to multiples of 8.
        depth: factor on the blocks of every stage, rounded up: as M. Tan and Q. Le scale depth in
            "EfficientNet", ICML 2019; the paper's own networks have 1.
        head: channels of the last convolution; the paper's 1280 dominates a tiny network.
        dropout: before the classifier.
    """
    channels, height, side = image_shape(input_shape, "mobilenetv2")
    positive(width, "width")
    positive(depth, "depth")
    positive(head, "head")
    return MobileNetV2(
        num_classes=num_classes,
        channels=channels,
        halvings=_halvings(min(height, side)),
        width=width,
        depth=depth,
        head=head,
        dropout=dropout,
    )
