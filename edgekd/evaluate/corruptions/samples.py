"""What the samples of a data set are, and which values they take."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgekd.data.split import Dataset, Raw
from edgekd.errors import DataError, UnknownNameError
from edgekd.evaluate.corruptions import CORRUPTIONS, KINDS, CorruptionRow
from edgekd.registry import Row

Floats = NDArray[np.float32]

#: Spectrograms of the form (..., T, F), as MLPerf Tiny's keyword spotting has them.
TIME_FIRST = "spectrogram-time-first"

#: What a user may say that samples are.
DECLARED = (*KINDS, TIME_FIRST)

#: Up to so many channels, samples (C, T) are taken for waveforms, with more for spectrograms.
_WAVE_CHANNELS = 16

#: The most training samples that ranges and deviations are taken from.
_LOOKED_AT = 2048


@dataclass(frozen=True, eq=False)
class Samples:
    """What the samples of a data set are.

    Attributes:
        kind: one of `KINDS`.
        low: the smallest value in the training split; 0 for uint8.
        high: the largest one.
        mean: of every value of a sample over the training split, (*sample_shape).
        deviation: likewise.
        time_axis: which axis of a spectrogram or waveform is time, counted from the end.
    """

    kind: str
    low: float
    high: float
    mean: Floats
    deviation: Floats
    time_axis: int = -1


def samples_of(dataset: Dataset, declared: str | None = None) -> dict[str, Samples]:
    """Look at the training split.

    Args:
        dataset: the data.
        declared: what samples are, one of `DECLARED`; None: guessed from shape alone, see
            `guess`. Of data with several inputs it is said of the first.

    Returns:
        What samples are as each of the data's inputs, by its name.

    Raises:
        UnknownNameError: there is no such kind.
        DataError: the samples cannot be of the kind.
    """
    if declared is not None and declared not in DECLARED:
        raise UnknownNameError("kind of sample", declared, DECLARED)
    part = dataset.splits["train"]
    chosen = np.unique(np.linspace(0, len(part) - 1, min(len(part), _LOOKED_AT)).astype(np.int64))
    first, *others = dataset.inputs or (dataset.input,)
    found = {first: _look_at(part.read(chosen), declared)}
    return found | {name: _look_at(part.read(chosen, name), None) for name in others}


def _look_at(raw: Raw, declared: str | None) -> Samples:
    shape = raw.shape[1:]
    kind = declared or guess(shape)
    axes = {"image": (3,), "waveform": (1, 2), "vector": (1,)}.get(kind, (2, 3))
    if len(shape) not in axes:
        raise DataError(f"samples of shape {shape} are no {kind}s", hint=_FORMS)
    values = raw.astype(np.float32)
    return Samples(
        kind="spectrogram" if kind == TIME_FIRST else kind,
        low=0.0 if raw.dtype == np.uint8 else float(values.min()),
        high=float(values.max()),
        mean=values.mean(axis=0, dtype=np.float64).astype(np.float32),
        deviation=values.std(axis=0, dtype=np.float64).astype(np.float32),
        time_axis=-2 if kind == TIME_FIRST else -1,
    )


_FORMS = (
    "Images are (C, H, W), waveforms (T,) or (C, T), spectrograms (F, T) or (C, F, T), "
    "vectors (F,)."
)


def guess(shape: tuple[int, ...]) -> str:
    """Return the kind of samples of a shape, as far as a shape can tell.

    A spectrogram with a channel axis looks like an image, and a waveform without one like a
    vector: those must be declared.

    Raises:
        DataError: no kind of sample has so many axes.

    >>> guess((3, 32, 32)), guess((1, 16000)), guess((40, 98)), guess((13,))
    ('image', 'waveform', 'spectrogram', 'vector')
    """
    if len(shape) not in (1, 2, 3):
        raise DataError(f"no corruption takes samples of shape {shape}", hint=_FORMS)
    if len(shape) == 2:
        return "waveform" if shape[0] <= _WAVE_CHANNELS else "spectrogram"
    return "vector" if len(shape) == 1 else "image"


def takes(row: Row) -> tuple[str, ...]:
    """Return the kinds of samples that a corruption is meant for; a plugin's may be all."""
    return row.takes if isinstance(row, CorruptionRow) else KINDS


def fitting(*kinds: str) -> tuple[str, ...]:
    """Return the names of the corruptions for samples of a kind, or of each of several kinds."""
    return tuple(row.name for row in CORRUPTIONS if set(kinds) <= set(takes(row)))


def choose(names: Iterable[str] | None, kinds: Iterable[str]) -> tuple[str, ...]:
    """Return the corruptions that are asked for, each once; by default all that fit.

    Args:
        names: of corruptions, or import paths.
        kinds: of samples, one for each input of the data; a corruption must fit them all.

    Raises:
        UnknownNameError: there is no such corruption.
        DataError: one does not fit the samples, or none is left.
    """
    kinds = tuple(dict.fromkeys(kinds))
    known = fitting(*kinds)
    data = " and ".join(f"{kind}s" for kind in kinds)
    chosen = tuple(dict.fromkeys(known if names is None else names))
    for name in chosen:
        if ":" not in name and not set(kinds) <= set(takes(CORRUPTIONS.row(name))):
            meant = " and ".join(f"{kind}s" for kind in takes(CORRUPTIONS.row(name)))
            raise DataError(
                f"the corruption {name!r} is for {meant}; the samples of this data are {data}",
                hint=f"For {data} there are: {', '.join(known) or 'none'}. If the samples are "
                f"something else, say so: --samples {'|'.join(DECLARED)}",
            )
    if not chosen:
        raise DataError(
            f"there is no corruption for {data}" if names is None else "no corruption is named",
            hint=f"For {data} there are: {', '.join(known) or 'none'}.",
        )
    return chosen


def side_of(image: Raw | Floats) -> int:
    """Return the shorter side of an image (C, H, W) in pixels."""
    return int(min(image.shape[-2:]))
