"""Residual networks for small images.

K. He, X. Zhang, S. Ren, J. Sun, "Deep Residual Learning for Image Recognition", CVPR 2016,
section 4.2: three stages of ``n`` blocks with 16, 32 and 64 channels, 6n + 2 layers. ResNet-8 is
the image classification network of MLPerf Tiny (C. Banbury et al., "MLPerf Tiny Benchmark",
NeurIPS 2021): one block a stage, and shortcuts that are a bare 1x1 convolution.

All take (N, C, H, W) with H, W >= 8 and give logits (N, num_classes).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgekd.errors import ModelError
from edgekd.models.shapes import image_shape, scaled

Shortcut = Literal["A", "B", "conv"]


class PadShortcut(nn.Module):
    """Option A: every ``stride``-th pixel, and zeros for the new channels. No parameters."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        """Split the new channels into those before and those after the old ones."""
        super().__init__()
        self.before = (outputs - inputs) // 2
        self.after = outputs - inputs - self.before
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, outputs, ceil(H / stride), ceil(W / stride))."""
        x = x[:, :, :: self.stride, :: self.stride]
        return F.pad(x, (0, 0, 0, 0, self.before, self.after))


def _shortcut(kind: Shortcut, inputs: int, outputs: int, stride: int) -> nn.Module:
    if stride == 1 and inputs == outputs:
        return nn.Identity()
    if kind == "A":
        return PadShortcut(inputs, outputs, stride)
    convolution = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
    return convolution if kind == "conv" else nn.Sequential(convolution, nn.BatchNorm2d(outputs))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut around them."""

    def __init__(self, inputs: int, outputs: int, stride: int, shortcut: Shortcut) -> None:
        """Make the layers; the first convolution strides."""
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut = _shortcut(shortcut, inputs, outputs, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, outputs, ceil(H / stride), ceil(W / stride))."""
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return F.relu(y + self.shortcut(x))


class ResNet(nn.Module):
    """Three stages of basic blocks. Parameter names are those of the common CIFAR checkpoints.

    Args:
        num_classes: length of the logits.
        channels: channels of the input.
        widths: channels of the three stages.
        blocks: blocks a stage.
        shortcut: ``A``, ``B`` (1x1 convolution and BatchNorm) or ``conv`` (1x1 convolution).
        strides: of the three stages.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        channels: int,
        widths: tuple[int, int, int],
        blocks: int,
        shortcut: Shortcut,
        strides: tuple[int, int, int] = (1, 2, 2),
    ) -> None:
        """Make the layers."""
        super().__init__()
        self.conv1 = nn.Conv2d(channels, widths[0], 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.layer1 = _stage(widths[0], widths[0], blocks, strides[0], shortcut)
        self.layer2 = _stage(widths[0], widths[1], blocks, strides[1], shortcut)
        self.layer3 = _stage(widths[1], widths[2], blocks, strides[2], shortcut)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.linear = nn.Linear(widths[2], num_classes)
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (N, num_classes) of images (N, C, H, W)."""
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        logits: Tensor = self.linear(torch.flatten(self.pool(x), 1))
        return logits


def _stage(
    inputs: int, outputs: int, blocks: int, stride: int, shortcut: Shortcut
) -> nn.Sequential:
    first = BasicBlock(inputs, outputs, stride, shortcut)
    rest = (BasicBlock(outputs, outputs, 1, shortcut) for _ in range(blocks - 1))
    return nn.Sequential(first, *rest)


def _resnet(
    name: str,
    blocks: int,
    num_classes: int,
    input_shape: tuple[int, ...],
    shortcut: Shortcut,
    width: float,
    strides: Sequence[int] = (1, 2, 2),
) -> ResNet:
    channels, _, _ = image_shape(input_shape, name)
    if shortcut not in ("A", "B", "conv"):
        raise ModelError(f"shortcut is {shortcut!r}", hint='It is "A" or "B".')
    if len(strides) != 3 or any(stride not in (1, 2) for stride in strides):
        raise ModelError(
            f"strides are {strides!r}", hint="They are 1 or 2, one a stage: [1, 2, 2]."
        )
    return ResNet(
        num_classes=num_classes,
        channels=channels,
        widths=(scaled(16, width), scaled(32, width), scaled(64, width)),
        blocks=blocks,
        shortcut=shortcut,
        strides=(strides[0], strides[1], strides[2]),
    )


def resnet8(
    *,
    num_classes: int,
    input_shape: tuple[int, ...],
    width: float = 1.0,
    strides: tuple[int, int, int] = (1, 2, 2),
) -> ResNet:
    """ResNet-8 of MLPerf Tiny: 77,850 parameters for 3x32x32 and 10 classes.

    The reference has a bias on every convolution; BatchNorm makes it redundant, so it is left out.

    Args:
        num_classes: length of the logits.
        input_shape: (C, H, W), H and W at least 8.
        width: factor on the channels 16, 32 and 64, for tiny students.
        strides: of the three stages. ``[1, 1, 2]`` has the same parameters, and computes on maps
            twice as high and wide from the second stage on.

    Raises:
        ModelError: the input is no image, or an option cannot be.
    """
    return _resnet("resnet8", 1, num_classes, input_shape, "conv", width, strides)


def resnet20(
    *,
    num_classes: int,
    input_shape: tuple[int, ...],
    shortcut: Literal["A", "B"] = "A",
    width: float = 1.0,
) -> ResNet:
    """ResNet-20 for CIFAR: 269,722 parameters for 3x32x32, 10 classes and shortcut A.

    Args:
        num_classes: length of the logits.
        input_shape: (C, H, W), H and W at least 8.
        shortcut: where the shape changes, ``A`` pads with zeros, ``B`` projects (He et al.).
        width: factor on the channels 16, 32 and 64.
    """
    return _resnet("resnet20", 3, num_classes, input_shape, shortcut, width)


def resnet56(
    *,
    num_classes: int,
    input_shape: tuple[int, ...],
    shortcut: Literal["A", "B"] = "A",
    width: float = 1.0,
) -> ResNet:
    """ResNet-56 for CIFAR: 853,018 parameters for 3x32x32, 10 classes and shortcut A.

    Args:
        num_classes: length of the logits.
        input_shape: (C, H, W), H and W at least 8.
        shortcut: where the shape changes, ``A`` pads with zeros, ``B`` projects (He et al.).
        width: factor on the channels 16, 32 and 64.
    """
    return _resnet("resnet56", 9, num_classes, input_shape, shortcut, width)
