"""What data is: parts as a source gives them, and a data set with its four splits."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from edgekd.data.preprocess import apply
from edgekd.records import Preprocess

if TYPE_CHECKING:
    from torch import nn

#: The splits of every data set, in the order in which they are hashed.
SPLITS = ("train", "calibration", "validation", "test")

#: What a label is where nobody has given one; in the training split only.
UNLABELLED = -1

Indices = npt.NDArray[np.int64]
Raw = npt.NDArray[np.generic]
Reader = Callable[[Indices], Raw]


@dataclass(frozen=True, eq=False)
class Part:
    """Samples that belong together, read only when they are asked for.

    Attributes:
        ids: one name a sample, unique in the whole data set.
        targets: class indices, int64 (N,); `UNLABELLED` where there is none.
        reader: indices (n,) -> raw samples (n, *sample_shape), uint8 or float32.
        content: index -> the bytes that stand for a sample when it is hashed, e.g. those of its
            file; None: the bytes of the raw sample.
        others: the same samples as further inputs, by their name, e.g. another sensor.
    """

    ids: tuple[str, ...]
    targets: npt.NDArray[np.int64]
    reader: Reader
    content: Callable[[int], bytes] | None = None
    others: Mapping[str, Reader] = field(default_factory=dict)

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.ids)

    @property
    def labelled(self) -> npt.NDArray[np.bool_]:
        """Which samples have a label: (N,)."""
        return np.not_equal(self.targets, UNLABELLED)

    def read(
        self, indices: Sequence[int] | npt.NDArray[np.integer], other: str | None = None
    ) -> Raw:
        """Return the raw samples (n, *sample_shape) of these indices, in this order.

        Args:
            indices: in this part.
            other: the name of a further input; None: the first.
        """
        reader = self.reader if other is None else self.others[other]
        return reader(np.asarray(indices, dtype=np.int64))

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
            reader=_among(self.reader, indices),
            content=None if content is None else lambda i: content(int(indices[i])),
            others={name: _among(reader, indices) for name, reader in self.others.items()},
        )


def _among(reader: Reader, indices: Indices) -> Reader:
    return lambda wanted: reader(indices[wanted])


@dataclass(frozen=True)
class InputFacts:
    """What samples are as one of the data's inputs.

    Attributes:
        sample_shape: the shape of one sample, channels first.
        preprocess: how raw samples become network input; in what a source returns, None where it
            is to be computed from the train split.
        scale: the factor on raw values where ``preprocess`` is None; None: 1/255 for uint8, else 1.
    """

    sample_shape: tuple[int, ...]
    preprocess: Preprocess | None = None
    scale: float | None = None


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
        input: the name of the input that is meant by all that.
        others: the other inputs of every part, by name.
        columns: what else is known of the samples, e.g. the speaker: by name, id -> value.
    """

    parts: Mapping[str, Part]
    classes: tuple[str, ...]
    sample_shape: tuple[int, ...]
    preprocess: Preprocess | None = None
    scale: float | None = None
    input: str = "input"
    others: Mapping[str, InputFacts] = field(default_factory=dict)
    columns: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Dataset:
    """Data that was checked and split, ready to train with, as one network sees it.

    Attributes:
        splits: exactly ``train``, ``calibration``, ``validation`` and ``test``, without overlap.
        classes: the class names, in label order.
        sample_shape: the shape of one sample of network input, channels first.
        preprocess: how raw samples become network input.
        sha256: the hash of everything above: ids, targets, contents, which split holds what.
        duplicates: samples whose content also stands in an earlier split (train, calibration,
            validation, test): real data holds a few.
        input: which of ``inputs`` the network takes.
        inputs: what samples are as each of the data's inputs; the first is ``Part.reader``'s.
        columns: what else is known of the samples: by name, id -> value.
        whole: the training split with all the samples and labels that it has without
            ``data.split.train`` and ``labelled``, where these took some away.
    """

    splits: Mapping[str, Part]
    classes: tuple[str, ...]
    sample_shape: tuple[int, ...]
    preprocess: Preprocess
    sha256: str
    duplicates: int = 0
    input: str = "input"
    inputs: Mapping[str, InputFacts] = field(default_factory=dict)
    columns: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    whole: Part | None = None

    def with_labels(self, *, whole: bool = False) -> Dataset:
        """Return the same data with the labelled samples of the training split only.

        Args:
            whole: those that it has without ``data.split.train`` and ``labelled``.
        """
        part = self.splits["train"]
        if whole and self.whole is not None:
            part = self.whole
        if not part.labelled.all():
            part = part.subset(np.flatnonzero(part.labelled))
        return replace(self, splits={**self.splits, "train": part})

    def raw(
        self,
        split: str,
        indices: Sequence[int] | npt.NDArray[np.integer],
        name: str | None = None,
    ) -> Raw:
        """Return raw samples of a split as one of the data's inputs; default: the network's."""
        name = name or self.input
        first = next(iter(self.inputs), name)
        return self.splits[split].read(indices, None if name == first else name)

    def normalised(
        self, split: str, indices: Sequence[int] | npt.NDArray[np.integer] | None = None
    ) -> npt.NDArray[np.float32]:
        """Return network input (n, *sample_shape) of a split; without indices all of it."""
        part = self.splits[split]
        wanted = np.arange(len(part)) if indices is None else indices
        raw = self.raw(split, wanted)
        if not self.preprocess.transforms:
            return apply(raw, self.preprocess)
        return self._transformed(raw)

    def _transformed(self, raw: Raw) -> npt.NDArray[np.float32]:
        """Do the same in PyTorch, a few hundred samples at a time."""
        import torch

        prepare = self.prepare()
        scale = np.float32(self.preprocess.scale)
        chunks = [
            prepare(torch.from_numpy(raw[start : start + 256].astype(np.float32) * scale)).numpy()
            for start in range(0, len(raw), 256)
        ]
        return np.concatenate(chunks) if chunks else np.empty((0, *self.sample_shape), np.float32)

    def prepare(self) -> nn.Module:
        """Return the module from scaled samples of ``input`` to network input, on batches."""
        from edgekd.data.prepare import Prepare

        facts = self.inputs.get(self.input)
        shape = self.sample_shape if facts is None else facts.sample_shape
        return Prepare(self.preprocess, shape)
