"""Parameters and multiply-accumulates of a model file, or why they are not known.

Parameters are the constants that a file computes with: weights and biases, float or quantized.
Shapes, indices, scales and zero points do not count. What an exporter has folded away is not in the
file any more, and tables that no training made are: the count of a run's own artifact comes from
the network.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edgekd.errors import EdgekdError


@dataclass(frozen=True)
class Counts:
    """What was counted in one file.

    Attributes:
        parameters: how many there are; None: not known.
        macs: of one inference at the shape the file has; None: not known.
        unknown: why, for each that is not.
    """

    parameters: int | None = None
    macs: int | None = None
    unknown: Mapping[str, str] = field(default_factory=dict)


def counts(path: Path, kind: str) -> Counts:
    """Count what a file holds, as ``edgekd inspect`` does, without running it.

    Args:
        path: the file. One that cannot be read has no counts, and says why.
        kind: ``tflite``, ``onnx`` or ``executorch``.
    """
    try:
        return _executorch(path) if kind == "executorch" else _graph(path, kind)
    except EdgekdError as error:
        why = error.message
    except Exception as error:  # numbers beside others, which a fault here must not cost
        why = f"the file cannot be taken apart ({type(error).__name__})"
    return Counts(unknown=dict.fromkeys(("parameters", "macs"), why))


def told(
    kind: str, *, parameters: int | None, macs: int | None, macs_unknown: Sequence[str] = ()
) -> Counts:
    """Return counts with a reason for each that is missing.

    Args:
        kind: of the file.
        parameters: None where it does not tell.
        macs: the sum over the operators that are known; None: of none.
        macs_unknown: operators whose multiply-accumulates are not known; with one, the sum is not.

    >>> told("tflite", parameters=7, macs=5, macs_unknown=("LSTM",)).unknown
    {'macs': 'those of LSTM are not known'}
    """
    unknown = {}
    if parameters is None:
        unknown["parameters"] = f"{kind} files do not tell their weights"
    if macs is None:
        unknown["macs"] = f"they are not counted in {kind} files"
    elif macs_unknown:
        unknown["macs"] = f"those of {', '.join(macs_unknown)} are not known"
    return Counts(parameters, None if macs_unknown else macs, unknown)


def _graph(path: Path, kind: str) -> Counts:
    from edgekd.modelfile import macs
    from edgekd.modelfile.reading import read
    from edgekd.modelfile.weights import weigh

    graph = read(path)
    counted = macs.count(graph)
    return told(
        kind,
        parameters=weigh(graph).parameters,
        macs=counted.total,
        macs_unknown=counted.unknown,
    )


def _executorch(path: Path) -> Counts:
    from edgekd.modelfile.executorch import read, stored_constants

    program = read(path.read_bytes(), name=str(path))
    parameters = sum(constant.elements for constant, _ in stored_constants(program))
    return told("executorch", parameters=parameters, macs=None)
