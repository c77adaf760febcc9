"""ExecuTorch programs, for the agent, where edgekd itself is installed.

The agent imports this module (and with it ExecuTorch and PyTorch) before it notes the memory, and
calls `load` after that: the figures are the program's own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import metadata
from typing import Any

from numpy.typing import NDArray

from edgekd.runtimes import executorch as runtime

RUNTIME = "executorch"
VERSION = metadata.version("executorch")

Predict = Callable[[Sequence[NDArray[Any]]], list[NDArray[Any]]]


def load(path: str, threads: int) -> tuple[Predict, list[dict[str, Any]]]:
    """Load a program.

    Args:
        path: the file.
        threads: CPU threads of one inference.

    Returns:
        what runs it, and the specs of its inputs.

    Raises:
        ModelFileError: ExecuTorch cannot read it.
    """
    session = runtime.load(path, threads=threads)
    keys = {"name", "shape", "dtype", "scale", "zero_point"}
    return session.run, [spec.model_dump(mode="json", include=keys) for spec in session.inputs]
