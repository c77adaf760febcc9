"""Shapes in an ONNX file: as it states them, and as they are at batch 1.

Both come from onnx's own shape inference, without large weights: inference needs their shapes, and
a model with all of them may be too large for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

import onnx

from edgekd.modelfile.onnx_folding import fold

Shape = tuple[int, ...]
FreeShape = tuple[int | None, ...]

#: Weights of at most this many elements stay: shapes and axes are computed from them.
_SMALL = 1024

#: Shapes that depend on one another through this many computed ones are given up.
_MOST_ROUNDS = 16


@dataclass
class Shapes:
    """What is known of the tensors of one graph.

    Attributes:
        types: name -> number of the element type.
        declared: name -> shape with None where a size is free.
        fixed: name -> shape at batch 1; only those that are wholly known.
        inner: the same of the graphs inside its nodes, in order.
    """

    NONE: ClassVar[Shapes]

    types: dict[str, int] = field(default_factory=dict)
    declared: dict[str, FreeShape] = field(default_factory=dict)
    fixed: dict[str, Shape] = field(default_factory=dict)
    inner: list[Shapes] = field(default_factory=list)
    _given: int = 0

    def inside(self) -> Iterator[Shapes]:
        """Iterate over the inner graphs not yet given out."""
        while self._given < len(self.inner):
            self._given += 1
            yield self.inner[self._given - 1]


Shapes.NONE = Shapes()


def inferred(model: Any, remarks: list[str]) -> Shapes:
    """Return what can be known about the shapes of a model.

    Args:
        model: a ``ModelProto``; it is not changed.
        remarks: what is odd is added here.
    """
    slim = _slim(model)
    declared = _infer(slim, remarks)
    changed = _at_batch_one(slim)
    fixed = _infer(slim, [])
    for _ in range(_MOST_ROUNDS):
        if not _unknown(fixed.graph) or not fold(slim, _fixed_shapes(fixed.graph)):
            break
        fixed = _infer(slim, [])
    found = _collected(declared.graph, fixed.graph)
    if not changed:
        remarks += _contradictions(model.graph, found)
        _take_stated(found)
    return found


def _take_stated(found: Shapes) -> None:
    """Where no size is free, what the file states is what runs."""
    for name, shape in found.declared.items():
        sizes = tuple(size for size in shape if size is not None)
        if len(sizes) == len(shape):
            found.fixed.setdefault(name, sizes)


def _slim(model: Any) -> Any:
    """Return a copy in which large weights are inputs: only their shapes are left."""
    slim = onnx.ModelProto()
    slim.ir_version = model.ir_version
    slim.opset_import.extend(model.opset_import)
    graph = model.graph
    slim.graph.name = graph.name
    slim.graph.node.extend(graph.node)
    slim.graph.input.extend(graph.input)
    slim.graph.output.extend(graph.output)
    slim.graph.value_info.extend(graph.value_info)
    listed = {value.name for value in graph.input}
    for weight in graph.initializer:
        elements = 1
        for size in weight.dims:
            elements *= size
        if elements <= _SMALL and weight.data_location != onnx.TensorProto.EXTERNAL:
            slim.graph.initializer.append(weight)
        elif weight.name not in listed:
            value = onnx.helper.make_tensor_value_info(weight.name, weight.data_type, weight.dims)
            slim.graph.input.append(value)
    return slim


def _infer(model: Any, remarks: list[str]) -> Any:
    try:
        return onnx.shape_inference.infer_shapes(model, data_prop=True)
    except Exception as error:  # a type or an attribute that contradicts the operator
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        remarks.append(f"its shapes contradict one another: {first}")
        return model


def _at_batch_one(model: Any) -> bool:
    """Set free batch axes to 1, drop what was stated of shapes behind, say if any was free."""
    free: set[str] = set()
    changed = False
    for value in model.graph.input:
        dims = value.type.tensor_type.shape.dim
        if dims and not dims[0].HasField("dim_value"):
            changed = True
            if dims[0].dim_param:
                free.add(dims[0].dim_param)
            dims[0].dim_value = 1
    for value in model.graph.input:
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param in free:
                dim.dim_value = 1
    del model.graph.value_info[:]
    for value in model.graph.output:
        value.type.tensor_type.ClearField("shape")
    return changed


def _collected(declared: Any, fixed: Any) -> Shapes:
    found = Shapes()
    for value in (*declared.value_info, *declared.input, *declared.output):
        kind = value.type.tensor_type
        found.types[value.name] = kind.elem_type
        if kind.HasField("shape"):
            found.declared[value.name] = tuple(
                dim.dim_value if dim.HasField("dim_value") else None for dim in kind.shape.dim
            )
    found.fixed = _fixed_shapes(fixed)
    for value in (*fixed.value_info, *fixed.input, *fixed.output):
        found.types.setdefault(value.name, value.type.tensor_type.elem_type)
    for weight in fixed.initializer:  # shapes that were computed beforehand
        found.fixed.setdefault(weight.name, tuple(weight.dims))
    for name, shape in found.fixed.items():
        found.declared.setdefault(name, tuple(shape))
    for ours, theirs in zip(_inner(declared), _inner(fixed), strict=True):
        found.inner.append(_collected(ours, theirs))
    return found


def _fixed_shapes(graph: Any) -> dict[str, Shape]:
    """Return the shapes of a graph that are wholly known."""
    shapes = {}
    for value in (*graph.value_info, *graph.input, *graph.output):
        kind = value.type.tensor_type
        if kind.HasField("shape") and all(dim.HasField("dim_value") for dim in kind.shape.dim):
            shapes[value.name] = tuple(dim.dim_value for dim in kind.shape.dim)
    return shapes


def _unknown(graph: Any) -> bool:
    """Whether a tensor is left whose shape is not known."""
    known = _fixed_shapes(graph).keys() | {weight.name for weight in graph.initializer}
    return any(name and name not in known for node in graph.node for name in node.output)


def _inner(graph: Any) -> Iterator[Any]:
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield attribute.g
            elif attribute.type == onnx.AttributeProto.GRAPHS:
                yield from attribute.graphs


def _contradictions(graph: Any, found: Shapes) -> list[str]:
    """Say where the file states another shape for an output than its operators give."""
    remarks = []
    for value in graph.output:
        stated = tuple(dim.dim_value or None for dim in value.type.tensor_type.shape.dim)
        given = found.fixed.get(value.name)
        if not stated or given is None:
            continue
        same = len(stated) == len(given) and all(
            one in (None, other) for one, other in zip(stated, given, strict=True)
        )
        if not same:
            remarks.append(
                f"the file says that output {value.name!r} has the shape {_text(stated)}, "
                f"its operators give {_text(given)}"
            )
    return remarks


def _text(shape: FreeShape) -> str:
    return "x".join("?" if size is None else str(size) for size in shape)
