"""Test samples on their way to a device, and its answers on their way back, piece by piece.

Neither side ever holds the whole split: samples are read, coded and sent a few megabytes at a
time. Answers that have come back stay in a folder until the file is measured, so that a device
that vanishes, or a measurement that is interrupted, goes on where it was.
"""

from __future__ import annotations

import json
import math
import shutil
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from edgekd.bench.testset import Indices, TestSet
from edgekd.errors import MeasurementError
from edgekd.records import TensorSpec
from edgekd.runtimes.codec import encode
from edgekd.storage import atomic_file, atomic_write, sha256_bytes

#: Bytes of the float32 samples of one piece: what this process and the agent hold at once.
PIECE_BYTES = 8_000_000
#: Bytes of coded samples that lie on the device at once. One process runs them: where starting
#: it takes seconds, as under emulation, a process a piece would cost more than the samples.
GROUP_BYTES = 64_000_000

_IDENTITY = "runtime.json"


@dataclass(frozen=True, eq=False)
class Samples:
    """Test samples for one file.

    Attributes:
        test: the split that they are of.
        chosen: which of them, ascending.
        spec: the input of the file.
        piece_bytes: see `PIECE_BYTES`.
        group_bytes: see `GROUP_BYTES`.
    """

    test: TestSet
    chosen: Indices
    spec: TensorSpec
    piece_bytes: int = PIECE_BYTES
    group_bytes: int = GROUP_BYTES

    @property
    def at_once(self) -> int:
        """The number of samples of one piece; whole batches, where the file has a fixed one."""
        # Coding passes through float32 and float64, however small the file's own numbers are.
        fit = self.piece_bytes // (4 * max(math.prod(self.test.sample_shape), 1))
        batch = self.spec.shape[0] or 1
        return max(batch, fit // batch * batch)

    @property
    def pieces(self) -> list[Indices]:
        """The samples of each piece."""
        size = self.at_once
        return [self.chosen[start : start + size] for start in range(0, len(self.chosen), size)]

    @property
    def pieces_in_group(self) -> int:
        """The number of pieces that one process on the device is given."""
        sample = np.dtype(self.spec.dtype).itemsize * max(math.prod(self.test.sample_shape), 1)
        return max(1, self.group_bytes // (sample * self.at_once))

    def write(self, piece: Indices, path: Path) -> None:
        """Write the samples of a piece as the file wants them."""
        # The agent removes what it has run. A transport that sends equal contents only once would
        # otherwise take a later file's equal piece for one that is still there.
        unique = np.frombuffer(uuid4().bytes, np.uint8)
        np.savez(path, input_0=encode(self.test.read(piece), self.spec), unique=unique)

    def write_one(self, path: Path) -> None:
        """Write the input that latency is measured with."""
        batch = self.spec.shape[0] or 1
        # A file of a fixed batch is timed on it: one inference is one call.
        wanted = np.minimum(np.arange(batch), len(self.chosen) - 1)
        np.savez(path, sample_0=encode(self.test.read(self.chosen[wanted]), self.spec))

    def key(self) -> str:
        """Return what stands for the samples, their coding and how they are cut."""
        known = json.dumps([self.test.sha256, self.spec.model_dump(mode="json"), self.at_once])
        return sha256_bytes(known.encode() + self.chosen.tobytes())


class Answers:
    """What a device has answered so far, in a folder: one .npz a piece.

    Args:
        folder: made when the first answers come; `discard` removes it.
        samples: what was asked.
    """

    def __init__(self, folder: Path, samples: Samples) -> None:
        """Find out what is there already."""
        self.folder = folder
        self.samples = samples
        self.pieces = samples.pieces

    def missing(self) -> list[int]:
        """Return the numbers of the pieces that there are no answers to yet."""
        return [number for number in range(len(self.pieces)) if not self._path(number).is_file()]

    def belong_to(self, identity: Mapping[str, Any]) -> bool:
        """Say who answers; answers of another runtime, left by an earlier call, are dropped.

        Args:
            identity: the runtime, its version, the machine.

        Returns:
            whether what was there was kept.
        """
        path, text = self.folder / _IDENTITY, json.dumps(dict(identity), sort_keys=True)
        try:
            if path.read_text(encoding="utf-8") == text:
                return True
        except OSError:
            pass
        self.discard()
        atomic_write(path, text)
        return False

    def add(self, number: int, fetched: Path) -> None:
        """Keep the answers to a piece.

        Args:
            number: of the piece.
            fetched: the agent's .npz; it is copied.

        Raises:
            MeasurementError: it cannot be read, or answers to another number of samples.
        """
        wrong = [y.shape for y in _read(fetched).values() if len(y) != len(self.pieces[number])]
        if wrong:
            asked = len(self.pieces[number])
            raise MeasurementError(f"the device answered {wrong[0][0]} samples, not {asked}")
        with atomic_file(self._path(number)) as temporary:
            shutil.copyfile(fetched, temporary)

    def __iter__(self) -> Iterator[tuple[Indices, dict[str, NDArray[Any]]]]:
        """Yield the samples of each piece and the answers to them, in order."""
        for number, piece in enumerate(self.pieces):
            yield piece, _read(self._path(number))

    def discard(self) -> None:
        """Remove the folder, and the one around it if nothing else is in it."""
        shutil.rmtree(self.folder, ignore_errors=True)
        try:
            self.folder.parent.rmdir()
        except OSError:
            pass

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:05d}.npz"


def groups(numbers: Sequence[int], size: int) -> list[list[int]]:
    """Cut numbers into lists of at most ``size``.

    >>> groups([1, 2, 3], 2)
    [[1, 2], [3]]
    """
    return [list(numbers[start : start + size]) for start in range(0, len(numbers), size)]


def _read(path: Path) -> dict[str, NDArray[Any]]:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as found:
            return {name: found[name] for name in found.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise MeasurementError(f"the device's answers cannot be read: {error}") from error
