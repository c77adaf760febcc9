"""Wide residual networks.

S. Zagoruyko, N. Komodakis, "Wide Residual Networks", BMVC 2016: blocks of BatchNorm, ReLU and 3x3
convolution, twice; three stages of 16k, 32k and 64k channels; 6n + 4 layers.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgekd.errors import ModelError
from edgekd.models.shapes import image_shape, scaled


class WideBlock(nn.Module):
    """Pre-activation block; where channels change, the shortcut starts after the activation."""

    def __init__(self, inputs: int, outputs: int, stride: int, dropout: float) -> None:
        """Make the layers; the first convolution strides."""
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.dropout = nn.Dropout(dropout)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.shortcut: nn.Conv2d | None = None
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, outputs, ceil(H / stride), ceil(W / stride))."""
        y = F.relu(self.bn1(x))
        around = x if self.shortcut is None else self.shortcut(y)
        y = self.conv2(self.dropout(F.relu(self.bn2(self.conv1(y)))))
        total: Tensor = y + around
        return total


class WideResNet(nn.Module):
    """Three stages of wide blocks.

    Args:
        num_classes: length of the logits.
        channels: channels of the input.
        widths: channels of the three stages.
        blocks: blocks a stage.
        dropout: probability of dropping a value between the convolutions of a block.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        channels: int,
        widths: tuple[int, int, int],
        blocks: int,
        dropout: float,
    ) -> None:
        """Make the layers."""
        super().__init__()
        self.conv = nn.Conv2d(channels, 16, 3, padding=1, bias=False)
        stages = []
        for inputs, outputs, stride in zip((16, *widths), widths, (1, 2, 2), strict=False):
            rest = (WideBlock(outputs, outputs, 1, dropout) for _ in range(blocks - 1))
            stages.append(nn.Sequential(WideBlock(inputs, outputs, stride, dropout), *rest))
        self.stages = nn.Sequential(*stages)
        self.bn = nn.BatchNorm2d(widths[-1])
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.linear = nn.Linear(widths[-1], num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        nn.init.zeros_(self.linear.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (N, num_classes) of images (N, C, H, W)."""
        x = F.relu(self.bn(self.stages(self.conv(x))))
        logits: Tensor = self.linear(torch.flatten(self.pool(x), 1))
        return logits


def wideresnet(
    *,
    num_classes: int,
    input_shape: tuple[int, ...],
    depth: int = 16,
    width: float = 2.0,
    dropout: float = 0.0,
) -> WideResNet:
    """WRN-depth-width: WRN-16-2 has 691,674 parameters for 3x32x32 and 10 classes.

    Args:
        num_classes: length of the logits.
        input_shape: (C, H, W), H and W at least 8.
        depth: layers, 6n + 4: 10, 16, 22, 28, 40, ...
        width: the paper's widening factor k.
        dropout: between the convolutions of a block; the paper uses 0.3 where it does.

    Raises:
        ModelError: the depth is not 6n + 4.
    """
    channels, _, _ = image_shape(input_shape, "wideresnet")
    if depth < 10 or (depth - 4) % 6:
        raise ModelError(f"depth is {depth}", hint="It is 6n + 4: 10, 16, 22, 28, 34, 40, ...")
    return WideResNet(
        num_classes=num_classes,
        channels=channels,
        widths=(scaled(16, width), scaled(32, width), scaled(64, width)),
        blocks=(depth - 4) // 6,
        dropout=dropout,
    )
