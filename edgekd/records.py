"""The frozen, versioned records in which the stages meet.

Every file that edgekd writes for another stage is one of these, as JSON with a ``schema`` number.
Unknown fields are errors: a record of a newer edgekd is refused, not half understood.

Units: bytes, milliseconds, seconds (``wall_seconds``), fractions between 0 and 1 (accuracy,
agreement). Times are UTC, ISO 8601.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from edgekd.recordbase import Fraction, Record, Sha256, Versioned
from edgekd.records_bench import (
    Compared,
    InferenceEnergy,
    Instructions,
    OperatorTime,
    Soak,
    Throughput,
)
from edgekd.records_networks import Energy as Energy
from edgekd.records_networks import ExitHeads as ExitHeads
from edgekd.records_networks import Link as Link
from edgekd.records_networks import ModelFacts as ModelFacts
from edgekd.records_networks import Network as Network
from edgekd.records_networks import Preprocess as Preprocess
from edgekd.records_networks import Score as Score


class FileRecord(Record):
    """One file beside a manifest."""

    sha256: Sha256
    size_bytes: int = Field(ge=0)


class Provenance(Record):
    """Where a record came from."""

    created: str
    edgekd: str
    python: str
    platform: str
    packages: dict[str, str] = {}
    cpu: str | None = None
    cores: int | None = None
    governor: str | None = None
    git_commit: str | None = None
    git_dirty: bool | None = None
    command: tuple[str, ...] = ()
    seed: int | None = None
    wall_seconds: float | None = None


class TensorSpec(Record):
    """One input or output of a model file.

    ``shape`` has ``None`` where a size is free. A quantized tensor holds
    ``real = scale * (stored - zero_point)``. ``layout`` says how an image input lies in memory;
    edgekd's own arrays are channels first (``nchw``).
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: str
    layout: Literal["nchw", "nhwc"] | None = None
    scale: float | None = None
    zero_point: int | None = None


class RunManifest(Versioned):
    """``manifest.json`` of a run. ``status`` is ``incomplete`` until everything is in place.

    A score of a teacher is None where its answers to the validation and test split are unknown.
    ``qat_score`` is of the student after its training with fake quantization, computing as its
    int8 file does.
    """

    kind: Literal["run"] = "run"
    status: Literal["incomplete", "complete"]
    id: str
    name: str
    recipe_sha256: Sha256
    data_sha256: Sha256 | None = None
    classes: tuple[str, ...] = ()
    splits: dict[str, int] = {}
    preprocess: Preprocess = Preprocess()
    sample_shape: tuple[int, ...] = ()
    teachers: tuple[ModelFacts, ...] = ()
    teacher_scores: tuple[Score | None, ...] = ()
    peers: tuple[ModelFacts, ...] = ()
    peer_scores: tuple[Score, ...] = ()
    student: ModelFacts | None = None
    student_scores: tuple[Score, ...] = ()
    baseline_scores: tuple[Score, ...] = ()
    compared_scores: dict[str, tuple[Score, ...]] = {}
    qat_score: Score | None = None
    links: tuple[Link, ...] = ()
    networks: dict[str, Network] = {}
    energy: tuple[Energy, ...] = ()
    files: dict[str, FileRecord] = {}
    parents: dict[str, str] = {}
    provenance: Provenance


class Calibration(Record):
    """Which samples set the ranges of a quantized file."""

    split: str
    samples: int
    seed: int
    method: str
    percentile: float | None = None
    ids_sha256: Sha256


class Parity(Record):
    """The comparison of an exported file with the model it came from, on held-out samples.

    ``max_abs_error`` is the largest absolute difference of any output value, ``max_rel_error`` the
    largest difference divided by the model's value where that is above 1, ``snr_db`` the
    output's signal-to-noise ratio in decibel (None: no noise at all), ``agreement`` the fraction
    of equal top-1 classes. ``max_drop`` is in percentage points. ``lengths`` are the sizes that
    were tried of an axis that the file leaves free beside the batch.
    """

    passed: bool
    samples: int
    sample_source: str
    tolerance: float | None = None
    max_drop: float | None = None
    max_abs_error: float
    max_rel_error: float
    snr_db: float | None = None
    agreement: Fraction | None = None
    accuracy_model: Fraction | None = None
    accuracy_file: Fraction | None = None
    worst_output: str
    worst_sample: str
    batch_sizes: tuple[int, ...] = ()
    lengths: tuple[int, ...] = ()
    runtime: str
    message: str = ""


class ArtifactManifest(Versioned):
    """``manifest.json`` beside an exported file.

    ``exit`` is the number of the early exit that the file ends at, from 1 on; None: at the
    network's own end. A ``segment`` begins where the exit before it ends.
    """

    kind: Literal["artifact"] = "artifact"
    status: Literal["complete"] = "complete"
    name: str
    target: str
    quantize: str
    profile: str = "cpu"
    io: str | None = None
    embed_preprocess: bool = False
    keep_float: tuple[str, ...] = ()
    exit: int | None = None
    segment: bool = False
    file: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    preprocess: Preprocess = Preprocess()
    classes: tuple[str, ...] = ()
    model: ModelFacts
    calibration: Calibration | None = None
    parity: Parity
    notes: tuple[str, ...] = ()
    files: dict[str, FileRecord]
    parents: dict[str, str] = {}
    provenance: Provenance


class Latency(Record):
    """Latency of one inference, in milliseconds; every raw sample is kept, in order.

    ``load_ms`` is reading the file and allocating, ``first_ms`` the first inference. ``outliers``
    counts samples above Q3 + 1.5 IQR (Tukey); none is dropped. A benchmark program of the user's
    (``--binary``) gives some of these only: what it keeps to itself is None, ``raw_ms`` empty.
    """

    n: int
    load_ms: float | None
    first_ms: float | None
    min_ms: float | None
    p50_ms: float
    p90_ms: float | None
    p99_ms: float | None
    mean_ms: float
    outliers: int | None
    warmup_runs: int
    raw_ms: tuple[float, ...]


class Memory(Record):
    """Memory of the measuring process, in bytes.

    ``raw_peak_rss`` is the process's high-water mark (VmHWM) after the first inferences minus
    what was resident before the model was loaded (runtime imported); ``raw_anonymous`` the growth
    of anonymous memory between those two moments, ``loaded_anonymous`` the part of it until
    the model was loaded. ``null_peak_rss`` and ``null_anonymous`` are the same of a model that
    does nothing, in the same runtime (None: not measured); ``peak_rss`` and ``anonymous`` are the
    raw figures less those: the model's own. ``process_peak_rss`` is the whole high-water mark,
    runtime included.
    """

    peak_rss_bytes: int
    anonymous_bytes: int | None = None
    process_peak_rss_bytes: int
    raw_peak_rss_bytes: int | None = None
    raw_anonymous_bytes: int | None = None
    loaded_anonymous_bytes: int | None = None
    null_peak_rss_bytes: int | None = None
    null_anonymous_bytes: int | None = None


class Measurement(Versioned):
    """What was measured of one model file on one device.

    ``samples`` of the split's ``test_samples`` gave accuracy and agreement.
    ``unknown`` says, for each number that could not be had, why.
    """

    kind: Literal["measurement"] = "measurement"
    status: Literal["ok", "failed"]
    device: str
    artifact: str
    path: str
    model_sha256: Sha256 | None = None
    size_bytes: int | None = None
    parameters: int | None = None
    macs: int | None = None
    runtime: str | None = None
    runtime_version: str | None = None
    threads: int | None = None
    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()
    latency: Latency | None = None
    memory: Memory | None = None
    accuracy: Fraction | None = None
    agreement: Fraction | None = None
    samples: int | None = None
    test_samples: int | None = None
    compared: tuple[Compared, ...] = ()
    emulated: bool = False
    scenario: Literal["single-stream", "offline"] = "single-stream"
    instructions: Instructions | None = None
    energy: InferenceEnergy | None = None
    throughput: Throughput | None = None
    soak: Soak | None = None
    operators: tuple[OperatorTime, ...] = ()
    throttled: bool | None = None
    unknown: dict[str, str] = {}
    warnings: tuple[str, ...] = ()
    error: str | None = None
    environment: dict[str, Any] = {}
    parents: dict[str, str] = {}
    provenance: Provenance


class Verdict(Record):
    """One line of a check: a measured value held against a budget or a baseline.

    Where two files took turns, ``ratio`` is the median of ours over theirs and ``low`` to ``high``
    its 95% interval; ``inconclusive`` says that this is too wide to tell.
    """

    artifact: str
    device: str | None = None
    metric: str
    status: Literal["pass", "fail", "warn", "inconclusive"]
    value: float | None = None
    limit: float | None = None
    baseline: float | None = None
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    message: str
