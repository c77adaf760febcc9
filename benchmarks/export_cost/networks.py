"""The networks that are exported, with random weights: cost does not depend on them."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from edgekd.models.build import build

#: Name -> model of the zoo, options, shape of a sample. All are over 200 KB in float32.
NETWORKS = {
    "MobileNetV2": ("mobilenetv2", {"width": 0.35}, (3, 32, 32)),
    "ResNet-20": ("resnet20", {}, (3, 32, 32)),
    "ResNet-8": ("resnet8", {}, (3, 32, 32)),
    "ViT": ("vit", {}, (3, 32, 32)),
}
SAMPLES = 256


def make(name: str) -> tuple[nn.Module, np.ndarray]:
    """Return the network in eval mode, and ``(SAMPLES, *shape)`` of noise."""
    model, options, shape = NETWORKS[name]
    torch.manual_seed(0)
    network = build(model, options, num_classes=10, input_shape=shape).eval()
    samples = np.random.default_rng(0).standard_normal((SAMPLES, *shape), dtype=np.float32)
    return network, samples
