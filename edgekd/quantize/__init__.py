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
        Row(
            "int8-weight-only",
            "edgekd.quantize.schemes:INT8_WEIGHT_ONLY",
            "weights stored in 8-bit integers, all arithmetic in float32: smaller, not faster",
        ),
    ],
)

PROFILES = Table(
    "profile",
    [
        Row(
            "cpu",
            "edgekd.quantize.profiles:CPU",
            "processors of phones and boards, with a runtime of today",
        ),
        Row(
            "mcu",
            "edgekd.quantize.profiles:MCU",
            "microcontrollers: integers from input to output, or an error",
        ),
        Row(
            "npu",
            "edgekd.quantize.profiles:NPU",
            "neural processors: integers from input to output, and only operators that they have",
        ),
        Row(
            "pi-legacy",
            "edgekd.quantize.profiles:PI_LEGACY",
            "boards with tflite-runtime 2.14, the last one for 32-bit Raspberry Pi OS",
        ),
    ],
)
