"""A run's network with fake quantization, built again from its file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from edgekd.models.weights import load_weights
from edgekd.quantize.fake.network import FakeQuantized
from edgekd.recipe import QuantizeSpec


def load_quantized(
    network: nn.Module, path: Path, spec: QuantizeSpec, sample_shape: Sequence[int]
) -> FakeQuantized:
    """Return what ``student-qat.safetensors`` holds, in eval mode.

    Args:
        network: the run's student, which stays as it is; its weights do not matter.
        path: the file.
        spec: ``[quantize]`` of the run's recipe.
        sample_shape: of network input, without the batch axis.

    Raises:
        ModelError: the weights are another network's.
        ModelFileError: the file is missing or damaged.
    """
    example = torch.zeros(2, *sample_shape)
    found = FakeQuantized(network, example, per_channel=spec.per_channel, equalize=False)
    load_weights(found, path)
    return found.eval()
