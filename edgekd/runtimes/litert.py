"""TFLite files with LiteRT: the CPU interpreter and its XNNPACK kernels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from edgekd.errors import ModelFileError
from edgekd.records import TensorSpec
from edgekd.runtimes.session import Array, check_arrays, free_sizes, piecewise


def load(path: str | Path, *, threads: int = 1) -> LiteRTSession:
    """Load a TFLite file.

    Args:
        path: the file.
        threads: CPU threads of one inference.

    Raises:
        ModelFileError: LiteRT cannot read it, or lacks an operator that it needs.
    """
    try:
        interpreter = Interpreter(model_path=str(path), num_threads=threads)
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise ModelFileError(
            f"LiteRT cannot load {path}: {_first_line(error)}", hint=_hint(str(error))
        ) from error
    return LiteRTSession(Path(path), interpreter)


class LiteRTSession:
    """A loaded TFLite file; see `edgekd.runtimes.session.Session`.

    Tensors keep the order of the file and carry the names of its signature where it has one.

    A batch of another size than the file's own is run piece by piece. LiteRT could resize the
    inputs instead, but a graph that was made for a batch of 1 may hold that 1 in its constants
    (the end of a slice, a shape): it then runs, and computes garbage. Inputs are resized only
    where the file itself leaves a size free.
    """

    def __init__(self, path: Path, interpreter: Interpreter) -> None:
        """Read the specs of the inputs and outputs."""
        self._path = path
        self._interpreter = interpreter
        self.runtime = f"litert {metadata.version('ai-edge-litert')}"
        details = interpreter.get_input_details(), interpreter.get_output_details()
        self._inputs = [int(d["index"]) for d in details[0]]
        self._outputs = [int(d["index"]) for d in details[1]]
        names = _signature_names(interpreter)
        self.inputs = tuple(_spec(d, names[0]) for d in details[0])
        self.outputs = tuple(_spec(d, names[1]) for d in details[1])
        self._shapes = [tuple(int(n) for n in d["shape"]) for d in details[0]]
        self._is_free = any(None in spec.shape for spec in self.inputs)

    def run(self, arrays: Sequence[Array]) -> list[Array]:
        """Run one batch.

        Raises:
            DataError: the arrays do not fit the inputs.
            ModelFileError: LiteRT cannot run the file on them.
        """
        check_arrays(self.inputs, arrays)
        try:
            if self._is_free or self._fits(arrays):
                return self._invoke(arrays)
            return piecewise(arrays, {spec.shape[0] for spec in self.inputs}, self._invoke)
        except (ValueError, RuntimeError) as error:
            # A failed resize leaves the interpreter unusable until the next allocation.
            self._shapes = []
            shapes = ", ".join(str(array.shape) for array in arrays)
            raise ModelFileError(
                f"LiteRT cannot run {self._path} on {shapes}: {_first_line(error)}",
                hint="It may be damaged, or made for a newer runtime.",
            ) from error

    def _fits(self, arrays: Sequence[Array]) -> bool:
        return [array.shape for array in arrays] == [spec.shape for spec in self.inputs]

    def _invoke(self, arrays: Sequence[Array]) -> list[Array]:
        shapes = [array.shape for array in arrays]
        if shapes != self._shapes:
            for index, shape in zip(self._inputs, shapes, strict=True):
                self._interpreter.resize_tensor_input(index, shape)
            self._interpreter.allocate_tensors()
            self._shapes = shapes
        for index, array in zip(self._inputs, arrays, strict=True):
            self._interpreter.set_tensor(index, array)
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(index) for index in self._outputs]


def _signature_names(interpreter: Interpreter) -> tuple[dict[int, str], dict[int, str]]:
    """Return tensor index -> name for inputs and outputs of the only signature, if there is one."""
    signatures: Mapping[str, Any] = interpreter.get_signature_list()
    if len(signatures) != 1:
        return {}, {}
    runner = interpreter.get_signature_runner(next(iter(signatures)))
    inputs = {int(d["index"]): name for name, d in runner.get_input_details().items()}
    outputs = {int(d["index"]): name for name, d in runner.get_output_details().items()}
    return inputs, outputs


def _spec(detail: Mapping[str, Any], names: Mapping[int, str]) -> TensorSpec:
    scale, zero_point = detail["quantization"]
    quantized = bool(scale)
    return TensorSpec(
        name=names.get(int(detail["index"]), str(detail["name"])),
        shape=free_sizes(detail["shape_signature"]),
        dtype=np.dtype(detail["dtype"]).name,
        scale=float(scale) if quantized else None,
        zero_point=int(zero_point) if quantized else None,
    )


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


def _hint(message: str) -> str:
    lowered = message.lower()
    if "op" in lowered and any(
        w in lowered for w in ("unsupported", "custom", "not found", "version")
    ):
        return (
            "It needs an operator that this runtime lacks: upgrade ai-edge-litert, or export again."
        )
    return "It may be damaged, or made for a newer runtime."
