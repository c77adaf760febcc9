"""What protobuf gives of an ONNX file, as plain values: texts, types, sizes, options."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

_NAMED_TYPES = {"FLOAT": "float32", "DOUBLE": "float64", "UNDEFINED": "unknown"}

#: Bits of an element where that is not what NumPy says, or NumPy does not know it.
_BITS = {"int4": 4, "uint4": 4, "float4e2m1": 4, "int2": 2, "uint2": 2, "bfloat16": 16}


def standard(domain: str | bytes) -> bool:
    """Say whether a domain is that of the operators that ONNX itself defines."""
    return domain in ("", "ai.onnx")


def domain_of(domain: str | bytes) -> str:
    """Return a domain, the standard one as ""."""
    return "" if standard(domain) else text_of(domain)


def text_of(value: str | bytes) -> str:
    """Return a text; protobuf gives bytes where a damaged file holds no UTF-8."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def dtype_of(number: int) -> str:
    """Return the name of an element type; one that is not known keeps its number."""
    known = onnx.TensorProto.DataType.values()
    name = onnx.TensorProto.DataType.Name(number) if number in known else f"type_{number}"
    return _NAMED_TYPES.get(name, name.lower())


def stored_bytes(proto: Any, dtype: str, shape: tuple[int, ...]) -> int:
    """Return how many bytes the values take, in this file or in another."""
    if proto.raw_data:
        return len(proto.raw_data)
    if dtype == "string":
        return sum(len(text) for text in proto.string_data)
    for entry in proto.external_data:
        if entry.key == "length" and entry.value.isdecimal():
            return int(entry.value)
    elements = 1
    for size in shape:
        elements *= max(size, 0)
    return (elements * _bits(dtype) + 7) // 8


def _bits(dtype: str) -> int:
    if dtype in _BITS:
        return _BITS[dtype]
    try:
        return np.dtype(dtype).itemsize * 8
    except TypeError:
        return 8


def values_of(proto: Any) -> NDArray[Any] | None:
    """Return the values of a weight, 4-bit integers as 8-bit ones; None if they do not fit."""
    try:
        found = numpy_helper.to_array(proto)
    except Exception:  # sizes that contradict each other, types that NumPy does not know
        return None
    wider = {"int4": np.int8, "uint4": np.uint8, "bfloat16": np.float32}.get(str(found.dtype))
    return found if wider is None else found.astype(wider)


def graphs_in(attribute: Any) -> tuple[Any, ...]:
    """Return the graphs inside an attribute of a node."""
    if attribute.type == onnx.AttributeProto.GRAPH:
        return (attribute.g,)
    return tuple(attribute.graphs) if attribute.type == onnx.AttributeProto.GRAPHS else ()


def options_of(attributes: Sequence[Any]) -> dict[str, Any]:
    """Return numbers, texts and lists of them; tensors and graphs are left out."""
    options: dict[str, Any] = {}
    kinds = onnx.AttributeProto
    for one in attributes:
        if one.type == kinds.INT:
            options[text_of(one.name)] = one.i
        elif one.type == kinds.FLOAT:
            options[text_of(one.name)] = one.f
        elif one.type == kinds.STRING:
            options[text_of(one.name)] = one.s.decode("utf-8", "replace")
        elif one.type == kinds.INTS:
            options[text_of(one.name)] = tuple(one.ints)
        elif one.type == kinds.FLOATS:
            options[text_of(one.name)] = tuple(one.floats)
        elif one.type == kinds.STRINGS:
            options[text_of(one.name)] = tuple(
                text.decode("utf-8", "replace") for text in one.strings
            )
    return options
