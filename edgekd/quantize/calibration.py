"""Which samples set the ranges of a quantized file: the calibration split, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from edgekd.data.split import Dataset
from edgekd.errors import DataError, ExportError
from edgekd.records import Calibration
from edgekd.storage import sha256_bytes

SPLIT = "calibration"

Method = Literal["min-max", "percentile", "mse"]

#: Ranges are the smallest and largest value seen; more samples only widen them.
MIN_MAX: Method = "min-max"
METHODS: tuple[Method, ...] = get_args(Method)


class Learned(Protocol):
    """Ranges that were trained; see `edgekd.quantize.fake.learned.LearnedRanges`."""

    def instead_of(self, low: float, high: float) -> tuple[float, float] | None:
        """Return the trained range of the tensor with this range, or None."""
        ...


@dataclass(frozen=True)
class CalibrationPlan:
    """How the ranges of activations are set.

    Attributes:
        method: ``min-max``: the smallest and largest value seen. ``percentile``: what leaves
            out the same share of the values at both ends. ``mse``: what makes the mean squared
            error of rounding and clipping smallest.
        samples: take at most this many.
        percentile: the share of values inside the range, in percent.
        learned: ranges that training found; they go before any method.
    """

    method: Method = MIN_MAX
    samples: int = 512
    percentile: float = 99.99
    learned: Learned | None = None

    def __post_init__(self) -> None:
        """Refuse what no range can be set by."""
        if self.method not in METHODS:
            raise ExportError(
                f"there is no calibration method {self.method!r}", hint=f"One of {METHODS}."
            )
        if not 50.0 < self.percentile <= 100.0:
            raise ExportError(
                f"the percentile of calibration must be above 50 and at most 100, "
                f"not {self.percentile:g}"
            )
        if self.samples < 1:
            raise ExportError(f"calibration needs 1 sample or more, not {self.samples}")

    @property
    def is_default(self) -> bool:
        """Whether ranges are set as nothing else was asked for."""
        return self.method == MIN_MAX


def calibration_part(
    dataset: Dataset, plan: CalibrationPlan, seed: int
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Return which samples of the calibration split to use: their indices and their names.

    Args:
        dataset: its calibration split is used.
        plan: how many at most, drawn with the seed.
        seed: decides which.

    Raises:
        DataError: the split is empty.
    """
    part = dataset.splits[SPLIT]
    if len(part) == 0:
        raise DataError(
            "the calibration split is empty: nothing sets the ranges of an int8 file",
            hint="Set data.split.calibration to 128 or more.",
        )
    chosen = np.arange(len(part))
    if len(part) > plan.samples:
        chosen = np.sort(np.random.default_rng(seed).choice(len(part), plan.samples, replace=False))
    return chosen, tuple(part.ids[index] for index in chosen)


def record_of(plan: CalibrationPlan, ids: Sequence[str], split: str, seed: int) -> Calibration:
    """Return the record of a calibration on these samples."""
    return Calibration(
        split=split,
        samples=len(ids),
        seed=seed,
        method=plan.method,
        percentile=plan.percentile if plan.method == "percentile" else None,
        ids_sha256=sha256_bytes("\n".join(ids).encode()),
    )


def check_finite(samples: NDArray[Any], ids: Sequence[str], name: str = "input") -> None:
    """Refuse NaN and infinity: one such value would make every range useless.

    Raises:
        DataError: names the first sample at fault.
    """
    bad = ~np.isfinite(samples).reshape(len(samples), -1).all(axis=1)
    if bad.any():
        raise DataError(
            f"{name} of the calibration sample {ids[int(bad.argmax())]!r} holds NaN or infinity",
            hint="Take it out of the data, or repair it.",
        )
