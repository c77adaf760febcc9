"""A TFLite file made smaller without changing what it computes.

The converter names every tensor by the classes of all modules around it, and the quantizer writes
each of many equal vectors (zero points, shapes) anew: on networks of 5,000 to 30,000 parameters
that is a tenth to a third of the file. Here inner names are emptied, and
``edgekd.modelfile.flatbuffer`` packs what is left.
"""

from __future__ import annotations

from typing import Any

from ai_edge_litert import schema_py_generated as schema

from edgekd.modelfile.flatbuffer import pack, unpack

#: What leads in and out of the integers.
_BETWEEN = ("QUANTIZE", "DEQUANTIZE")
_FLOATS = (schema.TensorType.FLOAT32, schema.TensorType.FLOAT16)


def compact(content: bytes) -> bytes:
    """Return the same model in fewer bytes.

    Names of inputs and outputs stay; so do the signature, its names, and all numbers.

    Args:
        content: a TFLite file.
    """
    model = read(content)
    for graph in model.subgraphs:
        kept = {int(index) for index in (*graph.inputs, *graph.outputs)}
        for index, tensor in enumerate(graph.tensors):
            if index not in kept:
                tensor.name = b""
    return pack(model)


def read(content: bytes) -> Any:
    """Return the object tree (``ModelT``) of a TFLite file, all buffers inlined."""
    return unpack(content)


def float_operators(content: bytes) -> tuple[tuple[str, ...], int]:
    """Return the names of operators that compute in float, and how many operators there are.

    QUANTIZE and DEQUANTIZE, which lead in and out of the integers, are not counted.
    """
    model = read(content)
    total = sum(
        _operator_name(model.operatorCodes[operator.opcodeIndex]) not in _BETWEEN
        for graph in model.subgraphs
        for operator in graph.operators
    )
    return tuple(name for name, _ in floats_in(content)), total


def floats_in(content: bytes) -> tuple[tuple[str, bytes], ...]:
    """Return the operators that compute in float: the operator's name, and its first output's.

    QUANTIZE and DEQUANTIZE are not among them.
    """
    model = read(content)
    found = []
    for graph in model.subgraphs:
        for operator in graph.operators:
            name = _operator_name(model.operatorCodes[operator.opcodeIndex])
            tensors = [graph.tensors[i] for i in (*operator.inputs, *operator.outputs) if i >= 0]
            if name not in _BETWEEN and any(tensor.type in _FLOATS for tensor in tensors):
                outputs = [graph.tensors[i].name for i in operator.outputs]
                found.append((name, bytes(outputs[0]) if outputs else b""))
    return tuple(found)


def _operator_name(code: Any) -> str:
    number = max(code.builtinCode, code.deprecatedBuiltinCode)
    names = {value: name for name, value in vars(schema.BuiltinOperator).items()}
    return str(names.get(number, number))
