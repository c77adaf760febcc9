"""Which samples set the ranges of a quantized file: the calibration split, and nothing else."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgekd.data.split import Dataset
from edgekd.errors import DataError
from edgekd.records import Calibration
from edgekd.storage import sha256_bytes

SPLIT = "calibration"

#: Ranges are the smallest and largest value seen; more samples only widen them.
METHOD = "min-max"


def calibration_samples(
    dataset: Dataset, *, limit: int = 512, seed: int = 0
) -> tuple[NDArray[np.float32], Calibration]:
    """Return samples to calibrate with, and the record that says which they were.

    Args:
        dataset: its calibration split is used.
        limit: take at most this many, drawn with the seed.
        seed: decides which.

    Returns:
        Network input ``(n, *sample_shape)`` and the record.

    Raises:
        DataError: the split is empty, or a sample is not finite.
    """
    part = dataset.splits[SPLIT]
    if len(part) == 0:
        raise DataError(
            "the calibration split is empty: nothing sets the ranges of an int8 file",
            hint="Set data.split.calibration to 128 or more.",
        )
    chosen = np.arange(len(part))
    if len(part) > limit:
        chosen = np.sort(np.random.default_rng(seed).choice(len(part), limit, replace=False))
    ids = [part.ids[index] for index in chosen]
    samples = dataset.normalised(SPLIT, chosen)
    check_finite(samples, ids)
    record = Calibration(
        split=SPLIT,
        samples=len(ids),
        seed=seed,
        method=METHOD,
        ids_sha256=sha256_bytes("\n".join(ids).encode()),
    )
    return samples, record


def check_finite(samples: NDArray[np.float32], ids: list[str]) -> None:
    """Refuse NaN and infinity: one such value would make every range useless.

    Raises:
        DataError: names the first sample at fault.
    """
    bad = ~np.isfinite(samples).reshape(len(samples), -1).all(axis=1)
    if bad.any():
        raise DataError(
            f"calibration sample {ids[int(bad.argmax())]!r} holds NaN or infinity",
            hint="Take it out of the data, or repair it.",
        )
