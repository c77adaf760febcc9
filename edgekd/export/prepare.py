"""A copy of the user's network that a converter may do with what it likes."""

from __future__ import annotations

import copy
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from edgekd.errors import EdgekdError, ExportError
from edgekd.runtimes.torch import flat_outputs

#: One logits tensor is what networks here give; a single unnamed output is called so in the file.
SINGLE_OUTPUT = "logits"
INPUT = "input"


@dataclass(frozen=True, eq=False)
class Prepared:
    """A network ready to convert.

    Attributes:
        model: takes ``(N, *input_shape)`` float32, gives a dictionary of named tensors.
        example: ``(2, *input_shape)`` network input.
        outputs: the names of the outputs, in order.
    """

    model: nn.Module
    example: torch.Tensor
    outputs: tuple[str, ...]

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one sample, channels first."""
        return tuple(self.example.shape[1:])

    def predict(self, samples: NDArray[np.float32], batch: int = 64) -> list[NDArray[Any]]:
        """Return the outputs ``(n, ...)`` for network inputs ``(n, *input_shape)``.

        Raises:
            ExportError: the network fails on them.
        """
        chunks = []
        for start in range(0, len(samples), batch):
            result = _run(self.model, torch.from_numpy(samples[start : start + batch]))
            chunks.append([result[name].numpy() for name in self.outputs])
        return [np.concatenate(parts) for parts in zip(*chunks, strict=True)]


def prepare(model: nn.Module, example: NDArray[np.float32]) -> Prepared:
    """Copy a network, put the copy into eval mode on the CPU, and try it.

    The caller's network stays as it is: mode, hooks, gradients, device.

    Args:
        model: takes one tensor ``(N, *input_shape)``.
        example: ``(2, *input_shape)`` network input.

    Raises:
        ExportError: the network cannot be copied, fails on the example, does not keep samples
            apart, or gives something that is not finite.
    """
    wrapped = Named(_copy(model)).eval()
    inputs = torch.from_numpy(np.ascontiguousarray(example, dtype=np.float32))
    outputs = _run(wrapped, inputs)
    for name, tensor in outputs.items():
        if tensor.ndim == 0 or tensor.shape[0] != inputs.shape[0]:
            raise ExportError(
                f"output {name!r} has shape {tuple(tensor.shape)} for {inputs.shape[0]} samples",
                hint="The first axis of every output must be the batch.",
            )
        if not torch.isfinite(tensor).all():
            raise ExportError(
                f"output {name!r} of the network is NaN or infinite",
                hint="Look at its weights: training may have diverged.",
            )
    _check_independence(wrapped, inputs, outputs)
    return Prepared(wrapped, inputs, tuple(outputs))


def _run(model: nn.Module, inputs: torch.Tensor) -> dict[str, torch.Tensor]:
    try:
        with torch.no_grad():
            outputs: dict[str, torch.Tensor] = model(inputs)
    except EdgekdError as error:
        raise ExportError(error.message, hint=error.hint) from error
    except Exception as error:
        raise ExportError(
            f"the network fails on an input of shape {tuple(inputs.shape)}: "
            f"{type(error).__name__}: {error}",
            hint="Does --input-shape (one sample, channels first) fit it, and any batch size?",
        ) from error
    return outputs


def _check_independence(
    model: nn.Module, inputs: torch.Tensor, outputs: dict[str, torch.Tensor]
) -> None:
    """Refuse a network whose output for a sample depends on the size of the batch.

    Raises:
        ExportError: names the output.
    """
    for batch in (inputs[:1], torch.cat([inputs, inputs[:1]])):
        found = _run(model, batch)
        for name, tensor in outputs.items():
            count = min(len(batch), len(tensor))
            one, other = found[name][:count], tensor[:count]
            if one.shape != other.shape or not torch.allclose(one, other, rtol=1e-3, atol=1e-3):
                raise ExportError(
                    f"output {name!r} for a sample is another one in a batch of {len(batch)} than "
                    f"in a batch of {len(inputs)}",
                    hint="The network mixes samples, or its forward() fixes the batch size.",
                )


class Named(nn.Module):
    """A network whose outputs have names, in a dictionary."""

    def __init__(self, model: nn.Module) -> None:
        """Keep the network."""
        super().__init__()
        self.model = model

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """Run it and name what it gives."""
        outputs = flat_outputs(self.model(x))
        if list(outputs) == ["output"]:
            return {SINGLE_OUTPUT: outputs["output"]}
        return outputs


def _copy(model: nn.Module) -> nn.Module:
    try:
        copied = copy.deepcopy(model)
    except Exception as error:
        raise ExportError(
            f"the network cannot be copied: {type(error).__name__}: {error}",
            hint="Does it keep a tensor that carries gradients, an open file, or a lock?",
        ) from error
    for module in copied.modules():
        _drop_hooks(module)
    copied.requires_grad_(False)
    return copied.to("cpu", torch.float32)


def _drop_hooks(module: nn.Module) -> None:
    """Take off the hooks that a deep copy shares with the original, and would call.

    torch.nn.utils computes weights in hooks (weight_norm, spectral_norm): those stay.
    """
    for kind in ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks"):
        hooks: OrderedDict[int, Any] = getattr(module, kind)
        for key, hook in list(hooks.items()):
            if not type(hook).__module__.startswith("torch.nn.utils"):
                del hooks[key]
