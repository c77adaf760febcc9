"""Float TFLite files of one layer, written by hand: no converter decides what is in them."""

from __future__ import annotations

from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

#: What the only input is called in the signature, and the key of the signature.
INPUT, SIGNATURE = "a", "serving_default"


def spread(weights: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    """Multiply the channels along an axis by 0.03 to 3, in a mixed order."""
    count = weights.shape[axis]
    factors = np.logspace(-1.5, 0.5, count)[np.random.default_rng(count).permutation(count)]
    shape = [count if i == axis else 1 for i in range(weights.ndim)]
    return (weights * factors.reshape(shape)).astype(np.float32)


def dense(
    weights: NDArray[np.float32],
    bias: NDArray[np.float32] | None,
    shape: tuple[int, ...],
    *,
    keep_dims: bool = True,
) -> bytes:
    """Return a file that computes ``x @ weights.T + bias``.

    Args:
        weights: (units, depth).
        bias: (units,), or None.
        shape: of the input, its last axis ``depth``.
        keep_dims: keep the axes of the input, else flatten them into one.
    """
    units, depth = weights.shape
    out = (*shape[:-1], units) if keep_dims else (int(np.prod(shape)) // depth, units)
    options = schema.FullyConnectedOptionsT()
    options.keepNumDims = keep_dims
    constants = [weights] if bias is None else [weights, bias]
    return _file(
        schema.BuiltinOperator.FULLY_CONNECTED,
        5 if bias is not None else 6,
        schema.BuiltinOptions.FullyConnectedOptions,
        options,
        [_tensor(INPUT, shape), *(_tensor("w", c.shape, 2 + i) for i, c in enumerate(constants))],
        constants,
        _tensor("y", out),
    )


def _tensor(name: str, shape: tuple[int, ...], buffer: int = 0) -> Any:
    tensor = schema.TensorT()
    given = name in (INPUT, "y")
    tensor.name = (f"{SIGNATURE}_{name}:0" if given else f"{name}{buffer}").encode()
    tensor.shape = np.asarray(shape, np.int32)
    tensor.type = schema.TensorType.FLOAT32
    tensor.buffer = buffer or 1
    return tensor


def _file(
    code: int,
    version: int,
    kind: int,
    options: Any,
    inputs: list[Any],
    constants: list[NDArray[np.float32]],
    output: Any,
) -> bytes:
    operator_code = schema.OperatorCodeT()
    operator_code.builtinCode = operator_code.deprecatedBuiltinCode = code
    operator_code.version = version
    operator = schema.OperatorT()
    operator.inputs = np.arange(len(inputs), dtype=np.int32)
    operator.outputs = np.array([len(inputs)], np.int32)
    operator.builtinOptionsType, operator.builtinOptions = kind, options
    graph = schema.SubGraphT()
    graph.tensors, graph.operators = [*inputs, output], [operator]
    graph.inputs, graph.outputs = np.array([0], np.int32), np.array([len(inputs)], np.int32)
    model = schema.ModelT()
    model.version, model.operatorCodes, model.subgraphs = 3, [operator_code], [graph]
    model.buffers = [schema.BufferT(), schema.BufferT()]
    for constant in constants:
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(constant.astype(np.float32).tobytes(), np.uint8)
        model.buffers.append(buffer)
    model.signatureDefs = [_signature(len(inputs))]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def _signature(output: int) -> Any:
    signature = schema.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = SIGNATURE.encode(), 0
    signature.inputs, signature.outputs = [schema.TensorMapT()], [schema.TensorMapT()]
    signature.inputs[0].name, signature.inputs[0].tensorIndex = INPUT.encode(), 0
    signature.outputs[0].name, signature.outputs[0].tensorIndex = b"y", output
    return signature
