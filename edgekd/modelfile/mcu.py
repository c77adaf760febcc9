"""What TensorFlow Lite for Microcontrollers would not run of a file.

Operators are those of its ``MicroMutableOpResolver``, limits those that its kernels check when
they are prepared (TFLite Micro, 2025); CMSIS-NN replaces some of these kernels by faster ones with
the same limits. An application registers only what it needs: what stands here can be registered.
"""

from __future__ import annotations

from collections.abc import Iterator

from edgekd.modelfile.graph import Graph, Operator, Subgraph
from edgekd.modelfile.refusal import Refusal, collect, label, present

SOURCE = "TensorFlow Lite for Microcontrollers, 2025"

_OPERATORS = frozenset(
    "ABS ADD ADD_N ARG_MAX ARG_MIN ASSIGN_VARIABLE AVERAGE_POOL_2D BATCH_MATMUL BATCH_TO_SPACE_ND "
    "BROADCAST_ARGS BROADCAST_TO CALL_ONCE CAST CEIL CONCATENATION CONV_2D COS CUMSUM "
    "DEPTH_TO_SPACE DEPTHWISE_CONV_2D DEQUANTIZE DIV DYNAMIC_UPDATE_SLICE ELU EMBEDDING_LOOKUP "
    "EQUAL EXP EXPAND_DIMS FILL FLOOR FLOOR_DIV FLOOR_MOD FULLY_CONNECTED GATHER GATHER_ND GREATER "
    "GREATER_EQUAL HARD_SWISH IF L2_NORMALIZATION L2_POOL_2D LEAKY_RELU LESS LESS_EQUAL LOG "
    "LOGICAL_AND LOGICAL_NOT LOGICAL_OR LOGISTIC LOG_SOFTMAX MAX_POOL_2D MAXIMUM MEAN MINIMUM "
    "MIRROR_PAD MUL NEG NOT_EQUAL PACK PAD PADV2 PRELU QUANTIZE READ_VARIABLE REDUCE_MAX "
    "REDUCE_MIN RELU RELU6 RESHAPE RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR REVERSE_V2 ROUND RSQRT "
    "SELECT_V2 SHAPE SIN SLICE SOFTMAX SPACE_TO_BATCH_ND SPACE_TO_DEPTH SPLIT SPLIT_V SQRT SQUARE "
    "SQUARED_DIFFERENCE SQUEEZE STRIDED_SLICE SUB SUM SVDF TANH TRANSPOSE TRANSPOSE_CONV "
    "UNIDIRECTIONAL_SEQUENCE_LSTM UNPACK VAR_HANDLE WHILE ZEROS_LIKE".split()
)
_CUSTOM = frozenset(
    "CIRCULAR_BUFFER TFLite_Detection_PostProcess ethos-u SignalDelay SignalEnergy "
    "SignalFftAutoScale SignalFramer SignalIrfft SignalOverlapAdd SignalPCAN SignalRfft "
    "SignalStacker SignalWindow".split()
)

#: Kernels that know float32 and no integers.
_FLOAT_ONLY = frozenset("CEIL COS FLOOR LOG ROUND SIN SQRT SQUARE".split())

#: Kernels that know int8, int16 and float32, and not the older uint8.
_NO_UINT8 = frozenset(
    "AVERAGE_POOL_2D BATCH_MATMUL CONV_2D DEPTHWISE_CONV_2D FULLY_CONNECTED GATHER MAX_POOL_2D "
    "TRANSPOSE TRANSPOSE_CONV".split()
)
_WITH_WEIGHTS = frozenset("CONV_2D DEPTHWISE_CONV_2D FULLY_CONNECTED TRANSPOSE_CONV".split())
_FLOATS = ("float16", "float32", "float64", "bfloat16")


def refused(graph: Graph) -> tuple[Refusal, ...]:
    """Return what a microcontroller would not run of a TFLite file (``refused``) or run slowly.

    Operators in float are ``flagged``: they run, but most microcontrollers compute in float by
    software, and a network for them has none.

    Args:
        graph: of a TFLite file; nothing else reaches this hardware.
    """
    return collect(graph, _reasons, _flags)


def _reasons(subgraph: Subgraph, operator: Operator) -> Iterator[str]:
    if operator.custom:
        if operator.name not in _CUSTOM:
            yield f"{operator.name} is a custom operator: its kernel has to be written"
        return
    if operator.name not in _OPERATORS:
        yield f"TFLite Micro has no {operator.name}"
        return
    data = _data_types(subgraph, operator)
    if operator.name in _FLOAT_ONLY and data - {"float32"}:
        yield f"its kernel knows float32, not {' or '.join(sorted(data - {'float32'}))}"
    if operator.name in _NO_UINT8 and "uint8" in data:
        yield "its kernel knows int8, not uint8"
    if operator.name in _WITH_WEIGHTS:
        yield from _hybrid(subgraph, operator)
    yield from _special(subgraph, operator, data)


def _data_types(subgraph: Subgraph, operator: Operator) -> set[str]:
    """Return the types of what flows through: computed inputs, and outputs."""
    flowing = [tensor for tensor in present(subgraph.inputs_of(operator)) if not tensor.constant]
    return {tensor.dtype for tensor in (*flowing, *present(subgraph.outputs_of(operator)))}


def _hybrid(subgraph: Subgraph, operator: Operator) -> Iterator[str]:
    place = 2 if operator.name == "TRANSPOSE_CONV" else 0
    inputs = (*subgraph.inputs_of(operator), None, None, None)
    data, weights = inputs[place], inputs[1]
    if data is None or weights is None:
        return
    if data.dtype == "float32" and weights.dtype != "float32":
        yield f"its weights are {weights.dtype} and its input float32: no kernel mixes them"
    if weights.sparse:
        yield "its weights are stored without zeros (sparse)"


def _special(subgraph: Subgraph, operator: Operator, data: set[str]) -> Iterator[str]:
    inputs = present(subgraph.inputs_of(operator))
    if (
        operator.name == "DEQUANTIZE"
        and inputs
        and inputs[0].dtype not in ("int8", "int16", "uint8")
    ):
        yield f"it cannot turn {inputs[0].dtype} into float32"
    if operator.name == "BATCH_MATMUL" and len({tensor.dtype for tensor in inputs}) > 1:
        yield "its two inputs are of different types"
    if operator.name == "TRANSPOSE" and not data <= {"float32", "int8", "int16"}:
        yield f"its kernel knows float32, int8 and int16, not {' or '.join(sorted(data))}"
    if operator.name == "GATHER" and len(inputs) > 1:
        if inputs[0].dtype not in ("float32", "int8"):
            yield f"its kernel knows float32 and int8, not {inputs[0].dtype}"
        if inputs[1].dtype != "int32":
            yield f"its positions are {inputs[1].dtype}, not int32"


def _flags(subgraph: Subgraph, operator: Operator) -> Iterator[str]:
    tensors = [*present(subgraph.inputs_of(operator)), *present(subgraph.outputs_of(operator))]
    floats = sorted({tensor.dtype for tensor in tensors} & set(_FLOATS))
    if floats:
        yield f"it computes in {floats[-1]}"
    for tensor in present(subgraph.outputs_of(operator)):
        if tensor.shape is None or None in tensor.shape[1:]:
            yield f"the size of {label(tensor)} is free: all sizes are fixed when memory is planned"
            break
