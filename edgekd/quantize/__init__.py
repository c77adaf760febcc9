"""Quantization: what each scheme means, which samples set its ranges, how files are rewritten."""

from __future__ import annotations

from edgekd.registry import Row, Table

SCHEMES = Table(
    "scheme",
    [
        Row("none", "edgekd.quantize.schemes:NONE", "float32 throughout"),
        Row(
            "fp16",
            "edgekd.quantize.schemes:FP16",
            "weights in float16: half the size, float input and output",
        ),
        Row(
            "int8",
            "edgekd.quantize.schemes:INT8",
            "weights and activations in 8-bit integers, ranges set by the calibration split",
        ),
        Row(
            "int8-dynamic",
            "edgekd.quantize.schemes:INT8_DYNAMIC",
            "weights in 8-bit integers, activations quantized while running; no calibration",
        ),
    ],
)
