"""How large a network is, and how much it computes."""

from __future__ import annotations

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from edgekd.models.modes import evaluating


def parameters(model: nn.Module) -> int:
    """Return the number of parameters; a shared one counts once, buffers do not."""
    return sum(parameter.numel() for parameter in model.parameters())


def macs(model: nn.Module, input_shape: tuple[int, ...]) -> int | None:
    """Return the multiply-accumulate operations of one sample, in evaluation mode.

    Convolutions and matrix products, as PyTorch's own counter sees them (it counts 2 FLOPs each).

    Args:
        model: the network.
        input_shape: the shape of one sample.

    Returns:
        the count; None where the network runs operations that the counter does not see.
    """
    example = next(model.parameters(), torch.zeros(()))
    sample = torch.zeros(1, *input_shape, device=example.device, dtype=example.dtype)
    counter = FlopCounterMode(display=False)
    with evaluating(model), torch.no_grad():
        try:
            with counter:
                model(sample)
        except Exception:  # a fact that cannot be had is left open; building has its own check
            return None
    return counter.get_total_flops() // 2 or None
