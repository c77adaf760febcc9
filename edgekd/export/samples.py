"""The user's own samples, for a network that no recipe gives data to."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd.errors import DataError
from edgekd.export.parity import HeldOut
from edgekd.export.ports import Arrays

#: Arrays of a file that are labels, not an input.
_TARGETS = ("targets", "labels", "y")
_SOURCE = "samples"

#: Which samples set ranges and which the file is held against is decided by this and the seed.
_SHUFFLE = 0x5A


@dataclass(frozen=True, eq=False)
class Samples:
    """Samples of every input, and labels where there are any.

    Half of them set the ranges of quantized files, the other half is what files are held against:
    no sample does both.

    Attributes:
        inputs: ``(n, *shape)`` by name, channels first.
        targets: class indices ``(n,)``, or None.
    """

    inputs: Arrays
    targets: NDArray[np.int64] | None = None

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[Any]] | str | Path) -> Samples:
        """Take arrays by name, or a .npz file of them; labels are called ``targets``.

        Raises:
            DataError: it cannot be read, or its arrays have no common first axis.
        """
        if not isinstance(arrays, Mapping):
            arrays = _read(Path(arrays))
        inputs = {name: np.asarray(a) for name, a in arrays.items() if name not in _TARGETS}
        labels = [np.asarray(arrays[name]) for name in _TARGETS if name in arrays]
        counts = {len(a) if a.ndim else 0 for a in (*inputs.values(), *labels)}
        if not inputs or len(counts) != 1 or min(counts) < 2:
            shapes = ", ".join(f"{name} {np.shape(a)}" for name, a in arrays.items())
            raise DataError(
                f"the samples are not as many of every input, and at least two: {shapes or 'none'}",
                hint="Give one array an input, named as forward() names it: (n, ...).",
            )
        for name, values in inputs.items():
            if values.dtype.kind not in "fiub":
                raise DataError(f"the samples of {name!r} are {values.dtype}, not numbers")
        if labels and (labels[0].ndim != 1 or labels[0].dtype.kind not in "iu"):
            raise DataError("the targets of the samples are not class indices (n,)")
        return cls(inputs, labels[0].astype(np.int64) if labels else None)

    def held_out(self, count: int, seed: int) -> HeldOut:
        """Return the half that files are held against; ``count`` of it at most."""
        rows = self._half(seed, 1)[:count]
        return HeldOut(
            inputs=self._rows(rows),
            ids=tuple(f"samples/{row:05d}" for row in rows),
            targets=None if self.targets is None else self.targets[rows],
            source=_SOURCE,
        )

    def calibration(self, count: int, seed: int) -> tuple[Arrays, tuple[str, ...]]:
        """Return the half that sets ranges, ``count`` of it at most, and the samples' names."""
        rows = self._half(seed, 0)[:count]
        return self._rows(rows), tuple(f"samples/{row:05d}" for row in rows)

    def _half(self, seed: int, which: int) -> NDArray[np.int64]:
        total = len(next(iter(self.inputs.values())))
        order = np.random.default_rng([_SHUFFLE, seed]).permutation(total)
        return np.sort(order[which::2])

    def _rows(self, rows: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        return {
            name: values[rows].astype(np.float32) if values.dtype.kind == "f" else values[rows]
            for name, values in self.inputs.items()
        }


def _read(path: Path) -> dict[str, NDArray[Any]]:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as found:
            return {name: found[name] for name in found.files}
    except (OSError, ValueError, AttributeError, zipfile.BadZipFile) as error:
        raise DataError(
            f"{path}: the samples cannot be read ({type(error).__name__})",
            hint="Write them with numpy.savez(path, input=x, targets=y).",
        ) from error
