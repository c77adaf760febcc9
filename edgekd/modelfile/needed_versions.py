"""The version of a TFLite operator that its types and options need, whatever its stamp says.

Quantizers that rewrite a finished file leave the versions of its float operators as they were: a
stamp of 5 on a FULLY_CONNECTED whose weights have one scale a channel needs version 12. The rules
are those by which TensorFlow's converter stamps (``op_version.cc`` of TensorFlow and LiteRT).
"""

from __future__ import annotations

from collections.abc import Callable

from edgekd.modelfile.graph import Operator, Subgraph, Tensor

Inputs = tuple[Tensor | None, ...]


def needed_version(subgraph: Subgraph, operator: Operator) -> int:
    """Return the version of its kind that an operator needs.

    Args:
        subgraph: where it stands.
        operator: an operator of a TFLite file, not a custom one.
    """
    inputs = subgraph.inputs_of(operator)
    versions = [_LOWEST.get(operator.name, 1)]
    if operator.name in _BY_TYPE:
        position, known = _BY_TYPE[operator.name]
        versions.append(known.get(dtype(inputs, position), 1))
    if operator.name in _BY_RANK:
        versions += [version for rank, version in _BY_RANK[operator.name] if _rank(inputs) >= rank]
    if operator.name in _OTHERWISE:
        versions.append(_OTHERWISE[operator.name](operator, inputs, subgraph.outputs_of(operator)))
    return max(versions)


def dtype(tensors: Inputs, position: int) -> str:
    """Return the type of elements of one of the tensors, "" where it is left out."""
    tensor = tensors[position] if position < len(tensors) else None
    return "" if tensor is None else tensor.dtype


def scales(tensors: Inputs, position: int) -> int:
    """Return how many different scales one of the tensors has; 0 where it is left out."""
    tensor = tensors[position] if position < len(tensors) else None
    if tensor is None or tensor.quantization is None:
        return 0
    return len(set(tensor.quantization.scales))


def _rank(inputs: Inputs) -> int:
    return max((len(t.fixed_shape or ()) for t in inputs if t is not None), default=0)


def _convolution(operator: Operator, inputs: Inputs, outputs: Inputs) -> int:
    values, weights = dtype(inputs, 0), dtype(inputs, 1)
    data, kernel = inputs[0], inputs[1]
    if data is not None and kernel is not None and data.fixed_shape and kernel.fixed_shape:
        if data.fixed_shape[-1] != kernel.fixed_shape[-1]:
            return 6
    if values == "int16" and operator.options.get("quantized_bias_type", "FLOAT32") != "FLOAT32":
        return 8
    if values == "float32" and weights == "int8":
        return 5 if scales(inputs, 1) > 1 else 2
    return {("int16", "int16"): 4, ("int8", "int8"): 3, ("int8", "int4"): 7}.get(
        (values, weights), 1
    )


def _depthwise(operator: Operator, inputs: Inputs, outputs: Inputs) -> int:
    values, weights = dtype(inputs, 0), dtype(inputs, 1)
    if values == "float32" and weights == "int8":
        return 6 if scales(inputs, 1) > 1 else 4
    known = {("int16", "int16"): 5, ("int8", "int8"): 3, ("int8", "int4"): 7}
    if (values, weights) in known:
        return known[values, weights]
    dilated = any(operator.options.get(f"dilation_{side}_factor", 1) != 1 for side in "wh")
    return 2 if dilated else 1


def _dense(operator: Operator, inputs: Inputs, outputs: Inputs) -> int:
    values, weights, options = dtype(inputs, 0), dtype(inputs, 1), operator.options
    kernel = inputs[1] if len(inputs) > 1 else None
    if (values, weights) == ("int16", "int4"):
        return 13
    if (values, weights) == ("float32", "int8") and scales(inputs, 1) > 1:
        return 12
    if values == "int16" and options.get("quantized_bias_type", "FLOAT32") != "FLOAT32":
        return 11
    if kernel is not None and kernel.sparse:
        return 8
    if (values, weights) == ("int16", "int16"):
        return 7
    versions = [1]
    if (values, weights) == ("float32", "int8"):
        versions.append(9 if options.get("asymmetric_quantize_inputs") else 3)
    if len(inputs) == 2:
        versions.append(6)
    if options.get("keep_num_dims"):
        versions.append(5)
    # 4-bit weights with float values have no version of their own; those of int8 came with 10.
    versions.append(10 if weights == "int4" else 4 if (values, weights) == ("int8", "int8") else 1)
    return max(versions)


def _transposed(operator: Operator, inputs: Inputs, outputs: Inputs) -> int:
    options = operator.options
    if dtype(inputs, 2) == "int16" and options.get("quantized_bias_type", "FLOAT32") != "FLOAT32":
        return 5
    if options.get("fused_activation_function", "NONE") != "NONE":
        return 4
    if len(inputs) == 4 and inputs[3] is not None:
        return 3
    return 2 if dtype(inputs, 1) == "int8" else 1


def _lookup(operator: Operator, inputs: Inputs, outputs: Inputs) -> int:
    return 4 if dtype(inputs, 1) == "int4" or scales(inputs, 1) > 1 else 1


def _product(operator: Operator, inputs: Inputs, outputs: Inputs) -> int:
    hybrid = (dtype(inputs, 0), dtype(inputs, 1)) == ("float32", "int8")
    return 4 if hybrid and operator.options.get("asymmetric_quantize_inputs") else 1


def _quantize(operator: Operator, inputs: Inputs, outputs: Inputs) -> int:
    if "int4" in (dtype(inputs, 0), dtype(outputs, 0)):
        return 4
    if scales(inputs, 0) > 1 or scales(outputs, 0) > 1:
        return 3
    return 2 if dtype(outputs, 0) == "int16" else 1


def _dequantize(operator: Operator, inputs: Inputs, outputs: Inputs) -> int:
    return 5 if dtype(inputs, 0) == "int8" and scales(inputs, 0) > 1 else 1


def _gather(operator: Operator, inputs: Inputs, outputs: Inputs) -> int:
    if dtype(inputs, 1) == "int16":
        return 6
    return 5 if operator.options.get("batch_dims") else 1


def _gather_nd(operator: Operator, inputs: Inputs, outputs: Inputs) -> int:
    return 4 if dtype(inputs, 1) == "int16" else 1


def _resize(operator: Operator, inputs: Inputs, outputs: Inputs) -> int:
    nearest = operator.name == "RESIZE_NEAREST_NEIGHBOR"
    centred = operator.options.get("half_pixel_centers")
    return 3 if centred or (nearest and operator.options.get("align_corners")) else 1


def _slice(operator: Operator, inputs: Inputs, outputs: Inputs) -> int:
    options = operator.options
    if options.get("offset"):
        return 8
    return 6 if options.get("ellipsis_mask") or options.get("new_axis_mask") else 1


def _cast(operator: Operator, inputs: Inputs, outputs: Inputs) -> int:
    known = {"bfloat16": 7, "float64": 5, "float16": 5, "uint16": 4, "int8": 3, "uint32": 2}
    either = max(known.get(dtype(side, 0), 1) for side in (inputs, outputs))
    return 6 if dtype(inputs, 0) == "int4" and either < 6 else either


def _recurrent(weights: int, hybrid: int) -> Callable[[Operator, Inputs, Inputs], int]:
    def rule(operator: Operator, inputs: Inputs, outputs: Inputs) -> int:
        if dtype(inputs, weights) != "int8" or dtype(outputs, 0) != "float32":
            return 1
        return hybrid + bool(operator.options.get("asymmetric_quantize_inputs"))

    return rule


def _where(operator: Operator, inputs: Inputs, outputs: Inputs) -> int:
    return 1 if dtype(inputs, 0) == "bool" else 2


_OTHERWISE: dict[str, Callable[[Operator, Inputs, Inputs], int]] = {
    "BATCH_MATMUL": _product,
    "BIDIRECTIONAL_SEQUENCE_RNN": _recurrent(1, 2),
    "CAST": _cast,
    "CONV_2D": _convolution,
    "DEPTHWISE_CONV_2D": _depthwise,
    "DEQUANTIZE": _dequantize,
    "EMBEDDING_LOOKUP": _lookup,
    "FULLY_CONNECTED": _dense,
    "GATHER": _gather,
    "GATHER_ND": _gather_nd,
    "LSTM": _recurrent(2, 3),
    "QUANTIZE": _quantize,
    "RESIZE_BILINEAR": _resize,
    "RESIZE_NEAREST_NEIGHBOR": _resize,
    "RNN": _recurrent(1, 2),
    "STRIDED_SLICE": _slice,
    "SVDF": _recurrent(1, 2),
    "TRANSPOSE_CONV": _transposed,
    "UNIDIRECTIONAL_SEQUENCE_LSTM": _recurrent(2, 2),
    "UNIDIRECTIONAL_SEQUENCE_RNN": _recurrent(1, 2),
    "WHERE": _where,
}

_LOWEST = {"BROADCAST_TO": 2}

_INT8 = {"int8": 2}
_INTEGERS = {"int8": 2, "int16": 3}

#: Operator -> which input decides, and the version that its type needs; others need 1.
_BY_TYPE: dict[str, tuple[int, dict[str, int]]] = {
    "ABS": (0, {"int8": 2, "uint8": 2, "int16": 3, "int32": 5}),
    "ADD": (0, {"int8": 2, "int16": 3, "int64": 4}),
    "BATCH_TO_SPACE_ND": (0, {"int8": 2, "int16": 4}),
    "BROADCAST_TO": (0, {"int8": 3, "int16": 3}),
    "CONCATENATION": (0, {**_INTEGERS, "uint32": 4}),
    "DEQUANTIZE": (0, {"int8": 2, "int16": 3, "float16": 3, "int4": 6}),
    "EQUAL": (0, {"int8": 2, "string": 3, "int16": 4}),
    "FILL": (1, {"bool": 2, "string": 2, "int8": 3, "int16": 3, "float16": 4}),
    "FLOOR_DIV": (0, {"float32": 2, "int8": 3, "int16": 3}),
    "FLOOR_MOD": (0, {"int8": 2, "int16": 2}),
    "GATHER": (0, {"int8": 2, "bool": 3, "int16": 4, "int4": 7}),
    "GATHER_ND": (0, {"string": 2, "int16": 3, "bool": 5}),
    "GELU": (0, {"int8": 2, "uint8": 2}),
    "LEAKY_RELU": (0, {"int16": 2}),
    "MUL": (0, {"int8": 2, "int16": 4, "int64": 5, "complex64": 6, "uint32": 7}),
    "NOT_EQUAL": (0, {"int8": 2, "string": 3}),
    "PACK": (0, {**_INTEGERS, "uint32": 4}),
    "RELU": (0, {"int8": 2, "uint8": 2, "int16": 3}),
    "RESIZE_BILINEAR": (0, {"int8": 2, "int16": 4}),
    "RESIZE_NEAREST_NEIGHBOR": (0, {"int8": 2, "int16": 4}),
    "REVERSE_V2": (0, {"bool": 2, "int8": 3}),
    "SELECT": (0, {"int8": 2, "uint32": 4}),
    "SELECT_V2": (0, {"uint32": 2}),
    "SIGN": (0, {"int32": 2}),
    "SLICE": (0, {"int8": 2, "string": 3, "int16": 4, "uint32": 6}),
    "SPACE_TO_BATCH_ND": (0, {"int8": 2, "int16": 4}),
    "SPLIT": (1, {"int8": 2, "int32": 3, "int16": 4}),
    "SQUEEZE": (0, {"string": 2}),
    "STRIDED_SLICE": (0, {"int8": 2, "bool": 3, "string": 5, "uint32": 7}),
    "SUB": (0, {"int8": 2, "int64": 4, "int16": 5}),
    "TILE": (0, {"string": 2, "int8": 3}),
    "TOPK_V2": (0, {"int8": 2, "int16": 3}),
    "TRANSPOSE": (0, {"int8": 2, "bool": 3, "int16": 5, "int4": 7}),
    "UNPACK": (0, {"int8": 2, "uint8": 2, "bool": 3, "int16": 4}),
    **dict.fromkeys(("ARG_MAX", "ARG_MIN"), (0, {"int8": 2, "bool": 3})),
    **dict.fromkeys(("MAXIMUM", "MINIMUM"), (0, {"int8": 2, "int16": 4})),
    **dict.fromkeys(("PAD", "PADV2"), (0, {**_INTEGERS, "bool": 5})),
    **dict.fromkeys(("EXP", "LOG", "REDUCE_PROD"), (0, {"int8": 2, "int16": 2})),
    **dict.fromkeys(
        (
            *("AVERAGE_POOL_2D", "BATCH_MATMUL", "GREATER_EQUAL", "LESS", "LOGISTIC"),
            *("MAX_POOL_2D", "MEAN", "MIRROR_PAD", "REDUCE_MAX", "REDUCE_MIN", "RELU6"),
            *("RSQRT", "SOFTMAX", "TANH"),
        ),
        (0, _INTEGERS),
    ),
    **dict.fromkeys(
        (
            *("DEPTH_TO_SPACE", "GREATER", "LESS_EQUAL", "LOG_SOFTMAX", "SPACE_TO_DEPTH"),
            *("SPLIT_V", "SQUARED_DIFFERENCE", "SUM"),
        ),
        (0, _INT8),
    ),
}

#: Operator -> the version that inputs of at least so many axes need.
_BY_RANK = {
    "DIV": ((5, 2),),
    "MAXIMUM": ((5, 3),),
    "MINIMUM": ((5, 3),),
    "PAD": ((5, 4),),
    "PADV2": ((5, 4),),
    "SELECT": ((5, 3),),
    "SLICE": ((5, 5),),
    "STRIDED_SLICE": ((5, 4),),
    "SUB": ((5, 3),),
    "TRANSPOSE": ((5, 4), (6, 6)),
}
