"""A Keras model or SavedModel as a network: what files made of it are held against."""

from __future__ import annotations

import inspect
import keyword
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from edgekd.export.ports import INPUT
from edgekd.records import TensorSpec
from edgekd.runtimes.codec import decode, encode
from edgekd.runtimes.session import Array, Session

#: An image, and its feature maps: (N, H, W, C).
_IMAGE_AXES = 4


@dataclass(frozen=True, eq=False)
class KerasOrigin:
    """What TensorFlow's converter is given.

    Attributes:
        kind: ``keras``, ``saved-model``, or ``object`` for a model at hand.
        path: the file or folder; None for a model at hand.
        model: the model at hand.
    """

    kind: str
    path: Path | None = None
    model: Any = None


class KerasNetwork(nn.Module):
    """A session behind ``forward``: arrays as edgekd has them, channels first, in and out.

    It has no parameters and cannot change, so that copies of it are the network itself.

    Attributes:
        origin: what the converter is given.
        inputs: the session's inputs, with the layout of each.
        input_names: what the inputs are called in the file, in the same order.
        output_names: what the outputs are called, in the order of the session.
        outputs: the session's outputs, with the layout of each.
    """

    def __init__(
        self,
        session: Session,
        origin: KerasOrigin,
        inputs: Sequence[TensorSpec],
        output_names: Sequence[str],
    ) -> None:
        """Store the session.

        Args:
            session: the loaded model.
            origin: where it came from.
            inputs: its inputs, each with its layout.
            output_names: one name an output.
        """
        super().__init__()
        self.session = session
        self.origin = origin
        self.inputs = tuple(inputs)
        self.input_names = input_names(inputs)
        self.output_names = tuple(output_names)
        self.outputs = tuple(
            spec.model_copy(update={"layout": "nhwc" if len(spec.shape) == _IMAGE_AXES else None})
            for spec in session.outputs
        )
        # Callers ask for the names of its inputs by the signature of forward().
        self.forward = _signed(self._run, self.input_names)

    def __deepcopy__(self, memo: dict[int, Any]) -> KerasNetwork:
        """Return itself: sessions cannot be copied, and nothing here changes."""
        return self

    def _run(self, *values: Tensor) -> Tensor | dict[str, Tensor]:
        """Return what the model gives for one batch (N, *shape) an input."""
        arrays = [
            encode(value.detach().cpu().numpy(), spec)
            for value, spec in zip(values, self.inputs, strict=True)
        ]
        found = [
            torch.from_numpy(decode(array, spec))
            for array, spec in zip(self._in_pieces(arrays), self.outputs, strict=True)
        ]
        if len(found) == 1:
            return found[0]
        return dict(zip(self.output_names, found, strict=True))

    def _in_pieces(self, arrays: Sequence[Array]) -> list[Array]:
        """Run a batch, in pieces where the model is fixed to a batch size."""
        size = self.inputs[0].shape[0]
        total = len(arrays[0])
        if size is None or size == total:
            return self.session.run(arrays)
        pieces = []
        for start in range(0, total, size):
            rows = np.minimum(np.arange(start, start + size), total - 1)
            pieces.append(self.session.run([array[rows] for array in arrays]))
        return [np.concatenate(parts)[:total] for parts in zip(*pieces, strict=True)]


def input_names(specs: Sequence[TensorSpec]) -> tuple[str, ...]:
    """Return what the inputs are called in files: names that a function's parameters can have."""
    if len(specs) == 1:
        return (INPUT,)
    return tuple(_identifier(spec.name) for spec in specs)


def _identifier(name: str) -> str:
    """Return a name as Python takes it.

    >>> _identifier("token/mask:0"), _identifier("class")
    ('token_mask_0', '_class')
    """
    plain = re.sub(r"\W", "_", name)
    return f"_{plain}" if plain[:1].isdigit() or keyword.iskeyword(plain) else plain


def _signed(run: Callable[..., Any], names: Sequence[str]) -> Callable[..., Any]:
    """Return a function that takes its inputs in order or by these names, and says so."""
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    signature = inspect.Signature([inspect.Parameter(name, kind) for name in names])

    def forward(*values: Tensor, **named: Tensor) -> Any:
        return run(*signature.bind(*values, **named).args)

    forward.__signature__ = signature  # type: ignore[attr-defined]
    return forward
