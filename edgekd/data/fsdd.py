"""The Free Spoken Digit Dataset: 3,000 recordings of the digits by six speakers, at 8 kHz.

Z. Jackson et al., "Jakobovski/free-spoken-digit-dataset", Zenodo, 2018,
https://doi.org/10.5281/zenodo.1342401; CC BY-SA 4.0.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np

from edgekd.data.archive import archives_in, members
from edgekd.data.paths import folder, read_bytes
from edgekd.data.split import Part, RawData
from edgekd.data.wav import Recording, Waveforms, one_rate, parse, to_length, values_in
from edgekd.errors import DataError, UnknownNameError

_NAME = re.compile(r"(\d)_(\w+?)_(\d+)\.wav$")

#: Recordings of each digit and speaker that the publisher sets apart for testing: 0 to 4.
_TEST = 5

#: As ``validation_speaker``: whoever comes after ``speaker``.
_NEXT = "next"

Key = tuple[int, str, int]


def fsdd(
    root: str,
    seconds: float = 1.0,
    speaker: str | None = None,
    validation_speaker: str | None = None,
) -> RawData:
    """Return spoken digits as the input ``waveform``, (1, seconds * 8000) between -1 and 1.

    Ids are the files' names without ``.wav``. Columns: ``speaker``, and ``seconds``, the length of
    the recording before zeros were put behind it or its end was cut off.

    Args:
        root: a folder with ``fsdd_recordings.tar.xz`` or another archive of the recordings, or
            with the folder ``recordings`` as the publisher has it. Archives are read as they are.
        seconds: the length of every sample.
        speaker: the test split holds all of this speaker, and no other split does; default: the
            publisher's test split, recordings 0 to 4 of each digit and speaker.
        validation_speaker: the validation split holds all of this speaker that the test split does
            not, and the training and calibration splits hold none: what is chosen by it is chosen
            for voices that nobody heard. ``next``: the one after ``speaker``, in the order of
            their names. Default: validation is cut out of the training split.

    Raises:
        DataError: there are no recordings, or one is damaged; test and validation are to hold
            the same speaker, or ``next`` comes after nobody.
        UnknownNameError: there is no such speaker.
    """
    base = folder(root)
    recordings = _find(base)
    keys = sorted(recordings)
    validation = _speakers(sorted({name for _, name, _ in keys}), speaker, validation_speaker)
    names = {key: f"{key[0]}_{key[1]}_{key[2]}" for key in keys}
    rate = one_rate([recordings[key] for key in keys], [names[key] for key in keys])
    length = values_in(seconds, rate)
    found: dict[str, list[Key]] = {"train": [], "test": []}
    if validation is not None:
        found["validation"] = []
    for key in keys:
        tested = key[2] < _TEST if speaker is None else key[1] == speaker
        split = "test" if tested else "validation" if key[1] == validation else "train"
        found[split].append(key)
    parts = {split: _part(chosen, names, recordings, length) for split, chosen in found.items()}
    return RawData(
        parts,
        classes=tuple(str(digit) for digit in range(10)),
        sample_shape=(1, length),
        input="waveform",
        columns={
            "speaker": {names[key]: key[1] for key in keys},
            "seconds": {names[key]: f"{len(recordings[key].values) / rate:.3f}" for key in keys},
        },
    )


def _speakers(speakers: list[str], speaker: str | None, validation: str | None) -> str | None:
    """Check who is held out for what, and return who is for validation."""
    for name in (speaker, None if validation == _NEXT else validation):
        if name is not None and name not in speakers:
            raise UnknownNameError("speaker", name, speakers)
    if validation == _NEXT and speaker is not None:
        validation = speakers[(speakers.index(speaker) + 1) % len(speakers)]
    if validation is not None and validation in (speaker, _NEXT):
        raise DataError(
            f"data.validation_speaker is {validation!r}, data.speaker {speaker!r}",
            hint="Name two speakers; 'next' needs data.speaker.",
        )
    return validation


def _part(
    keys: list[Key], names: Mapping[Key, str], recordings: Mapping[Key, Recording], length: int
) -> Part:
    waveforms = np.stack([to_length(recordings[key], length) for key in keys])
    return Part(
        ids=tuple(names[key] for key in keys),
        targets=np.array([key[0] for key in keys], dtype=np.int64),
        reader=Waveforms(waveforms),
    )


def _find(base: Path) -> Mapping[Key, Recording]:
    """Return every recording below a folder, by digit, speaker and number."""
    for archive in archives_in(base):
        facts = archive.stat()
        found = _read_archive(archive, facts.st_mtime_ns, facts.st_size)
        if found:
            return found
    found = {}
    for path in sorted((base / "recordings" if (base / "recordings").is_dir() else base).iterdir()):
        match = _NAME.fullmatch(path.name)
        if match:
            found[_key(match)] = parse(read_bytes(path), str(path))
    if not found:
        raise DataError(
            f"no recordings of the Free Spoken Digit Dataset in {base}: looked for *.tar.xz, and "
            "for recordings/DIGIT_SPEAKER_NUMBER.wav",
            hint="Put fsdd_recordings.tar.xz there, or change data.root.",
        )
    return found


@lru_cache(maxsize=1)
def _read_archive(path: Path, _changed: int, _size: int) -> Mapping[Key, Recording]:
    """Return the recordings of an archive; decompressed once a process."""
    found = {}
    for name, data in members(path):
        match = _NAME.fullmatch(name.rpartition("/")[2])
        if match:
            found[_key(match)] = parse(data, f"{path}: {name}")
    return found


def _key(match: re.Match[str]) -> Key:
    return int(match[1]), match[2], int(match[3])
