"""Small ONNX files made with onnx's own helpers, for tests of the reader."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

FLOAT = TensorProto.FLOAT


def model(
    nodes: list[Any],
    inputs: dict[str, list[Any]],
    outputs: dict[str, list[Any]],
    weights: dict[str, Any] | None = None,
    *,
    opset: int | None = 17,
    functions: list[Any] | None = None,
) -> Any:
    """Return a ModelProto; shapes may hold names of free sizes."""
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info(n, FLOAT, shape) for n, shape in inputs.items()],
        [helper.make_tensor_value_info(n, FLOAT, shape) for n, shape in outputs.items()],
        [numpy_helper.from_array(np.asarray(v), n) for n, v in (weights or {}).items()],
    )
    imports = [] if opset is None else [helper.make_opsetid("", opset)]
    if functions:
        imports.append(helper.make_opsetid("local", 1))
    made = helper.make_model(graph, opset_imports=imports, functions=functions or [], ir_version=10)
    if opset is None:
        del made.opset_import[:]
    return made


def node(name: str, inputs: list[str], outputs: list[str], **options: Any) -> Any:
    return helper.make_node(name, inputs, outputs, **options)


def convolution(batch: Any = "n") -> Any:
    """A convolution of 3x8x8 to 4x8x8: 4 x 64 x 27 = 6,912 MACs."""
    weights = {"w": np.ones((4, 3, 3, 3), np.float32), "b": np.zeros(4, np.float32)}
    return model(
        [node("Conv", ["x", "w", "b"], ["y"], pads=[1, 1, 1, 1])],
        {"x": [batch, 3, 8, 8]},
        {"y": [batch, 4, 8, 8]},
        weights,
    )
