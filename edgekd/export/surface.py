"""The surface of a file: how its inputs and outputs lie in memory, and how many samples at once.

Converters are handed the network with this surface already on it, so that no exporter has to
think of layouts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from edgekd.export.ports import Arrays
from edgekd.export.prepare import Prepared, count

Layout = Literal["nchw", "nhwc"]

#: An image, and its feature maps: (N, C, H, W).
_IMAGE_AXES = 4


@dataclass(frozen=True, eq=False)
class Surface:
    """A prepared network as the file will show it.

    Attributes:
        model: takes one tensor an input in the order of ``example``, gives a dictionary of named
            tensors; both in the file's layout.
        example: a batch of every input, by name, in the file's layout.
        outputs: the names of the outputs, in order.
        batch: the batch size of the file; None where it is free.
        free_axis: another axis of every input whose size is free, e.g. the length of sequences.
        layouts: of every input and output, by name; None for what is no image.
    """

    model: nn.Module
    example: dict[str, torch.Tensor]
    outputs: tuple[str, ...]
    batch: int | None
    free_axis: int | None
    layouts: Mapping[str, Layout | None]

    def feeds(self, samples: Arrays, size: int | None = None) -> Iterator[dict[str, NDArray[Any]]]:
        """Yield samples ``(n, *shape)``, channels first, as the file takes them, batch by batch.

        Args:
            samples: by the names of the inputs.
            size: of a batch, where the file leaves it free. A fixed one is filled up with its
                last sample.
        """
        size = self.batch or size or 1
        for start in range(0, count(samples), size):
            rows = np.arange(start, min(start + size, count(samples)))
            if self.batch is not None:
                rows = np.resize(rows, size) if len(rows) < size else rows
            yield {
                name: self._laid_out(name, samples[name][rows], example)
                for name, example in self.example.items()
            }

    def _laid_out(
        self, name: str, values: NDArray[Any], example: torch.Tensor
    ) -> NDArray[np.generic]:
        if self.layouts[name] == "nhwc":
            values = np.moveaxis(values, 1, -1)
        dtype = str(example.dtype).removeprefix("torch.")
        return np.ascontiguousarray(values, dtype=dtype)


def surface(
    prepared: Prepared, *, layout: Layout, batch: int | None, free_axis: int | None = None
) -> Surface:
    """Put a surface on a network.

    Args:
        prepared: the network, channels first.
        layout: how 4-D inputs and outputs lie in the file.
        batch: the batch size of the file; None: free.
        free_axis: another axis of every input that has it whose size is free.
    """
    with torch.no_grad():
        found = prepared.model(*prepared.example.values())
    tensors = {**prepared.example, **{name: found[name] for name in prepared.outputs}}
    layouts: dict[str, Layout | None] = {
        name: layout if one.ndim == _IMAGE_AXES else None for name, one in tensors.items()
    }
    last = {name for name, one in layouts.items() if one == "nhwc"}
    rows = torch.arange(batch or 2) % 2
    example = {}
    for name, values in prepared.example.items():
        chosen = values[rows]
        example[name] = (chosen.permute(0, 2, 3, 1) if name in last else chosen).contiguous()
    model: nn.Module = prepared.model
    if last:
        model = ChannelsLast(model, list(prepared.example), last)
    return Surface(model.eval(), example, prepared.outputs, batch, free_axis, layouts)


class ChannelsLast(nn.Module):
    """A network whose images, and feature maps, lie as they do in memory on devices: NHWC.

    Args:
        model: the network, channels first.
        inputs: the names of its inputs, in order.
        last: the names of inputs and outputs that are channels last outside.
    """

    def __init__(self, model: nn.Module, inputs: Sequence[str], last: set[str]) -> None:
        """Keep the network."""
        super().__init__()
        self.model = model
        self.inputs = tuple(inputs)
        self.last = frozenset(last)

    def forward(self, *inputs: torch.Tensor) -> dict[str, torch.Tensor]:
        """Turn the inputs to channels first, run, and turn the outputs back."""
        turned = [
            one.permute(0, 3, 1, 2) if name in self.last else one
            for name, one in zip(self.inputs, inputs, strict=True)
        ]
        outputs: dict[str, torch.Tensor] = self.model(*turned)
        return {
            name: one.permute(0, 2, 3, 1) if name in self.last else one
            for name, one in outputs.items()
        }
