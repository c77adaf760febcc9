"""The agent's answer, ``edgekd.run/1``: what an answer must hold to be used.

A device is not edgekd's own: what runs there may be older, damaged, or not the agent at all. An
answer is held to this before any of it is used. Keys that are not known are left alone.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, RootModel, ValidationError

from edgekd.recordbase import Sha256
from edgekd.records import TensorSpec


class _Part(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True, allow_inf_nan=False)


class MemoryNow(_Part):
    """Memory of the agent's process at one moment, in bytes; None where the system keeps quiet."""

    rss: int | None = None
    anonymous: int | None = None
    peak: int | None = None


class MemoryStages(_Part):
    """Memory by stages: runtime imported, model loaded, after the first runs.

    ``method`` says whether the high-water mark started anew (``reset``) when the runtime had been
    imported; ``before_reset`` is that of the whole process until then.
    """

    method: Literal["reset", "difference"]
    before_reset: MemoryNow
    imported: MemoryNow
    loaded: MemoryNow
    ran: MemoryNow = MemoryNow()


class Timed(_Part):
    """Timed inferences, in milliseconds, in order; every ``every``-th was timed."""

    raw_ms: list[float] = Field(min_length=1)
    n: int
    min_ms: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    mean_ms: float
    every: int = 1
    warmup_runs: int = Field(ge=0)
    load_ms: float
    first_ms: float


class Surroundings(_Part):
    """What may explain a latency."""

    cpu: str | None = None
    cores: int | None = None
    governor: str | None = None
    frequency_mhz: float | None = None
    temperature_c: float | None = None
    load: list[float] | None = None


class BeforeAndAfter(_Part):
    """The surroundings before the measurement and after it."""

    before: Surroundings = Surroundings()
    after: Surroundings = Surroundings()


class Cooled(_Part):
    """How long the device rested, then waited to cool down, in seconds."""

    rested_s: float = 0.0
    waited_s: float = 0.0
    gave_up: bool = False
    temperature_c: float | None = None


class Reading(_Part):
    """Clock and heat in the middle of the measurement."""

    seconds: float
    frequency_mhz: float | None = None
    temperature_c: float | None = None


class Throttling(_Part):
    """Whether the processor was slowed down; None: nothing on the device tells."""

    throttled: bool | None = None
    reasons: list[str] = []


class EnergyMeasured(_Part):
    """Energy of one inference in joules over what the device takes at rest."""

    joules_per_inference: float = Field(gt=0)
    source: Literal["rapl", "hwmon", "battery"]
    detail: str
    idle_watts: float
    active_watts: float
    seconds: float


class ThroughputCounted(_Part):
    """Samples in batches, and the time they took."""

    batch: int = Field(gt=0)
    samples: int
    seconds: float = Field(gt=0)
    per_second: float


class SoakWindows(_Part):
    """The median of every window of a long run, in milliseconds."""

    seconds: float
    window_seconds: float
    n: int
    p50_ms: list[float] = Field(min_length=1)
    frequency_mhz: list[float | None] = []
    temperature_c: list[float | None] = []
    drift: float


class InstructionsCounted(_Part):
    """Instructions of each inference; ``missing`` is the reason where nothing counts.

    ``others`` are those that threads beside the calling one executed meanwhile.
    """

    raw: list[int] = []
    others: list[int] = []
    cpu: str = "unknown"
    counter: str = ""
    missing: str | None = None


class Scored(_Part):
    """Test samples that were run, and the SHA-256 of each array of outputs."""

    samples: int
    sha256: dict[str, Sha256] = {}


class Reply(_Part):
    """A file was measured (exit code 0).

    ``output_sha256`` are the hashes of the outputs of the first inference: of equal inputs, equal
    on devices that compute the same.
    """

    schema_name: Literal["edgekd.run/1"] = Field(alias="schema")
    model_sha256: Sha256 | None
    runtime: str
    version: str | None = None
    skipped: dict[str, str] = {}
    cores: list[int] | None = None
    cooled: Cooled = Cooled()
    environment: BeforeAndAfter = BeforeAndAfter()
    memory: MemoryStages
    inputs: list[TensorSpec]
    outputs: list[TensorSpec]
    output_sha256: list[Sha256] = []
    latency: Timed | None = None
    throughput: ThroughputCounted | None = None
    soak: SoakWindows | None = None
    instructions: InstructionsCounted | None = None
    readings: list[Reading] = []
    throttling: Throttling = Throttling()
    energy: EnergyMeasured | None = None
    no_energy: str | None = None
    scored: list[Scored] = []
    python: str | None = None
    machine: str | None = None


class Refusal(_Part):
    """The model or the runtime failed (exit code 3), in a stage."""

    schema_name: Literal["edgekd.run/1"] = Field(alias="schema")
    error: str
    stage: str = "request"


class Answer(RootModel[Reply | Refusal]):
    """The last line that the agent prints: one JSON object."""


def faults(found: dict[str, Any]) -> list[str]:
    """Return what is wrong with an answer, each fault with where it is; nothing if it can be used.

    >>> faults({"schema": "edgekd.run/1", "error": "no", "stage": "load"})
    []
    >>> faults({"schema": "edgekd.run/1", "runtime": "litert"})[0]
    'model_sha256: Field required'
    """
    try:
        (Refusal if "error" in found else Reply).model_validate(found)
    except ValidationError as error:
        wrong = error.errors(include_input=False, include_url=False)
        return [f"{'.'.join(str(part) for part in e['loc'])}: {e['msg']}" for e in wrong]
    return []
