"""Integer inputs and outputs for a quantized ONNX file.

onnxruntime's tools quantize every input first and turn every output back into float last. Without
these two operators the file takes and gives the integers themselves. ONNX has no place for the
scale and zero point of an input: they go into the file's metadata, see `edgekd.modelfile.integers`.
"""

from __future__ import annotations

import json
from typing import Any, Literal

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from edgekd.errors import ExportError
from edgekd.modelfile.integers import KEY

_OFFSET = 128


def integer_io(model: Any, io: Literal["int8", "uint8"]) -> Any:
    """Return a model whose float inputs and outputs have become integers; it is changed in place.

    Args:
        model: a ModelProto in which QuantizeLinear follows every float input, and DequantizeLinear
            precedes every float output.
        io: the type.

    Raises:
        ExportError: an input or output is not quantized.
    """
    graph = model.graph
    ends = _Ends(model, io)
    for value in graph.input:
        if value.type.tensor_type.elem_type == TensorProto.FLOAT:
            ends.open(value)
    for value in graph.output:
        if value.type.tensor_type.elem_type == TensorProto.FLOAT:
            ends.close(value)
    ends.sweep()
    onnx.checker.check_model(model)
    return model


class _Ends:
    """The two ends of a graph, while they are changed."""

    def __init__(self, model: Any, io: str) -> None:
        self._model, self._graph, self._io = model, model.graph, io
        self._type = TensorProto.UINT8 if io == "uint8" else TensorProto.INT8
        self._constants = {one.name: one for one in model.graph.initializer}

    def open(self, value: Any) -> None:
        """Have an input taken as integers."""
        quantize = self._only("QuantizeLinear", value.name, "input", lambda node: node.input[0])
        back = self._only(
            "DequantizeLinear", quantize.output[0], "input", lambda node: node.input[0]
        )
        back.input[0] = value.name
        self._restate(value, back)
        self._graph.node.remove(quantize)
        # What took the float input itself takes what the integers stand for.
        for node in self._graph.node:
            for place, name in enumerate(node.input):
                if name == value.name and node != back:
                    node.input[place] = back.output[0]

    def close(self, value: Any) -> None:
        """Have an output given as integers."""
        back = self._only("DequantizeLinear", value.name, "output", lambda node: node.output[0])
        quantize = self._only(
            "QuantizeLinear", back.input[0], "output", lambda node: node.output[0]
        )
        inner, outer = quantize.output[0], value.name
        for node in self._graph.node:
            for names in (node.input, node.output):
                for place, name in enumerate(names):
                    if name == outer:
                        names[place] = f"{outer}.float"
                    elif name == inner:
                        names[place] = outer
        self._restate(value, back, quantize)

    def _only(self, kind: str, name: str, end: str, tensor: Any) -> Any:
        for node in self._graph.node:
            if node.op_type == kind and tensor(node) == name:
                return node
        raise ExportError(
            f"the {end} {name!r} is not quantized in this file, and cannot be {self._io}",
            hint="Leave --io out: float32 goes in and comes out.",
        )

    def _restate(self, value: Any, *nodes: Any) -> None:
        """Give a value and the operators next to it the type, and write down what it stands for."""
        scale = float(numpy_helper.to_array(self._constants[nodes[0].input[1]]))
        stored = numpy_helper.to_array(self._constants[nodes[0].input[2]])
        zero = int(stored)
        if stored.dtype == np.uint8 and self._io == "int8":
            zero -= _OFFSET
        dtype = np.uint8 if self._io == "uint8" else np.int8
        name = f"{value.name}.zero_point"
        self._graph.initializer.append(numpy_helper.from_array(np.array(zero, dtype), name))
        for node in nodes:
            node.input[2] = name
        value.type.tensor_type.elem_type = self._type
        entry = self._model.metadata_props.add()
        entry.key = f"{KEY}{value.name}"
        entry.value = json.dumps({"scale": scale, "zero_point": zero})

    def sweep(self) -> None:
        """Take out what nothing uses any more."""
        graph = self._graph
        outputs = {value.name for value in graph.output}
        used = outputs | {name for node in graph.node for name in node.input}
        for node in [node for node in graph.node if not used & set(node.output)]:
            graph.node.remove(node)
        used = outputs | {name for node in graph.node for name in node.input}
        for one in [one for one in graph.initializer if one.name not in used]:
            graph.initializer.remove(one)
        del graph.value_info[:]
