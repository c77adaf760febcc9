"""What must hold of every data set before a network sees it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np

from edgekd.data.split import SPLITS, UNLABELLED, Part, Raw, RawData
from edgekd.errors import DataError
from edgekd.records import Preprocess


def check_structure(raw: RawData, where: str) -> None:
    """Check parts, labels and ids, which reads no sample.

    Raises:
        DataError: something cannot be what it says it is.
    """
    unknown = sorted(set(raw.parts) - set(SPLITS))
    if unknown or "train" not in raw.parts:
        what = f"unknown part {unknown[0]!r}" if unknown else "there is no part 'train'"
        raise DataError(f"{where}: {what}", hint=f"Parts: {', '.join(SPLITS)}.")
    if len(raw.classes) < 2:
        raise DataError(
            f"{where}: {len(raw.classes)} class(es), at least 2 are needed",
            hint="Check the labels and the class names.",
        )
    repeated = [name for name, count in Counter(raw.classes).items() if count > 1]
    if repeated:
        raise DataError(
            f"{where}: the class {repeated[0]!r} is named twice", hint="Class names are unique."
        )
    if not raw.sample_shape or min(raw.sample_shape) < 1:
        raise DataError(
            f"{where}: samples have the shape {raw.sample_shape}",
            hint="A sample has at least one axis, channels first, and no axis of length 0.",
        )
    if raw.preprocess is not None:
        _check_preprocess(raw.preprocess, raw.sample_shape[0], where)
    for name, part in raw.parts.items():
        _check_labels(part, raw.classes, f"{where}, {name}", some=name == "train")
    _check_ids(raw.parts, where)


def check_classes(parts: Mapping[str, Part], classes: tuple[str, ...], where: str) -> None:
    """Check that every part but calibration has labelled samples of every class.

    Raises:
        DataError: a class is missing.
    """
    for name, part in parts.items():
        if name == "calibration":
            continue
        counts = np.bincount(part.targets[part.labelled], minlength=len(classes))
        absent = [classes[label] for label in np.flatnonzero(counts == 0)]
        if absent:
            names = ", ".join(absent[:5]) + (", ..." if len(absent) > 5 else "")
            raise DataError(
                f"{where}: the split {name} has no sample of class {names}",
                hint="Every split needs every class: add samples, or drop the class everywhere.",
            )


def check_batch(raw: Raw, ids: tuple[str, ...], shape: tuple[int, ...], where: str) -> None:
    """Check samples that were just read.

    Raises:
        DataError: wrong shape or type, NaN or infinity; the sample is named.
    """
    if raw.shape != (len(ids), *shape):
        raise DataError(
            f"{where}: the samples from {ids[0]!r} on have the shape {raw.shape}, "
            f"not {(len(ids), *shape)}",
            hint="All samples have one shape, channels first.",
        )
    if raw.dtype == np.uint8:
        return
    if raw.dtype != np.float32:
        raise DataError(
            f"{where}: samples are {raw.dtype}, not uint8 or float32",
            hint="Convert them in the source's reader.",
        )
    finite = np.isfinite(raw).reshape(len(ids), -1).all(axis=1)
    if not finite.all():
        first = int(np.argmin(finite))
        what = "NaN" if np.isnan(raw[first]).any() else "infinity"
        raise DataError(
            f"{where}: the sample {ids[first]!r} holds {what}",
            hint="Repair or remove it; networks cannot learn from it.",
        )


def _check_preprocess(preprocess: Preprocess, channels: int, where: str) -> None:
    lengths = {len(preprocess.mean), len(preprocess.std)}
    if not lengths <= {1, channels} or min(preprocess.std, default=0.0) <= 0.0:
        raise DataError(
            f"{where}: its preprocess does not fit samples of {channels} channel(s)",
            hint=f"mean and std have 1 or {channels} values, and every std is above 0.",
        )


def _check_labels(part: Part, classes: tuple[str, ...], where: str, *, some: bool) -> None:
    """Check the labels of a part, which need not all be there where ``some`` is enough."""
    targets = part.targets
    if len(targets) != len(part.ids):
        raise DataError(
            f"{where}: {len(part.ids)} samples but {len(targets)} labels",
            hint="Every sample needs exactly one label.",
        )
    if targets.ndim != 1 or targets.dtype.kind not in "iu":
        raise DataError(
            f"{where}: labels are {targets.dtype} of shape {targets.shape}",
            hint="Labels are class indices, int64 of shape (N,).",
        )
    lowest = UNLABELLED if some else 0
    outside = np.flatnonzero((targets < lowest) | (targets >= len(classes)))
    if len(outside):
        first = int(outside[0])
        raise DataError(
            f"{where}: the sample {part.ids[first]!r} has the label {targets[first]}, "
            f"outside 0 to {len(classes) - 1}",
            hint=f"There are {len(classes)} classes; labels count from 0. In train, "
            f"{UNLABELLED} stands for no label.",
        )


def _check_ids(parts: Mapping[str, Part], where: str) -> None:
    seen: dict[str, str] = {}
    for name, part in parts.items():
        for sample in part.ids:
            if sample in seen:
                places = name if seen[sample] == name else f"{seen[sample]} and {name}"
                raise DataError(
                    f"{where}: the id {sample!r} stands twice, in {places}",
                    hint="An id names one sample; splits must not overlap.",
                )
            seen[sample] = name
