"""From plain arrays ``x_train, y_train, ...`` to `RawData`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from edgekd.data.split import SPLITS, Part, RawData
from edgekd.errors import DataError

LAYOUTS = ("auto", "chw", "hwc")


def from_arrays(arrays: Mapping[str, Any], *, where: str, layout: str = "chw") -> RawData:
    """Make data of arrays in memory.

    Args:
        arrays: ``x_train`` (N, ...) and ``y_train`` (N,), the same for ``calibration``,
            ``validation`` and ``test`` where there are such, and ``classes``, the names.
        where: what the arrays came from, for messages.
        layout: ``chw``: samples are channels first and stay as they are. ``hwc``: images with
            channels last. ``auto``: as ``chw``, but images without a channel axis, (N, H, W),
            get one, and arrays that look channels last are refused.

    uint8 stays; any other number becomes float32.

    Raises:
        DataError: an array is missing, or cannot be samples or labels.
    """
    _check_keys(arrays, where)
    parts: dict[str, Part] = {}
    shape: tuple[int, ...] = ()
    for name in SPLITS:
        if f"x_{name}" not in arrays:
            continue
        samples = _samples(np.asarray(arrays[f"x_{name}"]), f"{where}: x_{name}", layout)
        targets = labels(arrays[f"y_{name}"], f"{where}: y_{name}")
        if len(samples) != len(targets):
            raise DataError(
                f"{where}: x_{name} has {len(samples)} samples, y_{name} {len(targets)} labels",
                hint="Every sample needs one label: the first axes must be equally long.",
            )
        parts[name] = array_part(samples, targets, prefix=name)
        shape = shape or samples.shape[1:]
    return RawData(parts, _classes(arrays.get("classes"), parts), shape)


def array_part(
    samples: npt.NDArray[np.generic], targets: npt.NDArray[np.int64], *, prefix: str
) -> Part:
    """Return a part over an array; ids are ``PREFIX/00042``."""
    return Part(
        ids=tuple(f"{prefix}/{i:05d}" for i in range(len(samples))),
        targets=targets,
        reader=lambda indices: samples[indices],
    )


def labels(values: Any, where: str) -> npt.NDArray[np.int64]:
    """Return labels as int64 (N,); a column (N, 1) counts as such.

    Raises:
        DataError: they are not whole numbers, or not one a sample.
    """
    array = np.asarray(values)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise DataError(
            f"{where}: labels have the shape {array.shape}, not (N,)",
            hint="One class index a sample. Of one-hot labels, save labels.argmax(1).",
        )
    if array.dtype.kind not in "iu":
        raise DataError(
            f"{where}: labels are {array.dtype}, not whole numbers",
            hint="Labels are class indices 0, 1, 2, ...: convert them to int64.",
        )
    return array.astype(np.int64)


def _check_keys(arrays: Mapping[str, Any], where: str) -> None:
    allowed = {f"{axis}_{name}" for axis in "xy" for name in SPLITS}
    unknown = sorted(set(arrays) - allowed - {"classes"})
    if unknown:
        raise DataError(
            f"{where}: unknown array {unknown[0]!r}",
            hint=f"Known: {', '.join(sorted(allowed))}, classes.",
        )
    present = [name for name in SPLITS if f"x_{name}" in arrays or f"y_{name}" in arrays]
    for name in ("train", *present):
        for key in (f"x_{name}", f"y_{name}"):
            if key not in arrays:
                raise DataError(
                    f"{where}: there is no array {key!r}",
                    hint="x_train and y_train are needed; other parts come in pairs too.",
                )


def _samples(array: npt.NDArray[Any], where: str, layout: str) -> npt.NDArray[np.generic]:
    if layout not in LAYOUTS:
        raise DataError(f"unknown layout {layout!r}", hint=f"Known: {', '.join(LAYOUTS)}.")
    if array.dtype.kind not in "biuf" or array.ndim < 2:
        raise DataError(
            f"{where} is {array.dtype} of shape {array.shape}, not numbers of shape (N, ...)",
            hint="Samples are numeric, with at least one axis besides the first.",
        )
    if layout == "auto":
        array = array[:, None] if array.ndim == 3 else array
        if array.ndim == 4 and array.shape[3] in (1, 3) and array.shape[1] not in (1, 3):
            raise DataError(
                f"{where} of shape {array.shape} looks channels last",
                hint='Set data.layout to "hwc" if it is, else to "chw".',
            )
    if layout == "hwc":
        if array.ndim != 4:
            raise DataError(
                f"{where} of shape {array.shape} cannot have the layout hwc",
                hint="hwc is for images (N, H, W, C); leave data.layout out.",
            )
        array = np.moveaxis(array, 3, 1)
    if array.dtype == np.uint8:
        return array
    # float64 beyond float32's range becomes Inf here, which the check of the inputs then names.
    with np.errstate(over="ignore"):
        return array.astype(np.float32)


def _classes(names: Any, parts: Mapping[str, Part]) -> tuple[str, ...]:
    if names is not None:
        return tuple(str(name) for name in np.asarray(names).ravel())
    highest = max((int(part.targets.max()) for part in parts.values() if len(part)), default=-1)
    return tuple(str(label) for label in range(highest + 1))
