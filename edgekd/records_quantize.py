"""The record of a sensitivity analysis: what each layer costs when it is quantized.

Accuracies are fractions, signal-to-noise ratios decibel, drops percentage points.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from edgekd.recordbase import Fraction, Versioned
from edgekd.recordbase import Record as Record
from edgekd.records import Calibration, Parity, Provenance


class LayerCost(Record):
    """A file in which this layer alone is quantized, against the network.

    ``drop`` is what accuracy falls by, ``snr_db`` how far the noise stays below the outputs; None:
    nothing changed, or there are no labels.
    """

    layer: str
    operators: int = Field(ge=1)
    accuracy: Fraction | None = None
    drop: float | None = None
    snr_db: float | None = None


class Sensitivity(Versioned):
    """What quantizing costs, layer by layer, and which layers to keep in float.

    ``layers`` are sorted by cost, the dearest first. ``whole`` is the file with every layer
    quantized. ``keep_float`` is the proposal: empty where ``whole`` passes already, None where no
    set of layers passes. ``proposal`` is the file that keeps them, as it was measured on the way;
    ``verified`` the same from the ordinary export.
    """

    kind: Literal["sensitivity"] = "sensitivity"
    name: str
    target: str
    quantize: str
    max_drop: float
    whole: Parity
    layers: tuple[LayerCost, ...]
    keep_float: tuple[str, ...] | None = None
    proposal: Parity | None = None
    verified: Parity | None = None
    command: str = ""
    calibration: Calibration | None = None
    parents: dict[str, str] = {}
    provenance: Provenance
