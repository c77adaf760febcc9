"""The inputs and outputs of a Keras model: their structure and their names.

Keras itself is imported when it is needed: its backend is chosen by whoever imports it first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def packed(model: Any, values: Sequence[Any]) -> Any:
    """Return one value an input, in the order of ``model.inputs``, as the model takes them.

    A functional model may take a dictionary or a list; it refuses any other structure.
    """
    import keras

    structure = _of(model, "input")
    if isinstance(structure, dict | list | tuple):
        return keras.tree.pack_sequence_as(structure, list(values))
    return values[0] if len(values) == 1 else list(values)


def output_names(model: Any) -> tuple[str, ...]:
    """Return the names of the outputs, in the order of ``model.outputs``.

    The keys of a dictionary; the names of the layers for a list; ``output`` for a single tensor.
    """
    import keras

    count = len(model.outputs or ())
    structure = _of(model, "output")
    if isinstance(structure, dict):
        paths = [path for path, _ in keras.tree.flatten_with_path(structure)]
        return tuple("_".join(str(part) for part in path) for path in paths)
    if count <= 1:
        return ("output",) * count
    names = tuple(getattr(model, "output_names", ()))
    if len(set(names)) == count:
        return names
    return tuple(f"output_{number}" for number in range(count))


def _of(model: Any, attribute: str) -> Any:
    """Return ``model.input`` or ``model.output``; None where the model has none of its own."""
    try:
        return getattr(model, attribute)
    except (AttributeError, ValueError):  # Sequential models, and those called more than once
        return None
