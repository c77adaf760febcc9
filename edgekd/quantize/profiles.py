"""What is right on a kind of device, as data: how to quantize, and what a file must not hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from edgekd.quantize.schemes import Scheme

Io = Literal["float32", "int8", "uint8"]


@dataclass(frozen=True)
class Profile:
    """A kind of device.

    Attributes:
        name: as in recipes and on the command line.
        quantize: the scheme that is taken where the user names none.
        schemes: the schemes that make sense there; empty: all.
        io: the type of inputs and outputs where the user names none; None: the scheme's own.
        integers_only: whether an operator that stays in float is an error.
        old_runtime: whether a file that an old runtime loads and computes wrongly is an error.
        checks_npu: whether an operator that an NPU would refuse is an error.
        targets: what can be exported for it; empty: all.
        float_operators: scheme -> TFLite operators that its runtime lacks in integers: they stay
            in float. See docs/old-runtimes.md.
    """

    name: str
    quantize: str = "none"
    schemes: tuple[str, ...] = ()
    io: Io | None = None
    integers_only: bool = False
    old_runtime: bool = False
    checks_npu: bool = False
    targets: tuple[str, ...] = ()
    float_operators: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def allows(self, scheme: Scheme) -> bool:
        """Say whether a scheme makes sense there."""
        return not self.schemes or scheme.name in self.schemes


CPU = Profile("cpu")
PI_LEGACY = Profile(
    "pi-legacy",
    old_runtime=True,
    targets=("tflite", "keras", "savedmodel"),
    float_operators={"int8": ("DIV", "SQRT"), "int8-dynamic": ("CONV_2D_TRANSPOSE",)},
)
MCU = Profile(
    "mcu",
    quantize="int8",
    schemes=("int8",),
    io="int8",
    integers_only=True,
    targets=("tflite", "keras", "savedmodel"),
)
NPU = Profile(
    "npu",
    quantize="int8",
    schemes=("int8",),
    io="int8",
    integers_only=True,
    checks_npu=True,
    targets=("tflite", "keras", "savedmodel"),
)
