"""WAV files of whole numbers (PCM), as arrays of one channel and one length."""

from __future__ import annotations

import io
import wave
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgekd.data.split import Indices, Raw
from edgekd.errors import DataError


@dataclass(frozen=True, eq=False)
class Recording:
    """One recording.

    Attributes:
        values: (length,) int16; several channels are averaged.
        rate: values a second.
    """

    values: npt.NDArray[np.int16]
    rate: int


def parse(data: bytes, name: str) -> Recording:
    """Return what a WAV file of 8, 16, 24 or 32 bits holds, in 16 bits.

    Args:
        data: the file's bytes.
        name: what to call the file in messages.

    Raises:
        DataError: the bytes are no whole PCM WAV file, or it holds no sound.
    """
    try:
        with wave.open(io.BytesIO(data)) as file:
            channels, width, rate = file.getnchannels(), file.getsampwidth(), file.getframerate()
            count = file.getnframes()
            frames = file.readframes(count)
    except (wave.Error, EOFError, ValueError, RuntimeError) as error:
        raise DataError(
            f"{name} is not a readable WAV file: {error or 'it ends too early'}",
            hint="It must be PCM (whole numbers): convert it, e.g. with sox or ffmpeg.",
        ) from error
    if not count or len(frames) != count * channels * width or width not in (1, 2, 3, 4):
        what = "holds no sound" if not count else "is cut short, or of an unknown width"
        raise DataError(f"{name} {what}", hint="Fetch or copy it again, or remove it.")
    values = _sixteen_bits(frames, width).reshape(-1, channels)
    if channels > 1:
        values = np.round(values.mean(axis=1)).astype(np.int16)[:, None]
    return Recording(values[:, 0], rate)


def _sixteen_bits(frames: bytes, width: int) -> npt.NDArray[np.int16]:
    """Return the highest 16 bits of little-endian values; 8-bit values are unsigned."""
    if width == 1:
        return ((np.frombuffer(frames, np.uint8).astype(np.int16) - 128) << 8).astype(np.int16)
    octets = np.frombuffer(frames, np.uint8).reshape(-1, width)
    return np.ascontiguousarray(octets[:, -2:]).view("<i2")[:, 0].astype(np.int16)


def one_rate(recordings: Sequence[Recording], names: Sequence[str]) -> int:
    """Return the rate that all recordings have.

    Raises:
        DataError: two differ, or there are none.
    """
    if not recordings:
        raise DataError("there are no recordings", hint="Check data.root.")
    for recording, name in zip(recordings, names, strict=True):
        if recording.rate != recordings[0].rate:
            raise DataError(
                f"{name} has {recording.rate} values a second, {names[0]} {recordings[0].rate}",
                hint="Bring all recordings to one rate first, e.g. with sox or ffmpeg.",
            )
    return recordings[0].rate


def values_in(seconds: float, rate: int) -> int:
    """Return how many values a waveform of so many seconds has.

    Raises:
        DataError: it would have none.
    """
    length = round(seconds * rate)
    if length < 1:
        raise DataError(f"data.seconds is {seconds!r}", hint="Give a length above 0.")
    return length


def to_length(recording: Recording, length: int) -> npt.NDArray[np.int16]:
    """Return (length,): zeros behind a shorter recording, the beginning of a longer one."""
    found = np.zeros(length, dtype=np.int16)
    values = recording.values[:length]
    found[: len(values)] = values
    return found


class Waveforms:
    """Reads samples (n, 1, length) float32 between -1 and 1 out of 16-bit waveforms in memory.

    Args:
        waveforms: (N, length) int16.
    """

    def __init__(self, waveforms: npt.NDArray[np.int16]) -> None:
        """Store the waveforms."""
        self.waveforms = waveforms

    def __call__(self, indices: Indices) -> Raw:
        """Return the samples of these indices."""
        scaled: Raw = self.waveforms[indices][:, None].astype(np.float32) / np.float32(32768)
        return scaled
