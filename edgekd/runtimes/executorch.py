"""ExecuTorch programs with ExecuTorch's Python runtime and its XNNPACK kernels.

A program holds the types of its tensors and the largest sizes that it has memory for, and neither
their names nor which sizes are free. Files that edgekd made say so in their metadata; inputs and
outputs of others are called by their number, and every size is fixed.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch

from edgekd.errors import ModelFileError
from edgekd.modelfile.executorch import DTYPES
from edgekd.modelfile.metadata import KEY, parsed
from edgekd.records import TensorSpec
from edgekd.runtimes.session import Array, check_arrays, piecewise

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it calls its own bindings experimental
    from executorch.extension.pybindings import portable_lib
    from executorch.runtime import Method, Program, Runtime, Verification

_FORWARD = "forward"

_DAMAGED = "It may be damaged, made for a newer runtime, or for another backend than XNNPACK."


def load(path: str | Path, *, threads: int = 1) -> ExecuTorchSession:
    """Load an ExecuTorch program.

    Args:
        path: the file.
        threads: CPU threads of one inference. ExecuTorch has one pool for the whole process: the
            session that was loaded last decides.

    Raises:
        ModelFileError: ExecuTorch cannot read it, or lacks a backend or an operator that it needs.
    """
    portable_lib._unsafe_reset_threadpool(threads)
    try:
        program = Runtime.get().load_program(
            Path(path), verification=Verification.InternalConsistency
        )
        method = program.load_method(_FORWARD)
    except (RuntimeError, ValueError) as error:
        raise ModelFileError(
            f"ExecuTorch cannot load {path}: {_first_line(error)}", hint=_DAMAGED
        ) from error
    if method is None:
        raise ModelFileError(f"{path} has no method called {_FORWARD!r}")
    return ExecuTorchSession(Path(path), program, method)


class ExecuTorchSession:
    """A loaded program; see `edgekd.runtimes.session.Session`.

    A batch that is larger than the program has memory for, or another one than it is fixed to, is
    run piece by piece.
    """

    def __init__(self, path: Path, program: Program, method: Method) -> None:
        """Read the specs of the inputs and outputs."""
        self._path = path
        self._program = program  # the method's memory lives in it
        self._method = method
        self.runtime = f"executorch {metadata.version('executorch')}"
        facts = method.metadata
        found = (
            _specs("input", facts.num_inputs(), facts.input_tensor_meta, path),
            _specs("output", facts.num_outputs(), facts.output_tensor_meta, path),
        )
        self._largest = [spec.shape[0] if spec.shape else None for spec in found[0]]
        self.inputs, self.outputs = _described(program, found, path)

    def run(self, arrays: Sequence[Array]) -> list[Array]:
        """Run one batch.

        Raises:
            DataError: the arrays do not fit the inputs.
            ModelFileError: ExecuTorch cannot run the file on them.
        """
        check_arrays(self.inputs, arrays)
        try:
            if self._fits(arrays):
                return self._execute(arrays)
            return piecewise(arrays, set(self._largest), self._execute)
        except (RuntimeError, ValueError) as error:
            shapes = ", ".join(str(array.shape) for array in arrays)
            raise ModelFileError(
                f"ExecuTorch cannot run {self._path} on {shapes}: {_first_line(error)}",
                hint=_DAMAGED,
            ) from error

    def _fits(self, arrays: Sequence[Array]) -> bool:
        for spec, largest, array in zip(self.inputs, self._largest, arrays, strict=True):
            if not spec.shape or largest is None:
                continue
            size = array.shape[0]
            if size > largest or (spec.shape[0] is not None and size != largest):
                return False
        return True

    def _execute(self, arrays: Sequence[Array]) -> list[Array]:
        tensors = [torch.from_numpy(np.require(array, requirements=("C", "W"))) for array in arrays]
        return [np.asarray(tensor) for tensor in self._method.execute(tensors)]


def _specs(side: str, count: int, meta: Callable[[int], Any], path: Path) -> tuple[TensorSpec, ...]:
    specs = []
    for index in range(count):
        try:
            found = meta(index)
        except RuntimeError as error:
            raise ModelFileError(f"{path}: {side} {index} is not a tensor") from error
        kind = int(found.dtype())
        specs.append(
            TensorSpec(
                name=f"{side}_{index}",
                shape=tuple(int(size) for size in found.sizes()),
                dtype=DTYPES.get(kind, f"type {kind}"),
            )
        )
    return tuple(specs)


def _described(
    program: Program, found: tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]], path: Path
) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """Return what the file says of its tensors, or what was found where it says nothing.

    Raises:
        ModelFileError: it says what does not fit.
    """
    if KEY not in program.method_names:
        return found
    try:
        method = program.load_method(KEY)
        (text,) = [] if method is None else method.execute([])
    except (RuntimeError, ValueError) as error:
        raise ModelFileError(f"{path}: its method {KEY!r} cannot be read") from error
    said = parsed(str(text), name=str(path))
    if (len(said.inputs), len(said.outputs)) != (len(found[0]), len(found[1])):
        raise ModelFileError(f"{path}: its metadata describes another program")
    return tuple(_plain(port) for port in said.inputs), said.outputs


def _plain(port: TensorSpec) -> TensorSpec:
    """Return what stands in the metadata of an input, without what has to be done before."""
    return TensorSpec(**{name: getattr(port, name) for name in TensorSpec.model_fields})


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
