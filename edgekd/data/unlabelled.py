"""More samples to train with, from elsewhere and without labels: ``[data.unlabelled]``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from edgekd.data.check import check_structure
from edgekd.data.source import call_source, read_batch
from edgekd.data.split import UNLABELLED, Indices, InputFacts, Part, Raw, RawData, Reader
from edgekd.errors import DataError

if TYPE_CHECKING:
    from edgekd.recipe import UnlabelledSpec

#: What their ids begin with.
PREFIX = "unlabelled/"


def scaled_facts(raw: RawData, where: str) -> dict[str, InputFacts]:
    """Return what samples are as each of the data's inputs, the first one first, with its scale.

    The scale of an input that says none follows from its values: 1/255 for uint8, else 1.

    Args:
        raw: what a source gave.
        where: for messages.

    Raises:
        DataError: the first sample cannot be read.
    """
    first = InputFacts(raw.sample_shape, raw.preprocess, raw.scale)
    return {
        name: replace(facts, scale=_scale(raw, facts, where, None if name == raw.input else name))
        for name, facts in {raw.input: first, **raw.others}.items()
    }


def more_samples(spec: UnlabelledSpec, raw: RawData, *, seed: int) -> Part:
    """Return the samples, with ids of their own, in the units of the data that they join.

    Args:
        spec: where they come from.
        raw: the data that they join.
        seed: decides which, where there are more than wanted.

    Raises:
        DataError: they lack an input of the data, or have another shape.
    """
    found = call_source(spec.source, spec.options, "data.unlabelled")
    where = f"data.unlabelled.source {spec.source!r}"
    check_structure(found, where)
    ours, theirs = scaled_facts(raw, "data"), scaled_facts(found, where)
    if len(ours) == len(theirs) == 1:  # a single input needs no name to be recognised
        theirs = {raw.input: theirs[found.input]}
    for name, facts in ours.items():
        if name not in theirs or theirs[name].sample_shape != facts.sample_shape:
            known = ", ".join(f"{key} {value.sample_shape}" for key, value in theirs.items())
            raise DataError(
                f"{where} has the input(s) {known}; the data has {name} {facts.sample_shape}",
                hint="Samples without labels have the inputs and shapes of the others.",
            )
    part = found.parts["train"]
    if spec.samples is not None and spec.samples < len(part):
        random = np.random.default_rng(seed)
        part = part.subset(np.sort(random.permutation(len(part))[: spec.samples]))
    readers = {found.input: part.reader, **part.others}
    if len(ours) == len(readers) == 1:
        readers = {raw.input: part.reader}
    return _without_labels(part, readers, ours, theirs, first=raw.input)


def joined(part: Part, more: Part) -> Part:
    """Return one part with the samples of both, the second's behind the first's."""
    cut = len(part)

    def content(index: int) -> bytes:
        owner, number = (part, index) if index < cut else (more, index - cut)
        if owner.content is not None:
            return owner.content(number)
        return _bytes_of(owner.reader)(number)

    return Part(
        ids=(*part.ids, *more.ids),
        targets=np.concatenate([part.targets, more.targets]),
        reader=_either(part.reader, more.reader, cut),
        content=content,
        others={
            name: _either(reader, more.others[name], cut) for name, reader in part.others.items()
        },
    )


def _scale(raw: RawData, facts: InputFacts, where: str, other: str | None) -> float:
    if facts.preprocess is not None:
        return facts.preprocess.scale
    if facts.scale is not None:
        return facts.scale
    first = np.zeros(1, dtype=np.int64)
    sample = read_batch(raw.parts["train"], first, facts.sample_shape, f"{where}, train", other)
    return 1 / 255 if sample.dtype.kind == "u" else 1.0


def _without_labels(
    part: Part,
    readers: dict[str, Reader],
    ours: dict[str, InputFacts],
    theirs: dict[str, InputFacts],
    *,
    first: str,
) -> Part:
    """Return the part with the data's inputs, in its scales, and without labels."""
    ratios = {name: (theirs[name].scale or 1.0) / (ours[name].scale or 1.0) for name in ours}
    found = {name: _scaled(readers[name], ratio) for name, ratio in ratios.items()}
    return Part(
        ids=tuple(PREFIX + name for name in part.ids),
        targets=np.full(len(part), UNLABELLED, dtype=np.int64),
        reader=found.pop(first),
        # A sample is hashed by what its own source gives.
        content=part.content or _bytes_of(part.reader),
        others=found,
    )


def _bytes_of(reader: Reader) -> Callable[[int], bytes]:
    return lambda index: reader(np.array([index]))[0].tobytes()


def _scaled(reader: Reader, ratio: float) -> Reader:
    if ratio == 1.0:
        return reader
    return lambda indices: reader(indices).astype(np.float32) * np.float32(ratio)


def _either(first: Reader, second: Reader, cut: int) -> Reader:
    """Return a reader of two parts, the second of which begins at ``cut``."""

    def read(indices: Indices) -> Raw:
        here = indices < cut
        if here.all() or not here.any():
            return first(indices) if here.all() else second(indices - cut)
        ours, theirs = first(indices[here]), second(indices[~here] - cut)
        found = np.empty((len(indices), *ours.shape[1:]), np.result_type(ours, theirs))
        found[here], found[~here] = ours, theirs
        return found

    return read
