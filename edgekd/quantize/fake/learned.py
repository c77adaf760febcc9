"""Ranges that training ended with, given to the tensors of a file.

A converter renames, splits and fuses, so names lead nowhere. What a tensor *is* shows in its
values: on the same samples, the float network and the float file compute the same numbers, and
two tensors with equal smallest and largest value are one, in whatever order they lie in memory.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from torch import Tensor

from edgekd.quantize.fake.network import FakeQuantized

Range = tuple[float, float]

#: How far two ends may be apart, in shares of the range: rounding of float32 alone.
_TOLERANCE = 1e-4


@dataclass(frozen=True)
class LearnedRanges:
    """What training made of the ranges of activations.

    Attributes:
        pairs: for each, the range that the float network has on the calibration samples, and the
            learned one.
    """

    pairs: tuple[tuple[Range, Range], ...]

    def instead_of(self, low: float, high: float) -> Range | None:
        """Return the learned range of a tensor; None where no such tensor was trained.

        Where several of one range were trained, the widest counts.

        >>> ranges = LearnedRanges((((-1.0, 3.0), (-0.5, 2.5)),))
        >>> ranges.instead_of(-1.0, 3.0), ranges.instead_of(-1.0, 2.0)
        ((-0.5, 2.5), None)

        Args:
            low: the smallest value on the calibration samples.
            high: the largest.
        """
        near = _TOLERANCE * (high - low)
        found = [
            learned
            for (least, most), learned in self.pairs
            if abs(least - low) <= near and abs(most - high) <= near
        ]
        if not found:
            return None
        return min(low for low, _ in found), max(high for _, high in found)

    def applied(self, ranges: Mapping[str, Range]) -> dict[str, Range]:
        """Return the ranges of a file's tensors, by name, with the learned ones in their place.

        Args:
            ranges: by min-max calibration, on the samples that `learned_ranges` was given.
        """
        return {
            name: self.instead_of(low, high) or (low, high) for name, (low, high) in ranges.items()
        }


def learned_ranges(network: FakeQuantized, batches: Iterable[Tensor]) -> LearnedRanges:
    """Pair every learned range with the one that calibration gives.

    Args:
        network: trained; stays as it is.
        batches: the calibration samples that the file's quantizer will see, as network input.
    """
    seen = copy.deepcopy(network)
    seen.calibrate(batches)
    calibrated = zip(seen.low.tolist(), seen.high.tolist(), strict=True)
    learned = zip(network.low.tolist(), network.high.tolist(), strict=True)
    return LearnedRanges(tuple(zip(calibrated, learned, strict=True)))
