"""Files of recorded answers: .npz and .parquet, whole or top-k, read and written.

An answer belongs to the id of a sample. A file holds ``ids`` and one of:

- ``logits`` (N, C), or ``probabilities`` (N, C);
- ``classes`` (N, k) and ``log_probabilities`` (N, k): the k most probable classes only, as the
  interface of a language model gives them. The missing mass is spread uniformly over the others.

``class_names`` (C) names the outputs, where the file knows them.
"""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgekd.distill.packing import spread
from edgekd.errors import DataError
from edgekd.registry import load_target
from edgekd.storage import atomic_write

#: As for probabilities of live teachers, see `edgekd.distill.taught`.
_LEAST = 6e-5
_LOG_LEAST = float(np.log(_LEAST))
_SHAPES = "ids and logits, or probabilities, or classes and log_probabilities"


@dataclass(frozen=True, eq=False)
class Answers:
    """What somebody answered, by sample.

    Attributes:
        ids: of the samples, each once.
        values: (N, C) logits or probabilities; (N, k) log-probabilities where ``top`` is given.
        top: (N, k) the classes of these; None: all C of them, in order.
        probabilities: the values are probabilities.
        names: of the C classes; empty where the file does not say.
    """

    ids: tuple[str, ...]
    values: np.ndarray
    top: np.ndarray | None = None
    probabilities: bool = False
    names: tuple[str, ...] = ()

    def logits(self, rows: np.ndarray, outputs: int) -> np.ndarray:
        """Return the answers in these rows as logits (n, outputs), float32."""
        values = self.values[rows].astype(np.float32)
        if self.top is not None:
            return spread(self.top[rows].astype(np.int64), values.clip(min=_LOG_LEAST), outputs)
        found: np.ndarray = np.log(values.clip(min=_LEAST)) if self.probabilities else values
        return found


def read_answers(path: Path) -> Answers:
    """Read a file of answers.

    Raises:
        DataError: it is missing or damaged, or its arrays do not go together.
        MissingExtraError: it is .parquet, and pyarrow is not installed.
    """
    if not path.is_file():
        raise DataError(f"{path}: there is no such file", hint="Make it: edgekd record")
    arrays = _read_parquet(path) if path.suffix.lower() == ".parquet" else _read_npz(path)
    found = {"logits", "probabilities", "log_probabilities"} & set(arrays)
    if "ids" not in arrays or len(found) != 1:
        raise DataError(
            f"{path} holds {', '.join(sorted(arrays)) or 'nothing'}", hint=f"It needs {_SHAPES}."
        )
    kind = found.pop()
    ids = tuple(str(name) for name in arrays["ids"])
    answers = Answers(
        ids=ids,
        values=arrays[kind],
        top=arrays.get("classes") if kind == "log_probabilities" else None,
        probabilities=kind == "probabilities",
        names=tuple(str(name) for name in arrays.get("class_names", ())),
    )
    _check(answers, kind, path)
    return answers


def _check(answers: Answers, kind: str, path: Path) -> None:
    ids, values, top = answers.ids, answers.values, answers.top
    faults = []
    if values.ndim != 2 or len(values) != len(ids):
        faults.append(f"{len(ids)} ids, but {kind} of shape {values.shape}")
    elif values.dtype.kind != "f" or not np.isfinite(np.exp(-np.abs(values))).all():
        faults.append(f"{kind} has values that are no numbers")
    if len(set(ids)) < len(ids):
        seen: set[str] = set()
        twice = [name for name in ids if name in seen or seen.add(name)]  # type: ignore[func-returns-value]
        faults.append(f"{len(twice)} ids stand twice, e.g. {', '.join(map(repr, twice[:3]))}")
    if kind == "log_probabilities":
        if top is None or top.shape != values.shape or top.dtype.kind not in "iu":
            faults.append("classes must be whole numbers of the shape of log_probabilities")
        elif not faults:
            sums = np.exp(values.astype(np.float64)).sum(-1)
            if (sums > 1.01).any():
                faults.append(f"log_probabilities sum to {sums.max():.3g}, not to 1 at most")
            if (np.diff(np.sort(top, axis=-1), axis=-1) == 0).any():
                faults.append("a row names a class twice")
    elif not faults and answers.names and len(answers.names) != values.shape[1]:
        faults.append(f"{len(answers.names)} class_names for {values.shape[1]} columns")
    if faults:
        raise DataError(f"{path}: {'; '.join(faults)}", hint=f"It needs {_SHAPES}.")


def write_answers(path: Path, answers: Answers) -> None:
    """Write a file of answers, whole or not at all.

    Args:
        path: ends in .npz or .parquet.
        answers: logits, or top-k log-probabilities.

    Raises:
        DataError: another suffix.
        StorageError: it cannot be written.
    """
    kind = "logits" if answers.top is None else "log_probabilities"
    arrays: dict[str, np.ndarray] = {"ids": np.asarray(answers.ids), kind: answers.values}
    if answers.top is not None:
        arrays["classes"] = answers.top
    check_suffix(path)
    if path.suffix.lower() == ".parquet":
        atomic_write(path, _parquet_bytes(arrays, answers.names))
    else:
        buffer = io.BytesIO()
        arrays["class_names"] = np.asarray(answers.names, dtype=str)
        np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
        atomic_write(path, buffer.getvalue())


def check_suffix(path: Path) -> None:
    """Refuse to write to a file that is called neither .npz nor .parquet.

    Raises:
        DataError: it is.
        MissingExtraError: it is .parquet, and pyarrow is not installed.
    """
    if path.suffix.lower() == ".parquet":
        _parquet("write")
    elif path.suffix.lower() != ".npz":
        raise DataError(f"{path}: answers are written as .npz or .parquet")


def _read_npz(path: Path) -> Mapping[str, np.ndarray]:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, AttributeError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(
            f"cannot read {path} as .npz: {error}",
            hint="It is damaged, holds Python objects, or is of another format.",
        ) from error


def _parquet(what: str) -> Any:
    return load_target(f"edgekd.distill.parquet:{what}", what="a .parquet file", extra="parquet")


def _read_parquet(path: Path) -> Mapping[str, np.ndarray]:
    columns, said = _parquet("read")(path)
    names = json.loads(said.get("class_names", "[]"))
    return {**columns, "class_names": np.asarray(names, dtype=str)}


def _parquet_bytes(arrays: Mapping[str, np.ndarray], names: tuple[str, ...]) -> bytes:
    data: bytes = _parquet("write")(arrays, {"class_names": json.dumps(names)})
    return data
