"""Small real ONNX files: one weight, multiplied with again and again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def chain(
    path: Path, *, width: int = 8, layers: int = 3, last: str | None = None, producer: str = "test"
) -> Path:
    """Write y = x W W ... W.

    The weight is stored once, so that more layers take longer and need no more bytes to speak of.

    Args:
        path: the file.
        width: x is (1, width), W is (width, width).
        layers: how many multiplications.
        last: an operator at the end, e.g. ``Relu``.
        producer: written into the file; another one is another file that does the same.
    """
    weight = np.random.default_rng(0).normal(0, width**-0.5, (width, width)).astype(np.float32)
    nodes = [
        helper.make_node("MatMul", [f"h{number}", "w"], [f"h{number + 1}"])
        for number in range(layers)
    ]
    end = f"h{layers}"
    if last is not None:
        nodes.append(helper.make_node(last, [end], ["y"]))
        end = "y"
    value = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, width]) for n in ("h0", end)]
    weights = [numpy_helper.from_array(weight, "w")]
    graph = helper.make_graph(nodes, "chain", value[:1], value[1:], weights)
    made = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", 13)],
        ir_version=8,
        producer_name=producer,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(made, str(path))
    return path
