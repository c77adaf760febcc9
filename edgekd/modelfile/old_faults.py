"""What TensorFlow Lite 2.14 refuses or computes wrongly though an operator's version says it can.

Every rule was found by running files in tflite-runtime 2.14.0 and in later runtimes
(``benchmarks/old_runtime.py``; docs/old-runtimes.md shows the table). ``since`` is the first of the
releases tried there that computes such a file right with its default kernels; a later one may be
wrong again.

Kernels of 2.14 that take one scale read the first of many and use it for all channels; others read
as many scales as there are channels where the file has one, and run into whatever lies behind it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edgekd.modelfile import old_conditions as on
from edgekd.modelfile.graph import Operator, Subgraph
from edgekd.modelfile.runtime_versions import Release, release

Kind = Literal["garbage", "refused"]

_PROFILE = "export with --profile pi-legacy, which gives these weights one scale a tensor"
_FLOAT = "keep this operator in float (--keep-float), or choose another scheme"
_EIGHT = "use 8-bit weights"


@dataclass(frozen=True)
class Fault:
    """One thing that 2.14 does wrongly.

    Attributes:
        operators: names of the operators it is about.
        when: says whether an operator is at fault, from its inputs and outputs.
        kind: ``garbage``: it runs and the numbers are wrong; ``refused``: it stops with an error.
        what: what is wrong, as part of a sentence.
        advice: what to do.
        since: the first release tried that computes it right; None: none of them does.
        position: the input at fault.
    """

    operators: tuple[str, ...]
    when: on.Condition
    kind: Kind
    what: str
    advice: str
    since: Release | None
    position: int = 1


def faults_of(subgraph: Subgraph, operator: Operator) -> list[Fault]:
    """Return what 2.14 does wrongly with an operator."""
    inputs, outputs = subgraph.inputs_of(operator), subgraph.outputs_of(operator)
    return [
        fault
        for fault in FAULTS
        if operator.name in fault.operators and fault.when(inputs, outputs)
    ]


_DENSE, _CONV, _DEPTHWISE = ("FULLY_CONNECTED",), ("CONV_2D",), ("DEPTHWISE_CONV_2D",)
_PRODUCT, _LOOKUP = ("BATCH_MATMUL",), ("EMBEDDING_LOOKUP",)

_HYBRID_SCALES = "float values with 8-bit weights of one scale a channel: only the first is used"
_NO_FOUR_BITS = "it does not take 4-bit weights here"

FAULTS: tuple[Fault, ...] = (
    Fault(
        _DENSE,
        on.types("float32", "int8", several=True),
        "garbage",
        _HYBRID_SCALES,
        _PROFILE,
        release("2.17"),
    ),
    Fault(
        _DENSE,
        on.blockwise,
        "garbage",
        "the scales of blocks of 4-bit weights are not read",
        _EIGHT,
        release("L1.4"),
    ),
    Fault(
        _DENSE,
        on.four_bit_small,
        "garbage",
        "4-bit weights of one scale a channel, in a layer of fewer than 32 inputs, an odd number "
        "of them, or fewer than 4 outputs: only the first scale is used",
        _EIGHT,
        release("L1.0"),
    ),
    Fault(
        _DENSE,
        on.wide_values_many_axes,
        "garbage",
        "16-bit values of other than two axes with one scale a channel: most outputs are not set",
        _PROFILE,
        release("L1.2"),
    ),
    Fault(
        _DENSE,
        on.types("int8", "int4", several=True),
        "refused",
        "4-bit weights of one scale a channel are not taken",
        _EIGHT,
        release("L1.2"),
    ),
    Fault(_DENSE, on.types("int16", "int4"), "refused", _NO_FOUR_BITS, _EIGHT, release("L1.2")),
    Fault(
        _CONV,
        on.types("float32", "int4"),
        "garbage",
        "4-bit weights are read as 8-bit ones",
        _EIGHT,
        release("L1.2"),
    ),
    Fault(
        _CONV,
        on.types("int16", "int4"),
        "garbage",
        "4-bit weights are read as 8-bit ones",
        _EIGHT,
        release("L1.2"),
    ),
    Fault(
        _CONV,
        on.grouped_single_scale,
        "garbage",
        "groups, float values, and 8-bit weights of one scale: it reads memory behind the scale",
        "give these weights one scale a channel, or keep the layer in float",
        release("L1.0"),
    ),
    Fault(
        _DEPTHWISE,
        on.channels_single_scale,
        "garbage",
        "float values with 8-bit weights of one scale: it reads memory behind the scale",
        "give these weights one scale a channel, or keep the layer in float",
        None,
    ),
    Fault(
        _LOOKUP,
        on.types("int32", "int8", several=True),
        "garbage",
        "8-bit weights of one scale a row: only the first is used",
        _PROFILE,
        release("2.18"),
    ),
    Fault(_LOOKUP, on.blockwise, "refused", _NO_FOUR_BITS, _EIGHT, release("L1.4")),
    Fault(_LOOKUP, on.types("int32", "int4"), "refused", _NO_FOUR_BITS, _EIGHT, release("2.18")),
    Fault(
        _PRODUCT,
        on.types("float32", "int8", several=True),
        "garbage",
        _HYBRID_SCALES,
        _PROFILE,
        release("L1.4"),
    ),
    Fault(
        _PRODUCT,
        on.types("int8", "int8", several=True),
        "garbage",
        "integers with one scale a channel: only the first is used",
        _PROFILE,
        None,
    ),
    Fault(
        _PRODUCT,
        on.types("int16", "int8", several=True),
        "refused",
        "16-bit values with 8-bit weights are not taken, and later runtimes use one scale",
        _FLOAT,
        None,
    ),
    Fault(
        _PRODUCT,
        on.types("int16", "int8"),
        "refused",
        "16-bit values with 8-bit weights are not taken",
        _FLOAT,
        release("L2.3"),
    ),
    Fault(
        ("TRANSPOSE_CONV",),
        on.transposed_hybrid,
        "refused",
        "float values with quantized weights are not taken",
        _FLOAT,
        release("L1.0"),
    ),
    Fault(
        ("DEQUANTIZE",),
        on.first("int4"),
        "refused",
        "4-bit values are not taken",
        _EIGHT,
        release("2.18"),
        position=0,
    ),
    Fault((*_DENSE, *_LOOKUP), on.two_bits, "refused", "2-bit weights", _EIGHT, release("L2.3")),
    Fault((*_CONV, *_DEPTHWISE), on.two_bits, "refused", "2-bit weights", _EIGHT, None),
    Fault(
        ("DIV",),
        on.first("int8"),
        "refused",
        "8-bit values are not taken",
        _FLOAT,
        release("L1.4"),
        position=0,
    ),
    Fault(
        ("DIV", "SQRT"),
        on.first("int16"),
        "refused",
        "16-bit values are not taken",
        _FLOAT,
        release("L2.0"),
        position=0,
    ),
    Fault(
        ("SQRT",),
        on.first("int8"),
        "refused",
        "8-bit values are not taken",
        _FLOAT,
        release("L2.0"),
        position=0,
    ),
    Fault(
        ("GELU",),
        on.first("int16"),
        "refused",
        "16-bit values are not taken",
        _FLOAT,
        release("L1.4"),
        position=0,
    ),
    Fault(
        ("SUM",),
        on.rescaled,
        "refused",
        "16-bit values whose scale changes are not taken",
        _FLOAT,
        release("L1.4"),
        position=0,
    ),
)
