"""The networks of a run, for the agent: what distillation is measured against.

The agent imports this module (and with it PyTorch) before it notes the memory, and calls `load`
after that: the figures are the network's own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from edgekd.rundir import Run
from edgekd.runtimes.torch import flat_outputs, network_of, restore

RUNTIME = "torch"
VERSION = torch.__version__

Predict = Callable[[Sequence[NDArray[Any]]], list[NDArray[Any]]]


def load(path: str, threads: int) -> tuple[Predict, list[dict[str, Any]]]:
    """Build a network of a run and load its weights.

    Args:
        path: ``student.safetensors`` or ``teacher.safetensors`` in a run directory.
        threads: CPU threads of one operator.

    Returns:
        what runs it, and the spec of its input: ``(N, *sample_shape)`` float32.
    """
    torch.set_num_threads(threads)
    weights = Path(path)
    run = Run.open(weights.parent)
    model = restore(run, weights).eval()

    def predict(arrays: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        with torch.inference_mode():
            result = model(*(torch.from_numpy(np.asarray(array)) for array in arrays))
        return [tensor.numpy() for tensor in flat_outputs(result).values()]

    shape = [None, *network_of(run, weights).sample_shape]
    return predict, [{"name": "input", "shape": shape, "dtype": "float32"}]
