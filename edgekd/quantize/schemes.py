"""The quantization schemes, as data. What a target makes of one stands in its exporter."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Scheme:
    """What happens to the numbers of a model.

    Attributes:
        name: as in recipes and on the command line.
        weights: how weights are stored.
        activations: how values between the layers are computed.
        calibrated: whether samples are needed to set the ranges of activations.
    """

    name: str
    weights: str
    activations: str
    calibrated: bool = False

    @property
    def lossy(self) -> bool:
        """Whether the file computes something else than the float32 network."""
        return self.weights != "float32"

    @property
    def suffix(self) -> str:
        """What artifacts of this scheme are called: ``tflite-fp32``, ``tflite-int8``."""
        return self.name if self.lossy else "fp32"


NONE = Scheme("none", weights="float32", activations="float32")
FP16 = Scheme("fp16", weights="float16", activations="float32")
INT8 = Scheme("int8", weights="int8", activations="int8", calibrated=True)
INT8_DYNAMIC = Scheme(
    "int8-dynamic", weights="int8", activations="int8, ranges found while running"
)
INT8_WEIGHT_ONLY = Scheme("int8-weight-only", weights="int8", activations="float32")
