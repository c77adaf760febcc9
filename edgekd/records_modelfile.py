"""The records of model files: what edgekd writes into them, and what it finds in any of them.

Units: bytes; multiply-accumulate operations of one inference; fractions between 0 and 1.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from edgekd.recordbase import Fraction, Record, Sha256, Versioned
from edgekd.records import Calibration, Parity, Preprocess, TensorSpec


class FileInput(TensorSpec):
    """One input of a model file and what has to be done before.

    ``preprocess`` turns raw samples into what the file takes; None: not known. ``embedded`` says
    that it is done inside the graph, which then takes raw samples.
    """

    preprocess: Preprocess | None = None
    embedded: bool = False


class FileMetadata(Versioned):
    """What a model file says of itself, in JSON under the key ``edgekd``.

    ``parents`` names what the file was made of (run, weights) with its sha256, as the manifest
    beside it does. No time and no path stands here: equal exports are equal files.
    """

    edgekd: str
    model: str = ""
    target: str = ""
    scheme: str = ""
    profile: str | None = None
    labels: tuple[str, ...] = ()
    inputs: tuple[FileInput, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()
    calibration: Calibration | None = None
    recipe_sha256: Sha256 | None = None
    parents: dict[str, str] = {}
    licence: str | None = None


class OperatorKind(Record):
    """All operators of one name: how many, what they take, how many of them compute in float.

    ``macs`` is None where not known; ``share`` is the part of all that are known.
    """

    name: str
    count: int
    macs: int | None = None
    share: Fraction = 0.0
    floating: int = 0


class OperatorDetail(Record):
    """One operator. ``precision`` is as in ``edgekd.modelfile.precision``."""

    index: int
    subgraph: int = 0
    name: str
    version: int
    label: str = ""
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    output_shape: tuple[int | None, ...] | None = None
    precision: str = ""
    macs: int | None = None


class TensorDetail(Record):
    """One tensor. ``scales``: how many there are; ``axis``: the axis they run along."""

    index: int
    subgraph: int = 0
    name: str
    shape: tuple[int | None, ...] | None
    dtype: str
    stored_bytes: int = 0
    scales: int = 0
    scale: float | None = None
    zero_point: int | None = None
    axis: int | None = None


class LayerSize(Record):
    """The weights of one layer: an operator and what is stored for it."""

    name: str
    operator: str
    stored_bytes: int
    share: Fraction
    parameters: int


class QuantizationFound(Record):
    """How a file computes.

    ``scheme`` is edgekd's name for it, ``mixed`` where there are integers and floats, ``custom``
    where none fits. ``floating`` counts operators that compute in float, by name;
    ``weight_bytes`` is by type of element; ``per_channel`` and ``per_tensor`` count weights.
    """

    scheme: str
    floating: dict[str, int] = {}
    integer: int = 0
    weight_bytes: dict[str, int] = {}
    per_channel: int = 0
    per_tensor: int = 0


class RefusedKind(Record):
    """Operators of one name that some hardware refuses for one reason."""

    name: str
    count: int
    reason: str
    severity: Literal["refused", "flagged"] = "refused"


class HardwareFit(Record):
    """What some hardware would do with a file; ``refused`` of ``operators`` do not run there."""

    source: str
    operators: int
    refused: int
    flagged: int = 0
    reasons: tuple[RefusedKind, ...] = ()


class OldestRuntime(Record):
    """The oldest runtime that runs a file correctly; ``version`` is None where none is known.

    ``loads`` is the oldest that would load it, by what is stamped on it. ``findings`` says what
    tflite-runtime 2.14 would do wrongly.
    """

    runtime: str
    version: str | None = None
    loads: str | None = None
    findings: tuple[str, ...] = ()


class Inspection(Versioned):
    """What ``edgekd inspect`` finds in a model file.

    ``parameters`` counts the stored weights, quantized or not, without scales, shapes and axes;
    what is stored once counts once. ``other_bytes`` is the file without them. ``macs`` leaves out
    the operators named in ``macs_unknown``. ``foreign`` is metadata that other tools wrote.
    """

    path: str
    format: str
    format_version: int | None = None
    size_bytes: int = Field(ge=0)
    sha256: Sha256
    opsets: dict[str, int] = {}
    producer: str = ""
    description: str = ""
    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()
    kinds: tuple[OperatorKind, ...] = ()
    parameters: int | None = None
    macs: int | None = None
    macs_unknown: tuple[str, ...] = ()
    weight_bytes: int | None = None
    other_bytes: int | None = None
    layers: tuple[LayerSize, ...] = ()
    quantization: QuantizationFound | None = None
    metadata: FileMetadata | None = None
    foreign: dict[str, str] = {}
    labels: tuple[str, ...] = ()
    oldest: OldestRuntime | None = None
    npu: HardwareFit | None = None
    mcu: HardwareFit | None = None
    parity: Parity | None = None
    operators: tuple[OperatorDetail, ...] = ()
    tensors: tuple[TensorDetail, ...] = ()
    warnings: tuple[str, ...] = ()
