"""Between colour and grey."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edgekd.errors import DataError

#: Shares of red, green and blue in luma, ITU-R BT.601.
LUMA = (0.299, 0.587, 0.114)


class Grey(nn.Module):
    """(N, 3, H, W) in, (N, 1, H, W) out: the luma of ITU-R BT.601.

    Args:
        sample_shape: of what comes in.

    Raises:
        DataError: it has not three channels.
    """

    shares: Tensor

    def __init__(self, sample_shape: tuple[int, ...]) -> None:
        """Check the shape."""
        super().__init__()
        _check("grey", sample_shape, 3)
        self.register_buffer("shares", torch.tensor(LUMA).reshape(1, 3, 1, 1))

    def forward(self, samples: Tensor) -> Tensor:
        """Return the weighted sum of the channels."""
        return (samples * self.shares).sum(dim=1, keepdim=True)


class RGB(nn.Module):
    """(N, 1, H, W) in, (N, 3, H, W) out: three equal channels.

    Args:
        sample_shape: of what comes in.

    Raises:
        DataError: it has not one channel.
    """

    def __init__(self, sample_shape: tuple[int, ...]) -> None:
        """Check the shape."""
        super().__init__()
        _check("rgb", sample_shape, 1)

    def forward(self, samples: Tensor) -> Tensor:
        """Return the channel three times."""
        return samples.expand(-1, 3, -1, -1)


def _check(name: str, shape: tuple[int, ...], channels: int) -> None:
    if len(shape) != 3 or shape[0] != channels:
        raise DataError(
            f"the transform {name!r} takes images of {channels} channel(s), not samples of "
            f"shape {shape}",
            hint="Leave it out, or change the order of the transforms.",
        )
