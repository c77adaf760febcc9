"""What an Arm Ethos-U55 or U65 would leave to the processor.

The table and the limits are those of Arm's compiler Vela 5.2.0 (the report that it writes with
``--supported-ops-report``). An operator that breaks one of them is not an error for Vela: it runs
on the processor, slowly, and needs a kernel there.
"""

from __future__ import annotations

from collections.abc import Iterator

from edgekd.modelfile import npu_constants as constants
from edgekd.modelfile import npu_images as images
from edgekd.modelfile import npu_rules as rules
from edgekd.modelfile.graph import Graph, Operator, Subgraph, Tensor
from edgekd.modelfile.npu_operands import DATA_INPUTS, weight
from edgekd.modelfile.refusal import Refusal, Rule, collect, label, present

SOURCE = "Ethos-U55/U65, as Vela 5.2.0 lists them"

#: Operator -> what it must keep to beside the limits that hold for all.
_OPERATORS: dict[str, tuple[Rule, ...]] = {
    "ABS": (),
    "ADD": (),
    "ARG_MAX": (rules.arg_max,),
    "AVERAGE_POOL_2D": (images.average_pool,),
    "BATCH_MATMUL": (rules.batch_matmul,),
    "CONCATENATION": (),
    "CONV_2D": (images.stride_with_padding, constants.weights, constants.bias(2)),
    "DEPTHWISE_CONV_2D": (images.stride_up_to_3, constants.weights, constants.bias(2)),
    "ELU": (rules.same_type("int8"), rules.same_shape),
    "EXP": (),
    "EXPAND_DIMS": (),
    "FULLY_CONNECTED": (constants.dense_weights, constants.weights, constants.bias(2)),
    "GELU": (rules.same_type("int8", "uint8"), rules.same_shape),
    "HARD_SWISH": (),
    "LEAKY_RELU": (),
    "LOG": (rules.same_type("int8", "int16"), rules.same_shape),
    "LOGISTIC": (),
    "MAXIMUM": (rules.same_quantization,),
    "MAX_POOL_2D": (images.stride_with_padding, images.pool_size),
    "MEAN": (rules.mean,),
    "MINIMUM": (rules.same_quantization,),
    "MIRROR_PAD": (constants.constant(1), constants.parameter_type(1)),
    "MUL": (),
    "NEG": (),
    "PACK": (),
    "PAD": (constants.constant(1), constants.parameter_type(1)),
    "PADV2": (constants.constant(1), constants.parameter_type(1)),
    "PRELU": (),
    "QUANTIZE": (),
    "REDUCE_MAX": (),
    "REDUCE_MIN": (),
    "RELU": (),
    "RELU6": (),
    "RELU_0_TO_1": (),
    "RELU_N1_TO_1": (),
    "RESHAPE": (),
    "RESIZE_BILINEAR": (images.resize,),
    "RESIZE_NEAREST_NEIGHBOR": (images.resize,),
    "REVERSE_V2": (),
    "RSQRT": (rules.same_type("int8", "int16"),),
    "SLICE": (constants.constant(1), constants.constant(2)),
    "SOFTMAX": (rules.softmax,),
    "SPLIT": (),
    "SPLIT_V": (),
    "SQUARED_DIFFERENCE": (),
    "SQUEEZE": (),
    "STRIDED_SLICE": (
        constants.constant(1),
        constants.constant(2),
        constants.constant(3),
        rules.slice_steps,
    ),
    "SUB": (),
    "SUM": (),
    "TANH": (),
    "TILE": (),
    "TRANSPOSE": (constants.constant(1), rules.transpose),
    "TRANSPOSE_CONV": (images.transposed_stride, constants.weights, constants.bias(3)),
    "UNIDIRECTIONAL_SEQUENCE_LSTM": (rules.lstm,),
    "UNPACK": (),
}

_TYPES = ("int8", "uint8", "int16", "int32", "int64")
_WIDE = ("int32", "int64")

#: Operators that take 32-bit feature maps; all others do not.
_TAKE_WIDE = frozenset(
    "ADD ARG_MAX BATCH_MATMUL EXPAND_DIMS FULLY_CONNECTED MIRROR_PAD MUL NEG RESHAPE SQUEEZE SUB "
    "SUM TRANSPOSE".split()
)
_WITHOUT_SCALES = frozenset("ARG_MAX EXPAND_DIMS MIRROR_PAD PAD PADV2 QUANTIZE TRANSPOSE".split())
_PER_CHANNEL = frozenset("CONV_2D DEPTHWISE_CONV_2D FULLY_CONNECTED TRANSPOSE_CONV".split())
_ANY_ZERO_POINT = frozenset(
    "AVERAGE_POOL_2D RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR UNIDIRECTIONAL_SEQUENCE_LSTM".split()
)


def refused(graph: Graph) -> tuple[Refusal, ...]:
    """Return the operators of a TFLite file that the NPU would not run, each with its reasons.

    Args:
        graph: of a TFLite file; nothing else reaches this hardware.
    """
    return collect(graph, _reasons)


def _reasons(subgraph: Subgraph, operator: Operator) -> Iterator[str]:
    if operator.custom:
        yield f"{operator.name} is a custom operator"
        return
    if operator.name not in _OPERATORS:
        yield f"the NPU has no {operator.name}"
        return
    wrong_types = list(_types(subgraph, operator))
    yield from wrong_types
    if wrong_types:
        return  # the limits on quantization would only repeat that it is float
    yield from _shapes(subgraph, operator)
    yield from _quantization(subgraph, operator)
    for rule in _OPERATORS[operator.name]:
        try:
            yield from rule(subgraph, operator)
        except (IndexError, AttributeError, TypeError, ValueError):
            yield "its tensors do not fit it"


def _feature_maps(subgraph: Subgraph, operator: Operator) -> list[Tensor]:
    """Return what flows: inputs that are data, and outputs; no weights, axes or shapes."""
    places = DATA_INPUTS.get(operator.name, (0,))
    chosen = (
        operator.inputs
        if places is None
        else [operator.inputs[place] for place in places if place < len(operator.inputs)]
    )
    return present(subgraph.of((*chosen, *operator.outputs)))


def _types(subgraph: Subgraph, operator: Operator) -> Iterator[str]:
    seen = set()
    for tensor in _feature_maps(subgraph, operator):
        if tensor.dtype in seen:
            continue
        seen.add(tensor.dtype)
        if tensor.dtype not in _TYPES:
            yield f"it works on {tensor.dtype}; the NPU only knows integers"
        elif tensor.dtype in _WIDE and operator.name not in _TAKE_WIDE:
            yield f"it works on {tensor.dtype}, which the NPU does not take here"
        elif tensor.dtype == "int64" and operator.name != "ARG_MAX":
            yield "it works on int64, which the NPU does not take here"


def _shapes(subgraph: Subgraph, operator: Operator) -> Iterator[str]:
    for tensor in _feature_maps(subgraph, operator):
        if tensor.shape is None or None in tensor.shape[1:]:
            yield f"the size of {label(tensor)} is free; only the batch may be"


def _quantization(subgraph: Subgraph, operator: Operator) -> Iterator[str]:
    tensors = _feature_maps(subgraph, operator)
    weights = weight(subgraph, operator)
    for tensor in (*tensors, *([weights] if weights is not None else [])):
        known = tensor.quantization
        if operator.name not in _WITHOUT_SCALES:
            if known is None and tensor.dtype not in _WIDE:  # indexes stand for themselves
                yield f"{label(tensor)} has no quantization parameters"
            if known is not None and min(known.scales) <= 0:
                yield f"a scale of {label(tensor)} is not positive"
        if known is None:
            continue
        if known.per_channel and operator.name not in _PER_CHANNEL:
            yield f"{label(tensor)} has a scale for each channel"
        if operator.name not in _ANY_ZERO_POINT:
            yield from _zero_points(tensor, known.zero_points)


def _zero_points(tensor: Tensor, zero_points: tuple[int, ...]) -> Iterator[str]:
    if tensor.dtype == "int32" and any(zero_points):
        yield f"the zero point of {label(tensor)}, an int32 tensor, is not 0"
    elif tensor.dtype.startswith("uint") and any(point < 0 for point in zero_points):
        yield f"a zero point of {label(tensor)} is negative"
