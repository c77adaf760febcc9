"""Cut the splits that a source does not bring out of its training part.

Stratified: every class gets its share, rounded to whole samples. Seeded by the split's own seed,
so that another training seed never moves a sample from one split to another. Samples without a
label stay in train, whatever is cut, and count for no size.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from edgekd.data.split import UNLABELLED, Part
from edgekd.errors import DataError

if TYPE_CHECKING:
    from edgekd.recipe import SplitSpec

#: Cut in this order, so that another size of validation leaves the test split as it is.
_ORDER = ("test", "validation", "calibration")

Counts = npt.NDArray[np.int64]


def cut(parts: Mapping[str, Part], spec: SplitSpec, classes: tuple[str, ...]) -> dict[str, Part]:
    """Return train, calibration, validation and test.

    Parts that are there stay whole; the others are cut out of ``train``. A size is a number of
    samples (int) or a fraction of the training part's labelled samples as the source gave it
    (float).

    Args:
        parts: at least ``train``, with labels that were checked.
        spec: the sizes and the seed.
        classes: the class names; every split but calibration gets at least one sample of each.

    Raises:
        DataError: there are too few samples for the sizes.
    """
    train = parts["train"]
    total = int(train.labelled.sum())
    sizes = {name: _size(name, getattr(spec, name), total) for name in _ORDER if name not in parts}
    pools = _shuffled_by_class(train.targets, len(classes), spec.seed)
    taken: dict[str, list[npt.NDArray[np.int64]]] = {}
    for name, size in sizes.items():
        # Train, and validation where it is cut after test, need one sample of each class too.
        leave = 2 if name == "test" and "validation" in sizes else 1
        low = 0 if name == "calibration" else 1
        counts = np.array([len(pool) for pool in pools], dtype=np.int64)
        _check(name, size, counts, low=low, leave=leave, classes=classes)
        shares = allocate(counts, size, low=low, leave=leave)
        taken[name] = [pool[:share] for pool, share in zip(pools, shares, strict=True)]
        pools = [pool[share:] for pool, share in zip(pools, shares, strict=True)]
    if spec.train is not None:
        pools = _keep("train", pools, _size("train", spec.train, total, most=1.0), classes)
    result = dict(parts)
    for name, chosen in taken.items():
        result[name] = train.subset(np.sort(np.concatenate(chosen)))
    result["train"] = _to_train_with(train, pools, spec, classes)
    return result


def uncut(spec: SplitSpec) -> SplitSpec | None:
    """Return the same split with all of train, or None where it has all of it anyway."""
    if spec.train is None and spec.labelled is None:
        return None
    return spec.model_copy(update={"train": None, "labelled": None})


def _to_train_with(
    train: Part, pools: list[Counts], spec: SplitSpec, classes: tuple[str, ...]
) -> Part:
    """Return what is left of train, with as many labels as it is to have."""
    named = train
    if spec.labelled is not None:
        left = sum(len(pool) for pool in pools)
        size = _size("labelled", spec.labelled, left, most=1.0)
        kept = _keep("labelled", pools, size, classes)
        targets = np.full_like(train.targets, UNLABELLED)
        for pool in kept:
            targets[pool] = train.targets[pool]
        named = replace(train, targets=targets)
    unlabelled = np.flatnonzero(~train.labelled)
    return named.subset(np.sort(np.concatenate([*pools, unlabelled])))


def allocate(counts: Counts, size: int, *, low: int, leave: int) -> Counts:
    """Share ``size`` samples among classes in proportion to ``counts``, by largest remainder.

    Args:
        counts: samples there are of each class.
        size: samples to take, between ``low`` times classes and what ``leave`` allows.
        low: least to take of each class.
        leave: least to leave of each class.

    >>> allocate(np.array([50, 30, 20]), 7, low=1, leave=1).tolist()
    [4, 2, 1]
    """
    quota = counts * (size / max(int(counts.sum()), 1))
    high = np.maximum(counts - leave, 0)
    shares: Counts = np.clip(np.floor(quota).astype(np.int64), np.minimum(low, high), high)
    while (missing := size - int(shares.sum())) != 0:
        if missing > 0:
            shares[np.argmax(np.where(shares < high, quota - shares, -np.inf))] += 1
        else:
            shares[np.argmin(np.where(shares > low, quota - shares, np.inf))] -= 1
    return shares


def _keep(
    name: str, pools: list[Counts], size: int, classes: tuple[str, ...]
) -> list[npt.NDArray[np.int64]]:
    """Keep only ``size`` samples, every class among them."""
    counts = np.array([len(pool) for pool in pools], dtype=np.int64)
    _check(name, size, counts, low=1, leave=0, classes=classes)
    shares = allocate(counts, size, low=1, leave=0)
    return [pool[:share] for pool, share in zip(pools, shares, strict=True)]


def _size(name: str, size: float | int, total: int, *, most: float = 0.0) -> int:
    if isinstance(size, int):
        return size
    if size >= 1.0 and size != most:
        raise DataError(
            f"data.split.{name} is the fraction {size}, which leaves nothing to train on",
            hint="Give a fraction below 1, or a whole number of samples.",
        )
    return round(size * total)


def _check(
    name: str, size: int, counts: Counts, *, low: int, leave: int, classes: tuple[str, ...]
) -> None:
    """Raise a `DataError` where ``allocate`` could not do what is asked."""
    rarest = int(np.argmin(counts))
    if counts[rarest] < low + leave:
        raise DataError(
            f"class {classes[rarest]!r} has {counts[rarest]} samples left for {name} and train",
            hint="Every split needs every class: bring more samples of it, or drop the class.",
        )
    least, most = low * len(counts), int((counts - leave).sum())
    if not least <= size <= most:
        raise DataError(
            f"data.split.{name} asks for {size} samples; {least} to {most} can be had "
            f"of the {int(counts.sum())} left in train",
            hint="Every split needs every class: change the sizes in [data.split].",
        )


def _shuffled_by_class(
    targets: npt.NDArray[np.int64], classes: int, seed: int
) -> list[npt.NDArray[np.int64]]:
    random = np.random.default_rng(seed)
    return [random.permutation(np.flatnonzero(targets == label)) for label in range(classes)]
