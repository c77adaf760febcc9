"""Recordings in folders that are named after their classes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from edgekd.data.class_folders import ByClass, find
from edgekd.data.paths import folder, read_bytes
from edgekd.data.split import Part, RawData
from edgekd.data.wav import Recording, Waveforms, one_rate, parse, to_length, values_in

SUFFIXES = frozenset({".wav"})


def audio_folder(root: str, seconds: float = 1.0) -> RawData:
    """Find ``root/train/CLASS/*.wav`` and, where present, validation (or val) and test.

    Samples are the input ``waveform``, (1, seconds * rate) between -1 and 1, kept in memory in 16
    bits. Parts that are not there are cut out of train. Ids are paths relative to ``root``. The
    column ``seconds`` is the length of the recording before zeros were put behind it or its end
    was cut off.

    Args:
        root: the folder.
        seconds: the length of every sample.

    Raises:
        DataError: no recordings, unknown classes, a damaged file, or rates that differ.
    """
    base = folder(root)
    splits = find(base, SUFFIXES, "recordings")
    paths = [path for by_class in splits.values() for found in by_class.values() for path in found]
    recordings = {path: parse(read_bytes(path), str(path)) for path in paths}
    rate = one_rate(list(recordings.values()), [str(path) for path in recordings])
    length = values_in(seconds, rate)
    classes = tuple(sorted(splits["train"]))
    return RawData(
        parts={
            name: _part(base, by_class, classes, recordings, length)
            for name, by_class in splits.items()
        },
        classes=classes,
        sample_shape=(1, length),
        input="waveform",
        columns={
            "seconds": {
                _id(base, path): f"{len(recording.values) / rate:.3f}"
                for path, recording in recordings.items()
            }
        },
    )


def _id(base: Path, path: Path) -> str:
    return path.relative_to(base).as_posix()


def _part(
    base: Path,
    by_class: ByClass,
    classes: tuple[str, ...],
    recordings: Mapping[Path, Recording],
    length: int,
) -> Part:
    labelled = [(path, classes.index(name)) for name, found in by_class.items() for path in found]
    return Part(
        ids=tuple(_id(base, path) for path, _ in labelled),
        targets=np.array([label for _, label in labelled], dtype=np.int64),
        reader=Waveforms(np.stack([to_length(recordings[path], length) for path, _ in labelled])),
    )
