"""Waveforms of one loudness, whoever spoke and however near."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from edgekd.errors import DataError


class Level(nn.Module):
    """Waveforms (N, ...) in, the same with a root mean square of 1 out.

    The mean runs over all values of a sample, the zeros behind a short recording among them.

    Args:
        sample_shape: of what comes in.
        floor: of the mean square: what is softer is amplified no more than this would be, so that
            silence stays silence.

    Raises:
        DataError: the floor is not above 0.
    """

    #: One sample is a hundred times as loud as another: 8 bits do not hold both.
    float_only: ClassVar[bool] = True

    def __init__(self, sample_shape: tuple[int, ...], floor: float = 1e-8) -> None:
        """Check the floor."""
        super().__init__()
        if floor <= 0.0:
            raise DataError(f"the transform 'level' has the floor {floor:g}", hint="It is above 0.")
        self.axes = tuple(range(1, len(sample_shape) + 1))
        self.floor = floor

    def forward(self, waveforms: Tensor) -> Tensor:
        """Return the waveforms at that level."""
        power = waveforms.square().mean(dim=self.axes, keepdim=True)
        # Not power + floor: onnxscript takes so small a summand for 0 and drops it (0.7).
        return waveforms * torch.rsqrt(power.clamp(min=self.floor))
