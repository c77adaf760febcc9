"""What the schema of TFLite says of numbers: names of operators, types, options."""

from __future__ import annotations

import re
from typing import Any

from ai_edge_litert import schema_py_generated as schema

_ENUMERATIONS = {
    "fused_activation_function": "ActivationFunctionType",
    "padding": "Padding",
    "weights_format": "FullyConnectedOptionsWeightsFormat",
    "mode": "MirrorPadMode",
    "kernel_type": "LSTMKernelType",
    "in_data_type": "TensorType",
    "out_data_type": "TensorType",
    "quantized_bias_type": "TensorType",
    "output_type": "TensorType",
    "out_type": "TensorType",
    "index_out_type": "TensorType",
}

_NAMES: dict[str, dict[int, str]] = {}


def enumerated(enumeration: str, number: int) -> str:
    """Return the name of a number; one that this schema does not know keeps its number."""
    return _names(enumeration).get(number, f"{enumeration}_{number}")


def option_named(key: str, value: int) -> int | str:
    """Return the name that a number among an operator's options stands for, if it has one."""
    return enumerated(_ENUMERATIONS[key], value) if key in _ENUMERATIONS else value


def options_of(operator: Any) -> dict[str, Any]:
    """Return the options of an operator as the schema's accessors give them, by their names."""
    options: dict[str, Any] = {}
    for kinds, number, table in (
        ("BuiltinOptions", operator.BuiltinOptionsType(), operator.BuiltinOptions()),
        ("BuiltinOptions2", operator.BuiltinOptions2Type(), operator.BuiltinOptions2()),
    ):
        kind = _names(kinds).get(number)
        if not number or kind is None or table is None:
            continue
        accessor = getattr(schema, kind)()
        accessor.Init(table.Bytes, table.Pos)
        found = getattr(schema, f"{kind}T").InitFromObj(accessor)
        options |= {_snake(key): value for key, value in vars(found).items()}
    return options


def blocks_of(table: Any) -> tuple[int, int] | None:
    """Return the index of the tensor of scales and the size of a block, where there are blocks."""
    quantization = table.Quantization()
    kind = getattr(schema.QuantizationDetails, "BlockwiseQuantization", None)
    if quantization is None or kind is None or quantization.DetailsType() != kind:
        return None
    details = quantization.Details()
    found = schema.BlockwiseQuantization()
    found.Init(details.Bytes, details.Pos)
    return found.Scales(), found.BlockSize()


def _names(enumeration: str) -> dict[int, str]:
    if enumeration not in _NAMES:
        members = vars(getattr(schema, enumeration))
        _NAMES[enumeration] = {v: k for k, v in members.items() if isinstance(v, int)}
    return _NAMES[enumeration]


def _snake(camel: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", camel).lower()
