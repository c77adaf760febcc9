"""A TFLite file whose batch size is left free.

litert-torch can trace a free batch size, but few networks survive it (0.10). So the graph is made
for a batch of 1, its inputs and outputs are then marked as free in their first axis, and the
RESHAPEs that name the 1 are told to work it out. Whether the rest of the graph holds for other
sizes is not guessed: parity runs the file in several of them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edgekd.modelfile.flatbuffer import pack, unpack

_FREE = -1


def free_batch(content: bytes) -> bytes:
    """Return the same model with the first axis of every input and output free.

    Args:
        content: a TFLite file for a batch of 1.
    """
    from ai_edge_litert import schema_py_generated as schema

    model = unpack(content)
    for graph in model.subgraphs:
        for index in (*graph.inputs, *graph.outputs):
            tensor = graph.tensors[index]
            tensor.shapeSignature = [_FREE, *(int(size) for size in tensor.shape[1:])]
        for operator in graph.operators:
            code = model.operatorCodes[operator.opcodeIndex]
            if max(code.builtinCode, code.deprecatedBuiltinCode) == schema.BuiltinOperator.RESHAPE:
                _free_reshape(model, graph, operator)
    return pack(model)


def _free_reshape(model: Any, graph: Any, operator: Any) -> None:
    """Let a reshape to ``(1, ...)`` work its first size out."""
    if len(operator.inputs) < 2:
        return
    tensor = graph.tensors[operator.inputs[1]]
    data = model.buffers[tensor.buffer].data
    if data is None:
        return
    shape = np.frombuffer(bytes(data), dtype=np.int32)
    # All in one row, or a batch of 1: of any other shape nobody knows where the batch went.
    is_batch = len(shape) == 1 or (len(shape) > 1 and shape[0] == 1)
    if not is_batch or (shape == _FREE).any():
        return
    freed = np.array([_FREE, *shape[1:]], dtype=np.int32)
    # Other operators may read the same buffer.
    buffer = type(model.buffers[0])()
    buffer.data = np.frombuffer(freed.tobytes(), dtype=np.uint8)
    model.buffers.append(buffer)
    clone = _copy_of(tensor, len(model.buffers) - 1)
    graph.tensors.append(clone)
    operator.inputs = [operator.inputs[0], len(graph.tensors) - 1]
    if operator.builtinOptions is not None:
        operator.builtinOptions.newShape = freed


def _copy_of(tensor: Any, buffer: int) -> Any:
    found = type(tensor)()
    found.__dict__.update(tensor.__dict__)
    found.buffer = buffer
    return found
