"""How the weights and inputs of convolutions lie in memory while a network trains."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn

#: Fewer input channels than a vector register of AVX2 holds.
_NARROW = 8


def set_layout(network: nn.Module, layout: torch.memory_format) -> None:
    """Lay the weights of convolutions out in memory; other tensors stay as they are."""
    with torch.no_grad():
        for module in network.modules():
            wanted = torch.contiguous_format if overruns(module) else layout
            for parameter in module.parameters(recurse=False):
                if parameter.ndim == 4:
                    parameter.data = parameter.data.contiguous(memory_format=wanted)


def overruns(module: nn.Module) -> bool:
    """Say whether a layer must not learn from inputs whose channels lie last, on a CPU.

    oneDNN's AVX2 kernel for the weight gradient of strided 1x1 convolutions writes behind the end
    of its buffer where there are fewer than 8 input channels (PyTorch 2.13). The process dies
    later and somewhere else. Images of one channel may lie so without having been asked to.
    """
    return (
        isinstance(module, nn.Conv2d)
        and tuple(module.kernel_size) == (1, 1)
        and max(module.stride) > 1
        and module.in_channels < _NARROW
    )


@contextmanager
def channels_first(networks: Iterable[nn.Module]) -> Iterator[None]:
    """Hand inputs to the layers that overrun with their channels first, as long as this lasts."""
    with ExitStack() as stack:
        for network in networks:
            for module in filter(overruns, network.modules()):
                stack.callback(module.register_forward_pre_hook(_first).remove)
        yield


def _first(_module: nn.Module, arguments: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    # Of a single channel both orders are contiguous to PyTorch: the strides themselves decide.
    x, *others = arguments
    _, channels, height, width = x.shape
    if x.stride() == (channels * height * width, height * width, width, 1):
        return arguments
    return (x.clone(memory_format=torch.contiguous_format), *others)
