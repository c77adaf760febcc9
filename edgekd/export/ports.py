"""The inputs of a network: their names, what a sample of each is, and samples made up for them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from edgekd.errors import ExportError

#: Network inputs by name, ``(n, *shape)`` each, channels first.
Arrays = Mapping[str, NDArray[Any]]

#: What a single input without a name of its own is called in files.
INPUT = "input"

#: Places of a sequence where nothing but a configuration says how many.
_TOKENS = 128

_WRITTEN = re.compile(
    r"(?P<name>[^=]+)=(?P<shape>\d+(,\d+)*|)(:(?P<dtype>[a-z]+\d*))?"
    r"(:(?P<low>-?\d+)\.\.(?P<high>-?\d+))?"
)
_HOW = "Write NAME=SHAPE[:DTYPE[:LOW..HIGH]], e.g. input_ids=128:int64:0..30521"
_DTYPES = ("float32", "int64", "int32", "uint8", "int8", "bool")


@dataclass(frozen=True)
class Port:
    """One input.

    Attributes:
        name: what it is called in the file.
        shape: of one sample, channels first.
        dtype: of the network, e.g. ``int64`` for token ids.
        low: the smallest value of a sample made up, for integers.
        high: the largest.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str = "float32"
    low: int = 0
    high: int = 1

    @property
    def is_mask(self) -> bool:
        """Whether it says which places of a sequence count: nothing but 0 and 1."""
        return len(self.shape) == 1 and self.dtype != "float32" and (self.low, self.high) == (0, 1)

    def made_up(self, count: int, generator: np.random.Generator) -> NDArray[Any]:
        """Return ``(count, *shape)``: normal noise, integers of the range, or masks of prefixes."""
        size = (count, *self.shape)
        if self.dtype == "float32":
            return generator.standard_normal(size, dtype=np.float32)
        if self.is_mask:
            lengths = generator.integers(1, self.shape[0] + 1, size=(count, 1))
            return (np.arange(self.shape[0]) < lengths).astype(self.dtype)
        return generator.integers(self.low, self.high + 1, size=size).astype(self.dtype)


def written(text: str) -> Port:
    """Return the input that ``NAME=SHAPE[:DTYPE[:LOW..HIGH]]`` describes.

    >>> written("input_ids=128:int64:0..30521")
    Port(name='input_ids', shape=(128,), dtype='int64', low=0, high=30521)
    >>> written("image=3,32,32").dtype
    'float32'

    Raises:
        ExportError: it is not written so.
    """
    found = _WRITTEN.fullmatch(text.strip())
    dtype = "float32" if found is None else found["dtype"] or "float32"
    if found is None or dtype not in _DTYPES:
        raise ExportError(f"--input {text}: not understood", hint=f"{_HOW}; {', '.join(_DTYPES)}.")
    shape = tuple(int(size) for size in found["shape"].split(",") if size)
    low, high = int(found["low"] or 0), int(found["high"] or 1)
    if low > high or 0 in shape:
        raise ExportError(f"--input {text}: nothing lies in it", hint=_HOW)
    return Port(found["name"], shape, dtype, low, high)


def of_arrays(arrays: Arrays) -> tuple[Port, ...]:
    """Return the inputs that samples ``(n, *shape)`` fit."""
    ports = []
    for name, values in arrays.items():
        whole = values.dtype.kind in "iub"
        ports.append(
            Port(
                name,
                tuple(values.shape[1:]),
                values.dtype.name if whole else "float32",
                int(values.min()) if whole and values.size else 0,
                int(values.max()) if whole and values.size else 1,
            )
        )
    return tuple(ports)


def of_example(model: nn.Module, example: Any) -> tuple[Port, ...] | None:
    """Return the inputs that an example describes: a tensor, a tuple or a dictionary of them.

    Args:
        model: gives the names of a tuple's inputs, by its ``forward``.
        example: one batch.

    Returns:
        None where it is no example.
    """
    if isinstance(example, torch.Tensor):
        example = (example,)
    if isinstance(example, list | tuple):
        names = [INPUT] if len(example) == 1 else parameters_of(model)[: len(example)]
        example = dict(zip(names, example, strict=False))
    if not isinstance(example, Mapping) or not example:
        return None
    if not all(isinstance(value, torch.Tensor) and value.ndim for value in example.values()):
        return None
    return of_arrays({str(name): value.detach().numpy() for name, value in example.items()})


def of_config(model: nn.Module) -> tuple[Port, ...] | None:
    """Return the inputs of a network of transformers, by its configuration; None of another.

    Token ids of at most `_TOKENS` places, and a mask over them unless later tokens are hidden
    from earlier ones anyway; or pixels.
    """
    config = getattr(model, "config", None)
    known = parameters_of(model)
    vocabulary, side = (getattr(config, name, None) for name in ("vocab_size", "image_size"))
    if "input_ids" in known and isinstance(vocabulary, int):
        longest = getattr(config, "max_position_embeddings", None)
        length = min(longest, _TOKENS) if isinstance(longest, int) else _TOKENS
        ids = Port("input_ids", (length,), "int64", 0, vocabulary - 1)
        if any(getattr(one, "is_causal", False) for one in model.modules()):
            return (ids,)
        return (ids, Port("attention_mask", (length,), "int64", 0, 1))
    if "pixel_values" in known and isinstance(side, int):
        return (Port("pixel_values", (getattr(config, "num_channels", 3), side, side)),)
    return None


def parameters_of(model: nn.Module) -> list[str]:
    """Return the names of what ``forward`` takes."""
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.POSITIONAL_ONLY)
    found = inspect.signature(model.forward).parameters.values()
    return [parameter.name for parameter in found if parameter.kind in kinds]


def takes_names(model: nn.Module, names: tuple[str, ...]) -> bool:
    """Say whether ``forward`` can be called with the inputs' names as keywords.

    Raises:
        ExportError: there are several inputs, and it takes none of that name.
    """
    known = parameters_of(model)
    if set(names) <= set(known):
        return True
    if len(names) > 1 and len(known) < len(names):
        raise ExportError(
            f"the network takes {', '.join(known) or 'no inputs by name'}, not {', '.join(names)}",
            hint="Name the inputs as forward() does.",
        )
    return False
