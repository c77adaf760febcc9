"""What a model file says of itself: parameters, MACs, operators, the oldest runtime."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from edgekd.errors import ModelFileError
from edgekd.modelfile.counts import told


@dataclass(frozen=True)
class Facts:
    """Facts of one file, or why there are none.

    Attributes:
        numbers: ``parameters``, ``macs``, ``operator_count``; those that are known.
        operators: how many there are of each kind.
        oldest: the oldest runtime that runs the file right, e.g. ``TensorFlow Lite 2.14``.
        unknown: for each fact that is not known, why.
    """

    numbers: Mapping[str, float] = field(default_factory=dict)
    operators: Mapping[str, int] = field(default_factory=dict)
    oldest: str | None = None
    unknown: Mapping[str, str] = field(default_factory=dict)


def read_facts(path: Path) -> Facts:
    """Read a model file without running it.

    Args:
        path: a TFLite, ONNX or ExecuTorch file. One that is damaged has no facts, and says why.

    Raises:
        MissingExtraError: the package that knows the format is not installed.
    """
    from edgekd.check.quantities import OF_FILE
    from edgekd.inspect.stage import inspect  # NumPy: only a limit that asks for facts needs it

    try:
        found = inspect(path)
    except ModelFileError as error:
        return Facts(unknown=dict.fromkeys(OF_FILE, error.message))
    counted = told(
        found.format,
        parameters=found.parameters,
        macs=found.macs,
        macs_unknown=found.macs_unknown,
    )
    known = {"parameters": counted.parameters, "macs": counted.macs}
    numbers: dict[str, float] = {name: n for name, n in known.items() if n is not None}
    unknown = dict(counted.unknown)
    operators = {kind.name: kind.count for kind in found.kinds}
    if operators:
        numbers["operator_count"] = sum(operators.values())
    else:
        unknown["operator_count"] = unknown["operators"] = f"{path.name} names no operators"
    oldest = None
    if found.oldest is not None and found.oldest.version is not None:
        oldest = f"{found.oldest.runtime} {found.oldest.version}"
    else:
        unknown["oldest_runtime"] = "no runtime is known to run it right"
    return Facts(numbers, operators, oldest, unknown)
