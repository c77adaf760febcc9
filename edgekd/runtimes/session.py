"""What every runtime gives: a `Session` that knows its tensors and runs arrays through them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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


def piecewise(
    arrays: Sequence[Array],
    sizes: set[int | None],
    run: Callable[[Sequence[Array]], list[Array]],
) -> list[Array]:
    """Run pieces of a file's own batch size; the last one is filled up and cut.

    Args:
        arrays: one array an input, of any number of samples.
        sizes: the batch sizes of the inputs; None counts as 1.
        run: runs one batch of that size.

    Raises:
        ValueError: the inputs differ in their batches, or an output has none.
    """
    sizes, given = set(sizes), {len(array) for array in arrays}
    if len(sizes) != 1 or len(given) != 1:
        raise ValueError("the inputs have batches of different sizes")
    size, total = int(sizes.pop() or 1), given.pop()
    pieces = []
    for start in range(0, total, size):
        wanted = np.minimum(np.arange(start, start + size), total - 1)
        pieces.append(run([array[wanted] for array in arrays]))
    outputs = [np.concatenate(parts) for parts in zip(*pieces, strict=True)]
    if any(len(output) != len(pieces) * size for output in outputs):
        raise ValueError("an output has no batch axis")
    return [output[:total] for output in outputs]
