"""A data set whose samples are corrupted, to ask any network or file with.

Every sample is corrupted as the data gives it, before any preprocessing, and by random numbers of
its own: they depend on the seed, the corruption and the sample's id, and on nothing else. So
every network, file and device meets the very same samples, in whatever order and batches.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from edgekd.data.split import Dataset, Part, Raw, Reader
from edgekd.errors import DataError, EdgekdError
from edgekd.evaluate.corruptions import CORRUPTIONS
from edgekd.evaluate.corruptions.samples import Floats, Samples
from edgekd.evaluate.corruptions.severity import check_severity
from edgekd.seeds import derive_seed

Corruption = Callable[[Floats, int, np.random.Generator, Samples], Floats]


def corrupted(
    dataset: Dataset,
    split: str,
    name: str,
    severity: int,
    samples: Mapping[str, Samples],
    *,
    seed: int = 0,
) -> Dataset:
    """Return a data set with the samples of one split corrupted; they are made here.

    Args:
        dataset: the data as it is.
        split: the one to corrupt; the others stay as they are.
        name: of the corruption, or its import path.
        severity: from 1 to 5; 0 leaves every sample as it is.
        samples: what the samples are, as each of the data's inputs; all of them are corrupted.
        seed: of the random numbers.

    Raises:
        EdgekdError: there is no such severity.
        UnknownNameError: there is no such corruption.
        DataError: the corruption fails, or gives something that is not a sample.
        MissingExtraError: it needs a package that is not installed.
    """
    check_severity(severity)
    corruption = CORRUPTIONS.resolve(name)

    def change(raw: Raw, about: Samples) -> Raw:
        if not severity:
            return raw
        seeds = (derive_seed(seed, name, sample_id) for sample_id in part.ids)
        return np.stack(
            [
                _one(one, corruption, severity, about, name, each)
                for one, each in zip(raw, seeds, strict=True)
            ]
        )

    part = dataset.splits[split]
    whole = np.arange(len(part))
    first, *others = samples.values()
    changed = replace(
        part,
        reader=_holding(change(part.read(whole), first)),
        others={
            other: _holding(change(part.read(whole, other), about))
            for other, about in zip(part.others, others, strict=True)
        },
    )
    return replace(dataset, splits={**dataset.splits, split: changed})


def read_once(part: Part) -> Part:
    """Return a part that keeps its samples in memory."""
    whole = np.arange(len(part))
    return replace(
        part,
        reader=_holding(part.read(whole)),
        others={name: _holding(part.read(whole, name)) for name in part.others},
    )


def _holding(made: Raw) -> Reader:
    return lambda indices: made[indices]


def _one(
    raw: Raw, corruption: Corruption, severity: int, samples: Samples, name: str, seed: int
) -> Raw:
    """Corrupt one sample and give it back in its own type and range."""
    image = samples.kind == "image"
    low, width = (samples.low, samples.high - samples.low or 1.0) if image else (0.0, 1.0)
    values = (raw.astype(np.float32) - np.float32(low)) / np.float32(width)
    if image:  # a value beyond those of the training split
        values = values.clip(0, 1)
    try:
        found = corruption(values, severity, np.random.default_rng(seed), samples)
    except EdgekdError:
        raise
    except Exception as error:
        raise DataError(
            f"the corruption {name!r} fails on a sample of shape {raw.shape}: "
            f"{type(error).__name__}: {error}",
            hint="--debug shows where.",
        ) from error
    if found.shape != raw.shape or not np.isfinite(found).all():
        raise DataError(
            f"the corruption {name!r} gives shape {found.shape} of {raw.shape}, or no numbers",
            hint="A corruption returns finite values of the sample's own shape.",
        )
    if image:
        found = found.clip(0, 1)
    found = found * np.float32(width) + np.float32(low)
    if raw.dtype == np.uint8:
        return np.rint(found).clip(0, 255).astype(np.uint8)
    return found.astype(np.float32)
