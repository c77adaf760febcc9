"""How a network, a file, or what a run wrote down answers the samples of a split."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edgekd.data.split import Dataset
from edgekd.errors import DataError, RunError
from edgekd.evaluate.files import feed, load_file, run_alone
from edgekd.metrics.probabilities import logits_of, looks_like_probabilities
from edgekd.records import TensorSpec
from edgekd.runtimes.session import Session

if TYPE_CHECKING:
    from torch import nn

Logits = NDArray[np.floating[Any]]
Floats = NDArray[np.float32]
View = Callable[[Dataset], Dataset]

#: Samples that are read and run at once.
BATCH = 256

#: Samples that a process of its own is started for.
_ALONE_BATCH = 4096


class Answers(Protocol):
    """Gives logits in the order of the data's classes.

    Attributes:
        live: it runs anew on whatever samples it is given; what was written down does not.
        runtime: what runs it, with its version; known after the first answer.
        notes: what to know of its answers.
    """

    live: bool
    runtime: str | None
    notes: tuple[str, ...]

    def logits(self, dataset: Dataset, split: str) -> Logits:
        """Return logits (N, C) of every sample of a split, in the split's order.

        Args:
            dataset: as `edgekd.data.load.load_dataset` gives it; each takes its own view of it.
            split: its name.

        Raises:
            EdgekdError: it cannot answer.
        """
        ...


class NetworkAnswers:
    """A network that PyTorch runs.

    Args:
        model: the network, in eval mode.
        view: the data as it sees it.
        columns: which of its outputs stands for each class; None: all, as they are.
        probabilities: it gives probabilities.
    """

    live = True

    def __init__(
        self,
        model: nn.Module,
        view: View,
        *,
        columns: Sequence[int] | None = None,
        probabilities: bool = False,
    ) -> None:
        """Store the network."""
        import torch

        self.model = model.eval()
        self.view = view
        self.runtime: str | None = f"torch {torch.__version__}"
        self.notes: tuple[str, ...] = ()
        self._columns = None if columns is None else list(columns)
        self._probabilities = probabilities

    def logits(self, dataset: Dataset, split: str) -> Logits:
        """Return logits (N, C) of a split; see `Answers`."""
        import torch

        seen = self.view(dataset)
        chunks = []
        with torch.no_grad():
            for indices in seen.splits[split].batches(BATCH):
                found = self.model(torch.from_numpy(seen.normalised(split, indices)))
                chunks.append(getattr(found, "logits", found).float().numpy())
        logits: Logits = np.concatenate(chunks)
        if self._probabilities:
            logits = logits_of(logits)
        return logits if self._columns is None else logits[:, self._columns]


class FileAnswers:
    """A model file that its own runtime runs.

    Args:
        path: the file.
        kind: ``tflite`` or ``onnx``.
        view: the data as it is fed.
        spec: its input, where a manifest says more of it than the file itself.
        alone: run it in a process of its own, which it may kill.
    """

    live = True

    def __init__(
        self,
        path: Path,
        kind: str,
        view: View,
        *,
        spec: TensorSpec | None = None,
        alone: bool = False,
    ) -> None:
        """Store the path; the file is loaded when it first answers."""
        self.path = path
        self.view = view
        self.runtime: str | None = None
        self.notes: tuple[str, ...] = ()
        self._kind = kind
        self._spec = spec
        self._alone = alone
        self._session: Session | None = None

    def logits(self, dataset: Dataset, split: str) -> Logits:
        """Return logits (N, C) of a split; see `Answers`."""
        seen = self.view(dataset)
        # A process of its own takes a second to start: it gets more at once.
        size = _ALONE_BATCH if self._alone else BATCH
        outputs = np.concatenate(
            [
                self._run(seen.normalised(split, indices), len(dataset.classes))
                for indices in seen.splits[split].batches(size)
            ]
        )
        if not looks_like_probabilities(outputs):
            return outputs
        self.notes = ("it gives probabilities; their logarithms stand for logits",)
        return logits_of(outputs)

    def _run(self, inputs: Floats, classes: int) -> Floats:
        layout = None if self._spec is None else self._spec.layout
        if self._alone:
            outputs, self.runtime = run_alone(self.path, self._kind, inputs, classes, layout)
            return outputs
        if self._session is None:
            self._session = load_file(self.path, self._kind)
            self.runtime = self._session.runtime
        return feed(self._session, self.path, inputs, classes, layout)


class StoredAnswers:
    """Logits of the test split that a run wrote down.

    Args:
        path: ``predictions.npz`` of a run.
        key: the array's name in it.
    """

    live = False

    def __init__(self, path: Path, key: str) -> None:
        """Store the place."""
        self.runtime: str | None = None
        self.notes: tuple[str, ...] = ("as the run wrote it down after training",)
        self._path = path
        self._key = key

    def logits(self, dataset: Dataset, split: str) -> Logits:
        """Return logits (N, C) of the test split; see `Answers`."""
        if split != "test":
            raise DataError(
                f"its answers were written down for the test split, not for {split}",
                hint="Nothing is left of the network itself.",
            )
        try:
            with self._path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
                place = {str(name): row for row, name in enumerate(stored["ids"])}
                logits: Logits = stored[self._key]
        except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
            raise RunError(
                f"the run's predictions cannot be read ({type(error).__name__}: {error})"
            ) from error
        ids = dataset.splits[split].ids
        missing = [name for name in ids if name not in place]
        if missing:
            raise DataError(
                f"the run's predictions lack {len(missing)} of {len(ids)} samples, "
                f"e.g. {missing[0]!r}",
                hint="Has the data changed since the run was distilled?",
            )
        return logits[[place[name] for name in ids]]


def stored_keys(path: Path) -> tuple[str, ...]:
    """Return the names of the arrays in a run's predictions; none if they cannot be read."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            return tuple(stored.files)
    except (OSError, ValueError, zipfile.BadZipFile):
        return ()
