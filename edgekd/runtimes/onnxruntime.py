"""ONNX files with onnxruntime's CPU provider."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import onnxruntime as ort

from edgekd.errors import ModelFileError
from edgekd.modelfile.integers import stated
from edgekd.records import TensorSpec
from edgekd.runtimes.session import Array, check_arrays, free_sizes

#: onnxruntime's names of element types -> NumPy's.
_DTYPES = {
    "float": "float32",
    "float16": "float16",
    "double": "float64",
    "bool": "bool",
    "string": "str",
}
_ERRORS_ONLY = 3

# Where onnxruntime was imported before edgekd, `edgekd.telemetry` came too late.
ort.disable_telemetry_events()


def load(path: str | Path, *, threads: int = 1) -> OnnxRuntimeSession:
    """Load an ONNX file.

    Args:
        path: the file.
        threads: CPU threads of one operator; operators run one after the other.

    Raises:
        ModelFileError: onnxruntime cannot read it, or lacks an operator that it needs.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _ERRORS_ONLY
    try:
        session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions share no base class below Exception
        raise ModelFileError(
            f"onnxruntime cannot load {path}: {_message(error)}", hint=_hint(str(error))
        ) from error
    return OnnxRuntimeSession(Path(path), session)


class OnnxRuntimeSession:
    """A loaded ONNX file; see `edgekd.runtimes.session.Session`."""

    def __init__(self, path: Path, session: ort.InferenceSession) -> None:
        """Read the specs of the inputs and outputs."""
        self._path = path
        self._session = session
        self.runtime = f"onnxruntime {ort.__version__}"
        metadata = session.get_modelmeta().custom_metadata_map
        self.inputs = tuple(_spec(node, metadata) for node in session.get_inputs())
        self.outputs = tuple(_spec(node, metadata) for node in session.get_outputs())

    def run(self, arrays: Sequence[Array]) -> list[Array]:
        """Run one batch.

        Raises:
            DataError: the arrays do not fit the inputs.
            ModelFileError: onnxruntime cannot run the file on them.
        """
        check_arrays(self.inputs, arrays)
        feeds = {spec.name: array for spec, array in zip(self.inputs, arrays, strict=True)}
        try:
            outputs: list[Array] = self._session.run(None, feeds)
        except Exception as error:  # see load
            shapes = ", ".join(str(array.shape) for array in arrays)
            raise ModelFileError(
                f"onnxruntime cannot run {self._path} on {shapes}: {_message(error)}",
                hint="Try a batch of 1: some files are fixed to it.",
            ) from error
        return outputs


def _spec(node: Any, metadata: Mapping[str, str]) -> TensorSpec:
    kind = str(node.type).removeprefix("tensor(").removesuffix(")")
    scale, zero_point = (stated(metadata, node.name) if "int" in kind else None) or (None, None)
    return TensorSpec(
        name=node.name,
        shape=free_sizes(node.shape),
        dtype=_DTYPES.get(kind, kind),
        scale=scale,
        zero_point=zero_point,
    )


def _message(error: Exception) -> str:
    """Return what onnxruntime says, without its ``[ONNXRuntimeError] : 1 : FAIL :`` prefix."""
    text = str(error).strip().splitlines()
    first = text[0] if text else type(error).__name__
    return first.rsplit(" : ", 1)[-1] if first.startswith("[ONNXRuntimeError]") else first


def _hint(message: str) -> str:
    lowered = message.lower()
    if "opset" in lowered or "ir_version" in lowered or "not implemented" in lowered:
        return "It needs operators that this runtime lacks: upgrade onnxruntime, or export again."
    if "is not a registered function/op" in lowered:
        return "It uses an operator that onnxruntime does not know: a custom one, or a newer one."
    return "It may be damaged, or made for a newer runtime."
