"""Long strides of one-dimensional convolutions, rewritten as short ones of more channels.

The first layer of a network for waveforms has a stride of 4 and more. Ethos-U takes 3 at most,
and LiteRT's int8 kernel for such a layer is slow (3.5 times the latency of the whole network on
x86). ``s`` values in a row become ``s`` channels of one moment, and the convolution one of stride
1 with the same products in another order: the numbers are the same.
"""

from __future__ import annotations

import copy
from dataclasses import replace

import torch
from torch import nn
from torch.nn import functional as F

from edgekd.export.prepare import Prepared

#: The longest stride that Ethos-U takes.
LONGEST = 3


def with_short_strides(prepared: Prepared) -> Prepared:
    """Return the same network, its one-dimensional convolutions of long strides rewritten.

    What was given stays as it is; where there is no such convolution it is returned.
    """
    if not any(_is_long(module) for module in prepared.model.modules()):
        return prepared
    model = copy.deepcopy(prepared.model)
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Conv1d) and _is_long(child):
                setattr(parent, name, FoldedConv1d(child))
    return replace(prepared, model=model.eval())


def _is_long(module: nn.Module) -> bool:
    return (
        type(module) is nn.Conv1d
        and module.stride[0] > LONGEST
        and module.groups == 1
        and module.dilation == (1,)
        and module.padding_mode == "zeros"
        and not isinstance(module.padding, str)
    )


class FoldedConv1d(nn.Module):
    """A convolution (N, C, L) of stride s as one of (N, C * s, L / s) and stride 1.

    Args:
        before: the convolution.
    """

    def __init__(self, before: nn.Conv1d) -> None:
        """Rearrange its weights (O, C, K) to (O, C * s, ceil(K / s)), zeros behind them."""
        super().__init__()
        self.stride, self.padding = before.stride[0], int(before.padding[0])
        self.kernel = before.kernel_size[0]
        outputs, inputs = before.out_channels, before.in_channels
        self.taps = -(-self.kernel // self.stride)
        weight = F.pad(before.weight.detach(), (0, self.taps * self.stride - self.kernel))
        weight = weight.reshape(outputs, inputs, self.taps, self.stride).transpose(2, 3)
        self.conv = nn.Conv1d(
            inputs * self.stride, outputs, self.taps, bias=before.bias is not None
        )
        with torch.no_grad():
            self.conv.weight.copy_(weight.reshape(self.conv.weight.shape))
            if self.conv.bias is not None and before.bias is not None:
                self.conv.bias.copy_(before.bias)
        self.requires_grad_(False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (N, O, (L + 2 * padding - K) // s + 1)."""
        channels, length = x.shape[1:]
        moments = (length + 2 * self.padding - self.kernel) // self.stride + self.taps
        behind = moments * self.stride - length - self.padding
        x = F.pad(x, (self.padding, behind))
        x = x.reshape(-1, channels, moments, self.stride).transpose(2, 3)
        y: torch.Tensor = self.conv(x.reshape(-1, channels * self.stride, moments))
        return y
