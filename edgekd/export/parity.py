"""Parity: does the file do what the network does? Asked of every file, on held-out samples.

A float file passes when every output value is within the tolerance: ``|file - model| <=
tolerance * max(1, |model|)``, for every sample and every batch size tried.

A quantized file passes when its accuracy is at most ``max_drop`` percentage points below the
network's (one sample may always differ), and its outputs still resemble the network's: the
signal-to-noise ratio ``10 log10(sum model^2 / sum (file - model)^2)`` has a floor. Without labels
the floor alone decides, and is higher.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgekd.errors import ModelFileError
from edgekd.export.ports import Arrays
from edgekd.export.prepare import count
from edgekd.metrics.classification import accuracy, agreement
from edgekd.quantize.schemes import Scheme
from edgekd.records import Parity

Floats = NDArray[np.float32]
#: All samples run in batches of this size, and a few in others, where the file leaves it free.
BATCH = 32
PROBED = (1, 7)

#: With labels the floor catches a file that computes something else than a poor network does;
#: noise of more than half the signal is no rounding. Int8 files are at 20 to 45 dB.
SNR_FLOOR = 5.0
SNR_FLOOR_UNLABELLED = 15.0


@dataclass(frozen=True)
class HeldOut:
    """Samples that neither training nor calibration has seen.

    Attributes:
        inputs: network inputs ``(n, *shape)`` by name.
        ids: one name a sample.
        targets: class indices ``(n,)``, or None without labels.
        source: where they came from, e.g. ``validation``.
    """

    inputs: Arrays
    ids: tuple[str, ...]
    targets: NDArray[np.int64] | None
    source: str


@dataclass(frozen=True)
class Limits:
    """What is still taken for equal.

    Attributes:
        tolerance: of a float file; see the module's docstring.
        max_drop: of a quantized file, in percentage points of accuracy.
    """

    tolerance: float = 1e-4
    max_drop: float = 1.0


@dataclass(frozen=True)
class _Worst:
    """The largest error and where it stands."""

    absolute: float
    relative: float
    output: int
    sample: int


@dataclass(frozen=True, eq=False)
class Comparison:
    """The same samples through network and file.

    Attributes:
        reference: the network's outputs ``(n, ...)``.
        outputs: the file's.
        batch: how many samples the file took at once.
        length: the size of the axis that is free beside the batch; None: that of the samples.
    """

    reference: Sequence[Floats]
    outputs: Sequence[Floats]
    batch: int
    length: int | None = None


def judge(
    comparisons: Sequence[Comparison],
    held_out: HeldOut,
    *,
    names: Sequence[str],
    scheme: Scheme,
    limits: Limits,
    runtime: str,
) -> Parity:
    """Say whether a file does what its network does.

    Args:
        comparisons: all samples first, which scores are taken of; then the first few of them, in
            other batch sizes or lengths.
        held_out: the samples.
        names: the names of the outputs.
        scheme: how the file is quantized.
        limits: what is still taken for equal.
        runtime: name and version of what ran the file.

    Returns:
        The record, passed or not.

    Raises:
        ModelFileError: an output of the file has another shape than the network's.
    """
    reference, outputs = comparisons[0].reference, comparisons[0].outputs
    worst = max(
        (_worst(one.reference, one.outputs) for one in comparisons), key=lambda one: one.relative
    )
    finite = math.isfinite(worst.relative)  # scores of NaN would mean nothing
    parity = Parity(
        passed=True,
        samples=count(held_out.inputs),
        sample_source=held_out.source,
        tolerance=None if scheme.lossy else limits.tolerance,
        max_drop=limits.max_drop if scheme.lossy else None,
        max_abs_error=_finite(worst.absolute),
        max_rel_error=_finite(worst.relative),
        snr_db=_snr(reference, outputs),
        worst_output=names[worst.output],
        worst_sample=held_out.ids[worst.sample],
        batch_sizes=tuple(sorted({one.batch for one in comparisons})),
        lengths=tuple(sorted({one.length for one in comparisons if one.length is not None})),
        runtime=runtime,
        **(_scores(reference[0], outputs[0], held_out.targets) if finite else {}),
    )
    message = _verdict(parity, worst, scheme, limits)
    return parity.model_copy(update={"passed": not message, "message": message})


def _verdict(parity: Parity, worst: _Worst, scheme: Scheme, limits: Limits) -> str:
    """Return what is wrong, or nothing."""
    where = (
        f"output {parity.worst_output!r} is off by {parity.max_abs_error:.3g} "
        f"on sample {parity.worst_sample!r}"
    )
    if not math.isfinite(worst.relative):
        return f"output {parity.worst_output!r} is NaN or infinite on {parity.worst_sample!r}"
    if not scheme.lossy:
        fine = worst.relative <= limits.tolerance
        return "" if fine else f"{where}; the tolerance is {limits.tolerance:g}"
    before, after = parity.accuracy_model, parity.accuracy_file
    floor = SNR_FLOOR_UNLABELLED
    if before is not None and after is not None:
        floor = SNR_FLOOR
        lost = round((before - after) * parity.samples)
        if lost > max(1.0, limits.max_drop / 100 * parity.samples):
            return (
                f"accuracy falls from {before:.2%} to {after:.2%}, more than "
                f"{limits.max_drop:g} points; {where}"
            )
    if parity.snr_db is not None and parity.snr_db < floor:
        return (
            f"the outputs' signal-to-noise ratio is {parity.snr_db:.1f} dB, "
            f"below {floor:g} dB; {where}"
        )
    return ""


def _scores(
    reference: Floats, output: Floats, targets: NDArray[np.int64] | None
) -> dict[str, float]:
    """Return agreement, and accuracy where there are labels, of class scores ``(n, C)``."""
    if reference.ndim != 2 or reference.shape[1] < 2:
        return {}
    scores = {"agreement": agreement(reference, output)}
    if targets is not None:
        scores["accuracy_model"] = accuracy(reference, targets)
        scores["accuracy_file"] = accuracy(output, targets)
    return scores


def _worst(reference: Sequence[Floats], outputs: Sequence[Floats]) -> _Worst:
    found = []
    for index, (model, file) in enumerate(zip(reference, outputs, strict=True)):
        if model.shape != file.shape:
            raise ModelFileError(
                f"output {index} of the file has shape {file.shape}, the network's {model.shape}"
            )
        # float64: the difference itself must not be rounded. NaN counts as infinitely far.
        wide = model.astype(np.float64)
        error = np.abs(np.where(np.isfinite(file), file, np.inf) - wide)
        relative = (error / np.maximum(1.0, np.abs(wide))).reshape(len(model), -1)
        sample = int(relative.max(axis=1).argmax())
        found.append(_Worst(float(error.max()), float(relative.max()), index, sample))
    return max(found, key=lambda worst: worst.relative)


def _finite(value: float) -> float:
    """Records hold no infinity; the largest float stands for it, and the message says so."""
    return min(value, float(np.finfo(np.float64).max))


def _snr(reference: Sequence[Floats], outputs: Sequence[Floats]) -> float | None:
    """Return the signal-to-noise ratio in dB over all outputs; None without any noise."""
    pairs = [(m.astype(np.float64), f) for m, f in zip(reference, outputs, strict=True)]
    signal = sum(float((model**2).sum()) for model, _ in pairs)
    noise = sum(float(((file - model) ** 2).sum()) for model, file in pairs)
    if not math.isfinite(noise) or noise == 0.0:
        return None
    # A network that gives zeros only has no signal: any noise is then far below the floor.
    return 10 * math.log10(max(signal, 1e-300) / noise)
