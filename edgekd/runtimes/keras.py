"""Keras files, .keras and .h5, with Keras 3.

Unless ``KERAS_BACKEND`` says otherwise, Keras computes with PyTorch, so that TensorFlow is not
needed.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

# Keras reads it when it is imported.
os.environ.setdefault("KERAS_BACKEND", "torch")

import keras

from edgekd.errors import ModelFileError
from edgekd.records import TensorSpec
from edgekd.runtimes.keras_tensors import packed
from edgekd.runtimes.session import Array, check_arrays, free_sizes


def load(path: str | Path, *, threads: int = 1) -> KerasSession:
    """Load a Keras file. No code out of it is run: Keras's safe mode refuses such layers.

    Args:
        path: the file.
        threads: taken for the sake of the other runtimes; the backend has its own setting.

    Raises:
        ModelFileError: Keras cannot read it.
    """
    del threads
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of files of older versions, about what is not used
            model = keras.models.load_model(str(path), compile=False, safe_mode=True)
    except Exception as error:  # it rebuilds layers from their configuration: anything may happen
        lines = [line for line in str(error).splitlines() if line.strip()]
        raise ModelFileError(
            f"Keras cannot load {path}: {lines[0] if lines else type(error).__name__}",
            hint="It may be damaged, hold layers of its own, or be made for another version; a "
            "SavedModel, ONNX or TFLite file of the same network does.",
        ) from error
    return KerasSession(Path(path), model)


class KerasSession:
    """A loaded Keras file; see `edgekd.runtimes.session.Session`.

    Attributes:
        model: Keras's own object.
    """

    def __init__(self, path: Path, model: Any) -> None:
        """Read the specs of the inputs and outputs."""
        self._path = path
        self.model = model
        self.runtime = f"keras {keras.__version__} ({keras.backend.backend()})"
        self.inputs = _specs(model.inputs or ())
        self.outputs = _specs(model.outputs or ())

    def run(self, arrays: Sequence[Array]) -> list[Array]:
        """Run one batch.

        Raises:
            DataError: the arrays do not fit the inputs.
            ModelFileError: Keras cannot run the file on them.
        """
        check_arrays(self.inputs, arrays)
        try:
            with torch.no_grad(), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a list of one input is not what it calls one
                given = packed(self.model, arrays)
                found = keras.tree.flatten(self.model(given, training=False))
                return [np.asarray(keras.ops.convert_to_numpy(output)) for output in found]
        except Exception as error:  # see load
            shapes = ", ".join(str(array.shape) for array in arrays)
            first = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise ModelFileError(f"Keras cannot run {self._path} on {shapes}: {first}") from error


def _specs(tensors: Sequence[Any]) -> tuple[TensorSpec, ...]:
    return tuple(
        TensorSpec(name=tensor.name, shape=free_sizes(tensor.shape), dtype=str(tensor.dtype))
        for tensor in tensors
    )
