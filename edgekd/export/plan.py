"""How a file is to be made: everything that the user chose, checked before any work is done."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from edgekd.errors import ExportError
from edgekd.export.facts import FileFacts
from edgekd.export.surface import Layout
from edgekd.quantize import PROFILES, SCHEMES
from edgekd.quantize.calibration import CalibrationPlan
from edgekd.quantize.profiles import CPU, Io, Profile
from edgekd.quantize.schemes import NONE, Scheme

#: What ``batch`` is where the size is to stay free.
DYNAMIC = 0


@dataclass(frozen=True)
class Plan:
    """How to make a file.

    Attributes:
        target: a row of the table of targets.
        scheme: how to quantize.
        profile: the kind of device that it is for.
        io: the type of inputs and outputs; None: the scheme's own.
        layout: of images; None: the target's own.
        batch: samples a call; `DYNAMIC`: free; None: the target's own.
        free_axis: an axis of the inputs whose size stays free, beside the batch.
        embed_preprocess: whether normalisation and softmax become part of the file.
        keep_float: patterns of layers that are not quantized.
        calibration: how the ranges of activations are set.
        facts: what the file is to say of itself; None: nothing.
    """

    target: str
    scheme: Scheme = NONE
    profile: Profile = CPU
    io: Io | None = None
    layout: Layout | None = None
    batch: int | None = None
    free_axis: int | None = None
    embed_preprocess: bool = False
    keep_float: tuple[str, ...] = ()
    calibration: CalibrationPlan = field(default_factory=CalibrationPlan)
    facts: FileFacts | None = field(default=None, compare=False)

    @property
    def name(self) -> str:
        """What the artifact is called: the target, the scheme, and whatever is unusual.

        >>> Plan("tflite").name
        'tflite-fp32'
        """
        parts = [self.target, self.scheme.suffix]
        parts += [self.profile.name] if self.profile != CPU else []
        parts += [f"io-{self.io}"] if self.io not in (None, self.profile.io) else []
        parts += [self.layout] if self.layout else []
        parts += [f"batch-{self.batch or 'any'}"] if self.batch is not None else []
        parts += ["free"] if self.free_axis is not None else []
        parts += ["raw"] if self.embed_preprocess else []
        parts += ["mixed"] if self.keep_float else []
        parts += [self.calibration.method] if not self.calibration.is_default else []
        return "-".join(parts)


def make_plan(
    target: str,
    *,
    quantize: str | None,
    profile: str,
    io: Io | None,
    layout: Layout | None,
    batch: int | None,
    free_axis: int | None,
    embed_preprocess: bool,
    keep_float: tuple[str, ...],
    calibration: CalibrationPlan,
) -> Plan:
    """Put a plan together; see `Plan` for what each part means.

    Raises:
        ExportError: parts of it contradict each other.
        UnknownNameError: there is no such scheme or profile.
    """
    kind: Profile = PROFILES.resolve(profile)
    scheme: Scheme = SCHEMES.resolve(quantize or kind.quantize)
    if not kind.allows(scheme):
        raise ExportError(
            f"--profile {kind.name} takes --quantize {' or '.join(kind.schemes)}, not {scheme.name}"
        )
    if kind.targets and target not in kind.targets:
        raise ExportError(
            f"--profile {kind.name} is for {', '.join(kind.targets)}, not for {target}"
        )
    io = io or kind.io
    _check_io(io, scheme, embed_preprocess)
    if batch is not None and batch < 0:
        raise ExportError(f"--batch must be 1 or more, or dynamic, not {batch}")
    if free_axis is not None and free_axis < 1:
        raise ExportError("--free-axis counts from the batch, which is 0: give 1 or more")
    if keep_float and not scheme.lossy:
        raise ExportError("--keep-float says what is not quantized: give --quantize too")
    given: dict[str, Any] = {
        "layout": layout,
        "batch": batch,
        "free_axis": free_axis,
        "embed_preprocess": embed_preprocess,
        "keep_float": keep_float,
    }
    return Plan(target, scheme, kind, io, calibration=calibration, **given)


def _check_io(io: Io | None, scheme: Scheme, embed_preprocess: bool) -> None:
    if io in (None, "float32") or scheme.name == "int8":
        return
    if io == "uint8" and embed_preprocess:
        return
    raise ExportError(
        f"--io {io} needs --quantize int8: {scheme.name} computes its input in float32",
        hint="For raw uint8 pixels into a float network: --embed-preprocess --io uint8.",
    )
