"""A copy of the user's network that a converter may do with what it likes."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from edgekd.errors import EdgekdError, ExportError
from edgekd.export.attention import settle
from edgekd.export.ports import INPUT as INPUT
from edgekd.export.ports import Arrays, takes_names
from edgekd.runtimes.torch import flat_outputs

#: One logits tensor is what networks here give; a single unnamed output is called so in the file.
SINGLE_OUTPUT = "logits"


_SHAPE = "Does --input-shape (one sample, channels first) fit it, and any batch size?"
_DTYPE = (
    "Files compute in float32, and so does the copy of the network: let forward() go by x.dtype "
    "instead of casting to half or double; give integers with --input NAME=SHAPE:int64:0..9."
)


@dataclass(frozen=True, eq=False)
class Prepared:
    """A network ready to convert.

    Attributes:
        model: takes one tensor ``(N, *shape)`` an input, in the order of ``example``; gives a
            dictionary of named tensors.
        example: two samples ``(2, *shape)`` of every input, by name.
        outputs: the names of the outputs, in order.
    """

    model: nn.Module
    example: dict[str, torch.Tensor]
    outputs: tuple[str, ...]

    def predict(self, samples: Arrays, batch: int = 64) -> list[NDArray[Any]]:
        """Return the outputs ``(n, ...)`` for network inputs ``(n, *shape)`` by name.

        Raises:
            ExportError: the network fails on them.
        """
        chunks = []
        for start in range(0, count(samples), batch):
            stop = start + batch
            inputs = [tensor(samples[name][start:stop]) for name in self.example]
            result = _run(self.model, inputs)
            chunks.append([result[name].numpy() for name in self.outputs])
        return [np.concatenate(parts) for parts in zip(*chunks, strict=True)]


def count(samples: Arrays) -> int:
    """Return how many samples there are."""
    return len(next(iter(samples.values())))


def tensor(values: NDArray[Any]) -> torch.Tensor:
    """Return an array as a tensor: float32 of any floats, integers as they are."""
    if values.dtype.kind == "f":
        values = values.astype(np.float32, copy=False)
    return torch.from_numpy(np.ascontiguousarray(values))


def prepare(model: nn.Module, example: Arrays) -> Prepared:
    """Copy a network, put the copy into eval mode on the CPU, and try it.

    The caller's network stays as it is: mode, hooks, gradients, device.

    Args:
        model: takes one tensor ``(N, *shape)`` an input.
        example: two samples ``(2, *shape)`` of every input, by name, in the order of ``forward``
            unless the names are those of its parameters.

    Raises:
        ExportError: the network cannot be copied, fails on the example, does not keep samples
            apart, or gives something that is not finite.
    """
    names = tuple(example)
    copied = _copy(model)
    wrapped = Named(copied, names if takes_names(copied, names) else None).eval()
    inputs = {name: tensor(values) for name, values in example.items()}
    outputs = _run(wrapped, list(inputs.values()))
    size = count(example)
    for name, found in outputs.items():
        if found.ndim == 0 or found.shape[0] != size:
            raise ExportError(
                f"output {name!r} has shape {tuple(found.shape)} for {size} samples",
                hint="The first axis of every output must be the batch.",
            )
        if not torch.isfinite(found).all():
            raise ExportError(
                f"output {name!r} of the network is NaN or infinite",
                hint="Look at its weights: training may have diverged.",
            )
    _check_independence(wrapped, list(inputs.values()), outputs)
    return Prepared(wrapped, inputs, tuple(outputs))


def _run(model: nn.Module, inputs: list[torch.Tensor]) -> dict[str, torch.Tensor]:
    try:
        with torch.no_grad():
            outputs: dict[str, torch.Tensor] = model(*inputs)
    except EdgekdError as error:
        raise ExportError(error.message, hint=error.hint) from error
    except Exception as error:
        shapes = ", ".join(str(tuple(one.shape)) for one in inputs)
        raise ExportError(
            f"the network fails on an input of shape {shapes}: {type(error).__name__}: {error}",
            hint=_DTYPE if "dtype" in str(error) else _SHAPE,
        ) from error
    return outputs


def _check_independence(
    model: nn.Module, inputs: list[torch.Tensor], outputs: Mapping[str, torch.Tensor]
) -> None:
    """Refuse a network whose output for a sample depends on the size of the batch.

    Raises:
        ExportError: names the output.
    """
    size = len(inputs[0])
    for batch in ([x[:1] for x in inputs], [torch.cat([x, x[:1]]) for x in inputs]):
        found = _run(model, batch)
        for name, expected in outputs.items():
            same = min(len(batch[0]), len(expected))
            one, other = found[name][:same], expected[:same]
            if one.shape != other.shape or not torch.allclose(one, other, rtol=1e-3, atol=1e-3):
                raise ExportError(
                    f"output {name!r} for a sample is another one in a batch of {len(batch[0])} "
                    f"than in a batch of {size}",
                    hint="The network mixes samples, or its forward() fixes the batch size.",
                )


class Named(nn.Module):
    """A network whose outputs have names, in a dictionary.

    Args:
        model: the network.
        keywords: the names that it takes its inputs by; None: by their order.
    """

    def __init__(self, model: nn.Module, keywords: tuple[str, ...] | None = None) -> None:
        """Keep the network."""
        super().__init__()
        self.model = model
        self.keywords = keywords

    def forward(self, *inputs: torch.Tensor) -> dict[str, torch.Tensor]:
        """Run it and name what it gives."""
        if self.keywords is None:
            outputs = flat_outputs(self.model(*inputs))
        else:
            outputs = flat_outputs(self.model(**dict(zip(self.keywords, inputs, strict=True))))
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
    settle(copied)
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
