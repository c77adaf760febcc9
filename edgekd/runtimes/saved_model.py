"""SavedModels with TensorFlow itself, by their serving signature."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

# It tells of drivers that it did not find; it reads this when it is imported.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow as tf

from edgekd.errors import ModelFileError
from edgekd.records import TensorSpec
from edgekd.runtimes.session import Array, check_arrays, free_sizes

_SIGNATURE = "serving_default"


def load(path: str | Path, *, threads: int = 1) -> SavedModelSession:
    """Load a SavedModel.

    Args:
        path: its folder.
        threads: taken for the sake of the other runtimes; TensorFlow has its own setting.

    Raises:
        ModelFileError: TensorFlow cannot read it, or it has no serving signature.
    """
    del threads
    try:
        loaded = tf.saved_model.load(str(path))
    except Exception as error:  # its exceptions share no base class below Exception
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelFileError(
            f"TensorFlow cannot load {path}: {first}",
            hint="It may be damaged, or made for another version.",
        ) from error
    if _SIGNATURE not in loaded.signatures:
        known = ", ".join(loaded.signatures) or "none"
        raise ModelFileError(
            f"{path} has no signature {_SIGNATURE!r} (it has: {known})",
            hint="Save it with one: model.export(path) of Keras writes it.",
        )
    return SavedModelSession(Path(path), loaded)


class SavedModelSession:
    """A loaded SavedModel; see `edgekd.runtimes.session.Session`."""

    def __init__(self, path: Path, loaded: Any) -> None:
        """Read the specs of the inputs and outputs."""
        self._path = path
        self._loaded = loaded  # holds the variables
        self._function = loaded.signatures[_SIGNATURE]
        self.runtime = f"tensorflow {tf.__version__}"
        self.inputs = _specs(self._function.structured_input_signature[1])
        self.outputs = _specs(self._function.structured_outputs)

    def run(self, arrays: Sequence[Array]) -> list[Array]:
        """Run one batch.

        Raises:
            DataError: the arrays do not fit the inputs.
            ModelFileError: TensorFlow cannot run the file on them.
        """
        check_arrays(self.inputs, arrays)
        pairs = zip(self.inputs, arrays, strict=True)
        feeds = {spec.name: tf.constant(array) for spec, array in pairs}
        try:
            found = self._function(**feeds)
        except Exception as error:  # see load
            shapes = ", ".join(str(array.shape) for array in arrays)
            first = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise ModelFileError(
                f"TensorFlow cannot run {self._path} on {shapes}: {first}"
            ) from error
        return [np.array(found[spec.name]) for spec in self.outputs]


def _specs(named: Any) -> tuple[TensorSpec, ...]:
    """Return the specs of a signature's tensors, by name in alphabetical order."""
    return tuple(
        TensorSpec(
            name=name,
            shape=() if spec.shape.rank is None else free_sizes(spec.shape.as_list()),
            dtype=spec.dtype.name,
        )
        for name, spec in sorted(named.items())
    )
