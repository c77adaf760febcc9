"""Running a network with early exits: each sample as far as it takes to be sure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgekd.errors import EdgekdError, ModelFileError
from edgekd.records import TensorSpec
from edgekd.runtimes import RUNTIMES
from edgekd.runtimes.codec import decode, encode
from edgekd.runtimes.files import identify
from edgekd.runtimes.session import Session

Floats = NDArray[np.float32]

_RUNTIMES = {"tflite": "litert", "onnx": "onnxruntime", "executorch": "executorch"}
_LOGITS, _TRUNK = "logits", "trunk"

#: Samples a call, where the file leaves the size of a batch free.
_BATCH = 128


@dataclass(frozen=True, eq=False)
class Left:
    """What came out.

    Attributes:
        logits: (N, C) of the exit at which each sample left.
        exits: (N,) the numbers of those exits, from 1 on.
    """

    logits: Floats
    exits: NDArray[np.int64]


class EarlyExit:
    """The exits of one network, in order; a sample leaves at the first that is sure of it.

    Files may be whole exits (``edgekd export --exit all``): each begins with the sample, so what
    they have in common is computed again for a sample that goes on. Segments
    (``--exit segments``) go on from what the one before them gave.

    Args:
        files: as ``edgekd export`` made them, the network's own end last.
        threshold: leave where the largest softmax probability is at least this. At 0 every sample
            leaves at the first exit, above 1 none leaves early.
        threads: CPU threads of one operator.

    Raises:
        ModelFileError: a file cannot be read, or gives no logits.
        MissingExtraError: a runtime is not installed.
    """

    def __init__(
        self, files: Sequence[str | Path], threshold: float = 0.9, *, threads: int = 1
    ) -> None:
        """Load the files."""
        if not files or not threshold >= 0:
            raise EdgekdError("early exits need at least one file, and a threshold of at least 0")
        self.threshold = threshold
        self._steps = [_Step(Path(file), threads) for file in files]

    def run(self, samples: Floats) -> Left:
        """Run each sample as far as it takes.

        Args:
            samples: (N, *sample_shape) network input, channels first.

        Raises:
            ModelFileError: a file takes or gives something else.
        """
        rows = np.arange(len(samples))
        exits = np.zeros(len(samples), np.int64)
        found: Floats | None = None
        fed = samples
        for number, step in enumerate(self._steps, 1):
            logits, trunk = step(fed)
            if found is None:
                found = np.zeros((len(samples), logits.shape[1]), np.float32)
            last = number == len(self._steps)
            sure = np.full(len(rows), True) if last else confidence(logits) >= self.threshold
            found[rows[sure]], exits[rows[sure]] = logits[sure], number
            rows = rows[~sure]
            if not len(rows):
                break
            fed = samples[rows] if trunk is None else trunk[~sure]
        return Left(samples[:0].reshape(0, 0) if found is None else found, exits)

    def answers(self, samples: Floats) -> list[Floats]:
        """Return the logits (N, C) of every exit for all samples."""
        return list(self._answers(samples))

    def _answers(self, samples: Floats) -> Iterator[Floats]:
        fed = samples
        for step in self._steps:
            logits, trunk = step(fed)
            yield logits
            fed = samples if trunk is None else trunk


def confidence(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the largest softmax probability (N,) of logits (N, C).

    >>> confidence(np.array([[0.0, 0.0], [100.0, 0.0]])).tolist()
    [0.5, 1.0]
    """
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    found: NDArray[np.float64] = 1.0 / np.exp(shifted).sum(axis=1)
    return found


class _Step:
    """One file: logits, and the trunk that the next one takes where it gives it."""

    def __init__(self, path: Path, threads: int) -> None:
        kind = identify(path)
        self._path = path
        self._session: Session = RUNTIMES.resolve(_RUNTIMES[kind])(path, threads=threads)
        names = [spec.name for spec in self._session.outputs]
        if len(self._session.inputs) != 1 or _LOGITS not in names:
            raise ModelFileError(
                f"{path} is no exit: it takes {len(self._session.inputs)} inputs and gives "
                f"{', '.join(names)}",
                hint="Make the files with edgekd export --exit all, or --exit segments.",
            )
        self._logits = names.index(_LOGITS)
        self._trunk = names.index(_TRUNK) if _TRUNK in names else None
        given = self._session.inputs[0]
        # Images lie channels last in TFLite files, and what stands between segments does, too.
        nhwc = kind == "tflite" and len(given.shape) == 4
        self._input: TensorSpec = given.model_copy(update={"layout": "nhwc" if nhwc else None})

    def __call__(self, samples: Floats) -> tuple[Floats, Floats | None]:
        batch = self._input.shape[0] or _BATCH
        logits, trunks = [], []
        for start in range(0, len(samples), batch):
            chunk = samples[start : start + batch]
            missing = batch - len(chunk) if self._input.shape[0] else 0
            # A file of a fixed batch takes whole ones only; the filling is cut off again.
            full = np.concatenate([chunk, np.repeat(chunk[-1:], missing, axis=0)])
            outputs = self._session.run([encode(full, self._input)])
            logits.append(self._decoded(outputs, self._logits)[: len(chunk)])
            if self._trunk is not None:
                trunks.append(self._decoded(outputs, self._trunk)[: len(chunk)])
        return np.concatenate(logits), np.concatenate(trunks) if trunks else None

    def _decoded(self, outputs: Sequence[NDArray[np.generic]], index: int) -> Floats:
        return decode(outputs[index], self._session.outputs[index])
