"""ONNX files as graphs; a damaged file is an error of ours.

Weights in other files are not read: their sizes stand in this one. Functions that a file defines
are written out in line.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import onnx

from edgekd.errors import ModelFileError
from edgekd.modelfile import onnx_shapes as shapes
from edgekd.modelfile.graph import OMITTED, Graph, Operator, Subgraph, Tensor
from edgekd.modelfile.onnx_functions import written_out
from edgekd.modelfile.onnx_quantization import with_quantization
from edgekd.modelfile.onnx_values import (
    domain_of,
    dtype_of,
    graphs_in,
    options_of,
    standard,
    stored_bytes,
    text_of,
    values_of,
)


def read(content: bytes, *, name: str) -> Graph:
    """Return what an ONNX file holds.

    Args:
        content: the file.
        name: what to call it in an error.

    Raises:
        ModelFileError: it is damaged.
    """
    try:
        model = onnx.load_model_from_string(content)
        if not model.HasField("graph"):
            raise ModelFileError(f"{name} holds no ONNX graph")
        return _graph(model, len(content))
    except ModelFileError:
        raise
    except Exception as error:  # whatever parsing random bytes raises
        raise ModelFileError(
            f"{name} is a damaged ONNX file, or none at all: {type(error).__name__}: {error}",
            hint="Was the download or the copy cut short?",
        ) from error


def _graph(model: Any, size: int) -> Graph:
    remarks: list[str] = []
    model = written_out(model, remarks)
    opsets = {domain_of(one.domain): one.version for one in model.opset_import}
    if not opsets:
        remarks.append("no opset is named: which meaning its operators have is not said")
    found = shapes.inferred(model, remarks)
    reader = _Reader(opsets)
    reader.subgraph(model.graph, found, {})
    main = reader.subgraphs[0]
    remarks += _remarks(model, main)
    return Graph(
        format="onnx",
        version=model.ir_version,
        subgraphs=tuple(one for one in reader.subgraphs if one is not None),
        opsets=opsets,
        description=text_of(model.doc_string or model.graph.doc_string),
        producer=f"{text_of(model.producer_name)} {text_of(model.producer_version)}".strip(),
        metadata={text_of(one.key): text_of(one.value).encode() for one in model.metadata_props},
        size_bytes=size,
        remarks=tuple(remarks),
    )


class _Reader:
    """Collects the subgraphs of a file: the main one first, then those inside operators."""

    def __init__(self, opsets: dict[str, int]) -> None:
        self.subgraphs: list[Any] = []
        self._opsets = opsets
        self._stored = 0

    def subgraph(self, graph: Any, found: shapes.Shapes, outer: dict[str, Tensor]) -> int:
        """Read one graph and return its number; ``outer`` are the tensors it may also see."""
        number = len(self.subgraphs)
        self.subgraphs.append(None)
        tensors: dict[str, Tensor] = {}
        for weight in graph.initializer:
            tensors[weight.name] = self._weight(weight, weight.name)
        for sparse in graph.sparse_initializer:
            whole = self._weight(sparse.values, sparse.values.name)
            tensors[sparse.values.name] = replace(whole, sparse=True, load=None)
        inputs = [value.name for value in graph.input if value.name not in tensors]
        for value in (*graph.input, *graph.output, *graph.value_info):
            if value.name and value.name not in tensors:
                tensors[value.name] = self._value(value.name, found)
        operators = [(node, self._node_tensors(node, tensors, found, outer)) for node in graph.node]
        places = {name: place for place, name in enumerate(tensors)}
        everything = {**outer, **tensors}
        read = tuple(
            self._operator(index, node, places, inner, everything)
            for index, (node, inner) in enumerate(operators)
        )
        kept = Subgraph(
            name=text_of(graph.name),
            inputs=tuple(places[name] for name in inputs),
            outputs=tuple(places[value.name] for value in graph.output if value.name in places),
            operators=read,
            tensors=tuple(tensors.values()),
        )
        self.subgraphs[number] = with_quantization(kept)
        return number

    def _node_tensors(
        self, node: Any, tensors: dict[str, Tensor], found: shapes.Shapes, outer: dict[str, Tensor]
    ) -> Iterator[shapes.Shapes]:
        """Add the tensors of a node; return the shapes of the graphs in it."""
        for name in (*node.input, *node.output):
            if name and name not in tensors:
                tensors[name] = outer.get(name) or self._value(name, found)
        if node.op_type == "Constant" and node.output and standard(node.domain):
            for attribute in node.attribute:
                if attribute.name == "value":
                    tensors[node.output[0]] = self._weight(attribute.t, node.output[0])
        return found.inside()

    def _operator(
        self,
        index: int,
        node: Any,
        places: dict[str, int],
        inner: Iterator[shapes.Shapes],
        seen: dict[str, Tensor],
    ) -> Operator:
        domain = domain_of(node.domain)
        bodies = [graph for attribute in node.attribute for graph in graphs_in(attribute)]
        return Operator(
            index=index,
            name=text_of(node.op_type),
            domain=domain,
            version=self._opsets.get(domain, 0),
            inputs=tuple(places.get(name, OMITTED) for name in node.input),
            outputs=tuple(places.get(name, OMITTED) for name in node.output),
            options=options_of(node.attribute),
            label=text_of(node.name),
            subgraphs=tuple(
                self.subgraph(body, next(inner, shapes.Shapes.NONE), seen) for body in bodies
            ),
        )

    def _value(self, name: Any, found: shapes.Shapes) -> Tensor:
        return Tensor(
            text_of(name),
            dtype_of(found.types.get(name, 0)),
            found.declared.get(name),
            fixed_shape=found.fixed.get(name),
        )

    def _weight(self, proto: Any, name: Any) -> Tensor:
        self._stored += 1
        shape, dtype = tuple(proto.dims), dtype_of(proto.data_type)
        external = proto.data_location == onnx.TensorProto.EXTERNAL
        return Tensor(
            text_of(name),
            dtype,
            shape,
            fixed_shape=shape,
            stored_bytes=stored_bytes(proto, dtype, shape),
            storage=self._stored,
            external=external,
            load=None if external else partial(values_of, proto),
        )


def _remarks(model: Any, main: Subgraph) -> list[str]:
    remarks = []
    stored = {weight.name for weight in model.graph.initializer}
    doubled = sum(value.name in stored for value in model.graph.input)
    if doubled:
        remarks.append(
            f"{doubled} weights are also listed as graph inputs: onnxruntime takes them for "
            "values that may change, and folds no constants"
        )
    external = [tensor for tensor in main.tensors if tensor.external]
    if external:
        remarks.append(f"{len(external)} weights lie in other files beside this one")
    given = {place for one in main.operators for place in one.outputs} | set(main.inputs)
    read = {place for one in main.operators for place in one.inputs if place != OMITTED}
    loose = [p for p in read - given if not main.tensors[p].constant]
    if loose:
        names = ", ".join(repr(main.tensors[place].name) for place in sorted(loose)[:3])
        remarks.append(f"{len(loose)} tensors are read that nothing gives: {names}")
    return remarks
