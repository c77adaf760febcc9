"""What every runtime gives: a `Session` that knows its tensors and runs arrays through them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edgekd.errors import DataError
from edgekd.records import TensorSpec

Array = NDArray[Any]


class Session(Protocol):
    """A loaded model file.

    Attributes:
        runtime: name and version, e.g. ``litert 2.3.0``.
        inputs: one spec an input, in the file's order.
        outputs: one spec an output, in the file's order.
    """

    runtime: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    def run(self, arrays: Sequence[Array]) -> list[Array]:
        """Run one batch.

        Args:
            arrays: one array an input, in the dtype of the file (see `edgekd.runtimes.codec`).

        Returns:
            One array an output, in the dtype of the file.

        Raises:
            DataError: the arrays do not fit the inputs.
            ModelFileError: the runtime cannot run the file on them.
        """
        ...


def check_arrays(inputs: Sequence[TensorSpec], arrays: Sequence[Array]) -> None:
    """Refuse arrays whose number, dtype, rank or sizes do not fit. The first axis may differ.

    Raises:
        DataError: names the input.
    """
    if len(arrays) != len(inputs):
        raise DataError(f"the model takes {len(inputs)} inputs, {len(arrays)} were given")
    for spec, array in zip(inputs, arrays, strict=True):
        if str(array.dtype) != spec.dtype:
            raise DataError(
                f"input {spec.name!r} takes {spec.dtype}, {array.dtype} was given",
                hint="edgekd.runtimes.codec.encode makes what the file wants.",
            )
        wanted, given = spec.shape[1:], array.shape[1:]
        fits = all(w is None or w == g for w, g in zip(wanted, given, strict=False))
        if array.ndim != len(spec.shape) or not fits:
            shape = ", ".join("any" if size is None else str(size) for size in spec.shape)
            raise DataError(f"input {spec.name!r} takes shape ({shape}), {array.shape} was given")


def free_sizes(shape: Sequence[Any]) -> tuple[int | None, ...]:
    """Return a shape with ``None`` for every size that is not a positive number."""
    return tuple(
        int(size) if isinstance(size, int | np.integer) and size > 0 else None for size in shape
    )
