"""What is measured besides latency and memory: instructions, energy, throughput, drift."""

from __future__ import annotations

from typing import Literal

from edgekd.recordbase import Record


class Instructions(Record):
    """Instructions that an emulated processor executed for one inference.

    ``per_inference`` is the median of ``raw``, one count an inference after the warm-up; ``cpu``
    the processor that was emulated, whose instruction set decides which kernels a runtime takes.
    """

    per_inference: int
    n: int
    raw: tuple[int, ...]
    cpu: str
    counter: str


class InferenceEnergy(Record):
    """Energy of one inference, in joules.

    ``source`` says where it comes from: ``rapl`` (the processor's own counters), ``hwmon`` (a
    sensor on the board), ``battery`` (a phone's gauge), or ``estimate`` (power of the model that
    ``detail`` states, times the time); only an estimate is not measured. ``idle_watts`` was
    measured before and taken off; nothing was taken off an estimate.
    """

    joules_per_inference: float
    source: Literal["rapl", "hwmon", "battery", "estimate"]
    measured: bool
    detail: str
    idle_watts: float | None = None


class Throughput(Record):
    """Samples a second where they wait in batches (scenario ``offline``)."""

    batch: int
    samples: int
    seconds: float
    per_second: float


class Soak(Record):
    """Latency under a load that goes on.

    ``p50_ms`` holds the median of every window of ``window_seconds``, in order, ``drift`` the
    median of the last quarter over that of the first.
    """

    seconds: float
    window_seconds: float
    n: int
    p50_ms: tuple[float, ...]
    temperature_c: tuple[float | None, ...] = ()
    frequency_mhz: tuple[float | None, ...] = ()
    drift: float


class OperatorTime(Record):
    """Time of one operator of a graph, by a profiler, in a run of its own.

    ``kind`` is the operator's or the kernel's type, ``calls`` how often one inference runs it,
    ``mean_ms`` the time of all its calls in one inference, averaged over inferences, and
    ``share`` that time over the sum of all operators.
    """

    name: str
    kind: str
    calls: int
    mean_ms: float
    share: float


class Compared(Record):
    """What a file answered here, held against what it answered on another device.

    Attributes:
        device: the other one.
        samples: answers that both gave.
        identical: how many of them are equal bit for bit.
        same_class: how many have the same top class; None where there are no classes.
        max_difference: the largest difference of two scores; None where they were not kept.
        runtime: what ran the file there, with its version; another one here may explain what
            differs.
        same_runtime: both devices ran it with the same version of the same runtime.
    """

    device: str
    samples: int
    identical: int
    same_class: int | None = None
    max_difference: float | None = None
    runtime: str
    same_runtime: bool
