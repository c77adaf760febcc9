"""What data is: parts as a source gives them, and a data set with its four splits."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgekd.data.preprocess import apply
from edgekd.records import Preprocess

#: The splits of every data set, in the order in which they are hashed.
SPLITS = ("train", "calibration", "validation", "test")

Indices = npt.NDArray[np.int64]
Raw = npt.NDArray[np.generic]


@dataclass(frozen=True, eq=False)
class Part:
    """Samples that belong together, read only when they are asked for.

    Attributes:
        ids: one name a sample, unique in the whole data set.
        targets: class indices, int64 (N,).
        reader: indices (n,) -> raw samples (n, *sample_shape), uint8 or float32.
        content: index -> the bytes that stand for a sample when it is hashed, e.g. those of its
            file; None: the bytes of the raw sample.
    """

    ids: tuple[str, ...]
    targets: npt.NDArray[np.int64]
    reader: Callable[[Indices], Raw]
    content: Callable[[int], bytes] | None = None

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.ids)

    def read(self, indices: Sequence[int] | npt.NDArray[np.integer]) -> Raw:
        """Return the raw samples (n, *sample_shape) of these indices, in this order."""
        return self.reader(np.asarray(indices, dtype=np.int64))

    def batches(self, size: int = 512) -> Iterator[Indices]:
        """Yield the indices of the whole part in order, ``size`` at a time."""
        for start in range(0, len(self), size):
            yield np.arange(start, min(start + size, len(self)), dtype=np.int64)

    def subset(self, indices: Indices) -> Part:
        """Return these samples as a part of their own, which still reads through this one."""
        content = self.content
        return Part(
            ids=tuple(self.ids[i] for i in indices),
            targets=self.targets[indices],
            reader=lambda wanted: self.reader(indices[wanted]),
            content=None if content is None else lambda i: content(int(indices[i])),
        )


@dataclass(frozen=True, eq=False)
class RawData:
    """What a source returns.

    Attributes:
        parts: ``train``, and any of ``calibration``, ``validation`` and ``test`` that the data
            comes with; the others are cut out of ``train``.
        classes: the class names, in label order.
        sample_shape: the shape of one sample, channels first.
        preprocess: how raw samples become network input; None: computed from the train split.
        scale: the factor on raw values where ``preprocess`` is None; None: 1/255 for uint8, else 1.
    """

    parts: Mapping[str, Part]
    classes: tuple[str, ...]
    sample_shape: tuple[int, ...]
    preprocess: Preprocess | None = None
    scale: float | None = None


@dataclass(frozen=True, eq=False)
class Dataset:
    """Data that was checked and split, ready to train with.

    Attributes:
        splits: exactly ``train``, ``calibration``, ``validation`` and ``test``, without overlap.
        classes: the class names, in label order.
        sample_shape: the shape of one sample, channels first.
        preprocess: how raw samples become network input.
        sha256: the hash of everything above: ids, targets, contents, which split holds what.
        duplicates: samples whose content also stands in an earlier split (train, calibration,
            validation, test): real data holds a few.
    """

    splits: Mapping[str, Part]
    classes: tuple[str, ...]
    sample_shape: tuple[int, ...]
    preprocess: Preprocess
    sha256: str
    duplicates: int = 0

    def normalised(
        self, split: str, indices: Sequence[int] | npt.NDArray[np.integer] | None = None
    ) -> npt.NDArray[np.float32]:
        """Return network input (n, *sample_shape) of a split; without indices all of it."""
        part = self.splits[split]
        wanted = np.arange(len(part)) if indices is None else indices
        return apply(part.read(wanted), self.preprocess)
