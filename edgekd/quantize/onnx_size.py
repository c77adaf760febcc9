"""Quantized ONNX files without what only costs bytes: names, doubled constants, float tables.

In a quantized file names, scales and zero points can weigh more than the weights do.
"""

from __future__ import annotations

import string
from collections.abc import Collection, Iterator
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

_DIGITS = string.digits + string.ascii_lowercase
_BETWEEN = ("QuantizeLinear", "DequantizeLinear")
_LARGEST = 127
#: Values below which a table is not worth its scales.
_SMALLEST_TABLE = 1024


def store_tables(model: Any, kept: Collection[str] = ()) -> int:
    """Store the tables that are only looked up in int8, with a scale a column; return how many.

    onnxruntime's quantizer leaves them float where attention keeps the rest of them float. Rows
    become float as they are read: no table is unpacked.

    Args:
        model: an ONNX model, changed in place.
        kept: names of nodes that stay as they are.
    """
    graph = model.graph
    readers: dict[str, list[Any]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    done = 0
    for table in list(graph.initializer):
        nodes = readers.get(table.name, [])
        if not _is_table(table) or not nodes or not all(_looks_up(n, table.name) for n in nodes):
            continue
        if any(node.name in kept for node in nodes):
            continue
        values = numpy_helper.to_array(table)
        scales = (np.abs(values).max(axis=0) / _LARGEST).astype(np.float32)
        scales[scales == 0] = 1.0
        stored = np.rint(values / scales).astype(np.int8)
        name = table.name
        graph.initializer.remove(table)
        graph.initializer.append(numpy_helper.from_array(stored, name))
        graph.initializer.append(numpy_helper.from_array(scales, f"{name}_scale"))
        for node in nodes:
            _unpack(graph, node, f"{name}_scale")
        done += 1
    return done


def _is_table(weight: Any) -> bool:
    size = int(np.prod(weight.dims)) if weight.dims else 0
    return (
        weight.data_type == TensorProto.FLOAT and len(weight.dims) == 2 and size >= _SMALLEST_TABLE
    )


def _looks_up(node: Any, name: str) -> bool:
    axis = next((one.i for one in node.attribute if one.name == "axis"), 0)
    return bool(node.op_type == "Gather" and node.input[0] == name and axis == 0)


def _unpack(graph: Any, node: Any, scales: str) -> None:
    """Let a lookup of integers be followed by what makes floats of them."""
    given, rows = node.output[0], f"{node.output[0]}_rows"
    node.output[0] = rows
    place = next(i for i, one in enumerate(graph.node) if one is node or one == node)
    graph.node.insert(
        place + 1, helper.make_node("DequantizeLinear", [rows, scales], [given], axis=-1)
    )


def strip(model: Any) -> None:
    """Share constants that are equal, and take out names and shapes that nothing needs.

    Inputs and outputs keep their names; an operator with weights is called by its layer.
    Graphs within graphs are left alone: they see the names of the outer one.

    Args:
        model: an ONNX model, changed in place.
    """
    graph = model.graph
    if model.functions or any(one.HasField("g") for node in graph.node for one in node.attribute):
        return
    _name_operators(graph)
    _share(graph)
    outer = {value.name for value in (*graph.input, *graph.output)}
    short = _short_names(outer)
    names: dict[str, str] = {"": ""}

    def renamed(name: str) -> str:
        if name not in names:
            names[name] = name if name in outer else next(short)
        return names[name]

    for weight in graph.initializer:
        weight.name = renamed(weight.name)
        weight.ClearField("doc_string")
    for node in graph.node:
        node.input[:] = [renamed(name) for name in node.input]
        node.output[:] = [renamed(name) for name in node.output]
        node.ClearField("doc_string")
    del graph.value_info[:]


def _name_operators(graph: Any) -> None:
    """Call an operator as its layer where its weight tells, and not at all where none does."""
    stored = {weight.name for weight in graph.initializer}
    unpacked = {node.output[0]: node.input[0] for node in graph.node if node.op_type in _BETWEEN}
    taken = {""}
    for node in graph.node:
        node_name = ""
        for name in node.input if node.op_type not in _BETWEEN else ():
            weight = unpacked.get(name, name)
            layer, dot, last = weight.rpartition(".")
            if weight in stored and dot and last.startswith("weight"):
                node_name = layer
                break
        node.ClearField("name")
        if node_name not in taken:
            node.name = node_name
            taken.add(node_name)


def _share(graph: Any) -> None:
    """Keep one of the constants that are equal bit for bit."""
    first: dict[tuple[Any, ...], str] = {}
    same: dict[str, str] = {}
    kept = []
    outputs = {value.name for value in graph.output}
    for weight in graph.initializer:
        values = numpy_helper.to_array(weight)
        key = (weight.data_type, tuple(weight.dims), values.tobytes())
        if key in first and weight.name not in outputs:
            same[weight.name] = first[key]
        else:
            first.setdefault(key, weight.name)
            kept.append(weight)
    del graph.initializer[:]
    graph.initializer.extend(kept)
    for node in graph.node:
        node.input[:] = [same.get(name, name) for name in node.input]


def _short_names(taken: Collection[str]) -> Iterator[str]:
    """Yield 0, 1, ..., z, 10, 11, ...: names that nothing else has."""
    number = 0
    while True:
        digits, rest = "", number
        while rest or not digits:
            rest, digit = divmod(rest, len(_DIGITS))
            digits = _DIGITS[digit] + digits
        number += 1
        if digits not in taken:
            yield digits
