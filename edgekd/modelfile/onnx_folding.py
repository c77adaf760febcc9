"""Shapes that an ONNX graph computes while it runs, computed beforehand.

onnx's shape inference follows some of them (``Shape``, ``Gather``, ``Concat``) and not others; what
it leaves open is evaluated here by onnx's reference implementation: a few integers at a time.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator

#: They give few numbers for few numbers.
_FOLDED = frozenset(
    "Add Cast Concat Div Gather Identity Mul Reshape Shape Slice Squeeze Sub Unsqueeze".split()
)
_MOST = 64
_INT32, _INT64 = onnx.TensorProto.INT32, onnx.TensorProto.INT64


def fold(model: Any, shapes: dict[str, tuple[int, ...]]) -> bool:
    """Replace operators that compute shapes by their results.

    Args:
        model: a ``ModelProto`` without functions; it is changed.
        shapes: what is known of its tensors.

    Returns:
        Whether anything was replaced.
    """
    known = {
        weight.name: numpy_helper.to_array(weight)
        for weight in model.graph.initializer
        if weight.data_type in (_INT32, _INT64)
    }
    kept, folded = [], False
    for node in model.graph.node:
        if node.op_type == "Constant" and node.output:
            known |= _constant(node)
        found = _evaluated(node, known, shapes, model.opset_import)
        if found is None:
            kept.append(node)
            continue
        known[node.output[0]] = found
        model.graph.initializer.append(numpy_helper.from_array(found, node.output[0]))
        folded = True
    if folded:
        del model.graph.node[:]
        model.graph.node.extend(kept)
    return folded


def _constant(node: Any) -> dict[str, Any]:
    """Return the integers that a Constant holds, by its output's name."""
    found = {}
    for one in node.attribute:
        if one.name == "value" and one.t.data_type in (_INT32, _INT64):
            found[node.output[0]] = numpy_helper.to_array(one.t)
    return found


def _evaluated(node: Any, known: Any, shapes: Any, opsets: Any) -> Any:
    """Return what an operator gives; None where it is not known or no matter of shapes."""
    standard = node.domain in ("", "ai.onnx")
    if node.op_type not in _FOLDED or not standard or len(node.output) != 1 or not node.input:
        return None
    if node.op_type == "Shape":
        if node.input[0] not in shapes:
            return None
        feeds = {node.input[0]: np.broadcast_to(np.float32(0), shapes[node.input[0]])}
    elif all(name in known for name in node.input if name):
        feeds = {name: known[name] for name in node.input if name}
        if any(values.size > _MOST for values in feeds.values()):
            return None
    else:
        return None
    try:
        graph = onnx.helper.make_graph(
            [node],
            "fold",
            [onnx.helper.make_empty_tensor_value_info(name) for name in feeds],
            [onnx.helper.make_empty_tensor_value_info(node.output[0])],
        )
        alone = onnx.helper.make_model(graph, opset_imports=list(opsets))
        given: Any = ReferenceEvaluator(alone).run(None, feeds)
        found = np.asarray(given[0])
    except Exception:  # a damaged operator: what it gives stays unknown
        return None
    return found if found.dtype in (np.int64, np.int32) and found.size <= _MOST else None
