"""Rounding to the grid of 8-bit integers, with the gradient passed straight through.

B. Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
Inference", 2018, https://arxiv.org/abs/1712.05877; granularities as in R. Krishnamoorthi,
"Quantizing deep convolutional networks for efficient inference", 2018,
https://arxiv.org/abs/1806.08342. The grids are those of TFLite: weights symmetric in
[-127, 127], activations asymmetric in [-128, 127] with a zero that is exact.
"""

from __future__ import annotations

import torch
from torch import Tensor

_LOWEST, _HIGHEST = -128, 127

#: Below it a scale is that of a tensor of zeros.
_SMALLEST = 1e-9


def round_weight(weight: Tensor, axis: int | None) -> Tensor:
    """Return a weight on its int8 grid, whose ends are those of the weight itself.

    Args:
        weight: any shape.
        axis: of the channels that have a scale each; None: one scale for all.

    Returns:
        The same shape. The gradient is that of the identity.
    """
    with torch.no_grad():
        sizes = weight.abs()
        if axis is None:
            largest = sizes.amax().reshape(1)
        else:
            largest = sizes.amax([other for other in range(weight.ndim) if other != axis])
        scale = (largest / _HIGHEST).clamp(min=_SMALLEST).float()
        zero = torch.zeros_like(scale, dtype=torch.int32)
    if axis is None:
        return torch.fake_quantize_per_tensor_affine(weight, scale, zero, -_HIGHEST, _HIGHEST)
    return torch.fake_quantize_per_channel_affine(weight, scale, zero, axis, -_HIGHEST, _HIGHEST)


def round_activation(values: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Return values on the int8 grid of a range; what is outside is clipped.

    Args:
        values: any shape.
        low: the smallest value of the range, a scalar tensor.
        high: the largest.

    Returns:
        The same shape. The gradient is that of the identity inside the range, 0 outside.
    """
    with torch.no_grad():
        low, high = low.clamp(max=0.0), high.clamp(min=0.0)
        scale = ((high - low) / (_HIGHEST - _LOWEST)).clamp(min=_SMALLEST).reshape(1)
        zero = (_LOWEST - low / scale).round().clamp(_LOWEST, _HIGHEST).to(torch.int32)
    return torch.fake_quantize_per_tensor_affine(values, scale, zero, _LOWEST, _HIGHEST)
