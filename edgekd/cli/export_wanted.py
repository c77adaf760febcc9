"""Which files ``edgekd export`` is to make: what the flags say, else what the recipe names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

#: The target that stands for all of them.
ALL = "all"

_NO_TARGET = "Say which: --target tflite or --target onnx."


@dataclass(frozen=True)
class Wanted:
    """One file to make.

    Attributes:
        target: a row of the table of targets.
        quantize: a row of the table of schemes; None: what suits the profile.
        options: of `edgekd.export`, beside these.
        exit: the early exit that it ends at; None: the network's own end.
        segment: it begins where the exit before it ends.
    """

    target: str
    quantize: str | None
    options: dict[str, Any] = field(default_factory=dict)
    exit: int | None = None
    segment: bool = False

    @property
    def title(self) -> str:
        """What is said while it is being made."""
        where = f", {'segment' if self.segment else 'exit'} {self.exit}" if self.exit else ""
        scheme = "" if self.quantize is None else f", quantize {self.quantize}"
        return f"{self.target}{scheme}{where}"


def of_flags(
    source: str | None,
    targets: Sequence[str],
    schemes: Sequence[str],
    given: dict[str, Any],
) -> list[Wanted]:
    """Return what to make.

    Args:
        source: as the user named it.
        targets: of the command line; none: those of the recipe's export tables.
        schemes: likewise. With a recipe's targets they choose among its tables.
        given: the flags that were given, as options of `edgekd.export`.

    Raises:
        EdgekdError: nothing says which.
        UnknownNameError: there is no such target or scheme.
    """
    from edgekd.errors import EdgekdError
    from edgekd.registry import table
    from edgekd.rundir import Run

    for name in targets:
        if name != ALL:
            table("target").row(name)
    for name in schemes:
        table("scheme").row(name)
    if ALL in targets:
        return list(_everything(schemes, given))
    if targets:
        chosen: Sequence[str | None] = schemes or [None]
        return [Wanted(one, scheme, given) for one in targets for scheme in chosen]
    if source is not None and ":" in source:
        raise EdgekdError(
            "a model by import path has no recipe that names its targets", hint=_NO_TARGET
        )
    specs = Run.open(source).recipe.export
    if not specs:
        raise EdgekdError("the recipe of the run names no [[export]]", hint=_NO_TARGET)
    return [
        Wanted(spec.target, spec.quantize, {**_options(spec), **given})
        for spec in specs
        if not schemes or (spec.quantize or "none") in schemes
    ]


def _everything(schemes: Sequence[str], given: dict[str, Any]) -> Iterator[Wanted]:
    """Yield every scheme of every target."""
    from edgekd.registry import table

    for row in table("target"):
        known = row.load().schemes
        for scheme in table("scheme").names:
            if scheme in known and (not schemes or scheme in schemes):
                yield Wanted(row.name, scheme, given)


def calibration_plan(method: str, samples: int, percentile: float) -> Any:
    """Return how ranges are set; None where it is as ever."""
    from edgekd.quantize.calibration import CalibrationPlan

    plan = CalibrationPlan(method, samples, percentile)  # type: ignore[arg-type]
    return None if plan == CalibrationPlan() else plan


def _options(spec: Any) -> dict[str, Any]:
    """Return an export table as options of `edgekd.export`, those that are as ever left out."""
    found = {
        "profile": None if spec.profile == "cpu" else spec.profile,
        "io": spec.io,
        "layout": spec.layout,
        "batch": 0 if spec.batch == "dynamic" else spec.batch,
        "free_axis": spec.free_axis,
        "embed_preprocess": spec.embed_preprocess or None,
        "keep_float": spec.keep_float or None,
        "calibration": calibration_plan(
            spec.calibration, spec.calibration_samples, spec.percentile
        ),
    }
    return {name: value for name, value in found.items() if value is not None}


def exits_wanted(source: str | None, text: str | None) -> list[tuple[int | None, bool]]:
    """Return (exit, segment) of every file to make; exit None is the network's own end.

    Raises:
        EdgekdError: the text is no number, or not one of all exits of a run.
    """
    from edgekd.errors import EdgekdError
    from edgekd.rundir import Run

    if text is None:
        return [(None, False)]
    if text.isdecimal():
        return [(int(text), False)]
    if text not in ("all", "segments"):
        raise EdgekdError(f"--exit {text}: there is no such exit", hint="A number, all or segments")
    exits = Run.open(source).recipe.student.exits
    if exits is None:
        raise EdgekdError(
            "the student of the run has no early exits", hint="Give it some: [student.exits]"
        )
    numbers = range(1, len(exits.at) + 1)
    if text == "segments":
        return [(number, True) for number in (*numbers, len(exits.at) + 1)]
    return [*((number, False) for number in numbers), (None, False)]


def one_place_for_one(out: Path | None, wanted: Sequence[object]) -> None:
    """Refuse one folder for several files.

    Raises:
        EdgekdError: says how many there are.
    """
    from edgekd.errors import EdgekdError

    if out is not None and len(wanted) > 1:
        raise EdgekdError(
            f"--out names one folder, but {len(wanted)} files are to be made",
            hint="Give one --target and one --quantize with --out.",
        )
