"""Budgets: limits that what was measured must keep. TOML in, a `Budget` out, all faults at once.

::

    size_bytes = 500_000            # at the top: every exported file, on every device it was
    latency_ms_p50 = 20.0           # measured on
    anonymous_bytes = 20_000_000
    accuracy = 0.90
    oldest_runtime = ["TensorFlow Lite 2.14", "onnxruntime 1.17"]

    [device.pi4]                    # every exported file, on this device
    latency_ms_p50 = 60.0

    [artifact."tflite-int8"]        # this file, on every device it was measured on;
    size_bytes = 60_000             # also "teacher" and "student", which only a name reaches
    operators = ["CONV_2D", "FULLY_CONNECTED", "RESHAPE", "SOFTMAX"]

    [artifact."tflite-int8".device.pi4]
    latency_ms_p50 = 30.0

    [relative]                      # against a baseline, under `edgekd check --baseline`
    size_bytes = 1.05               # at most 1.05 times the baseline's
    latency_ms_p50 = 1.03
    latency_floor_ms = 0.005        # so many milliseconds more never fail
    accuracy_drop = 0.005           # at most 0.5 percentage points less
    new_operators = 0               # no kind of operator that the baseline does not have
    newer_runtime = false           # what runs the baseline must run it

    [artifact."tflite-int8".relative]
    accuracy_drop = 0.02

In a recipe the same stands under ``[budget]``. For each number the most specific limit holds and
hides the others: file and device, then file, then device, then the top.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from edgekd import recipe_faults
from edgekd.check.quantities import BY_NAME, LATENCY_FLOOR, RELATIVE, defaults
from edgekd.check.releases import parse_release
from edgekd.errors import RecipeError
from edgekd.toml import read_toml

#: The file that holds limits where nobody names another one.
DEFAULT_FILE = "budget.toml"

_Maximum = Annotated[float, Field(ge=0)]
_Fraction = Annotated[float, Field(ge=0, le=1)]
_Ratio = Annotated[float, Field(gt=0)]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=True)


class _OnDevice(_Table):
    """Limits that depend on the device. Its size is the same everywhere."""

    latency_ms_p50: _Maximum | None = None
    instructions: _Maximum | None = None
    peak_rss_bytes: _Maximum | None = None
    anonymous_bytes: _Maximum | None = None
    accuracy: _Fraction | None = None
    agreement: _Fraction | None = None


class _Relative(_Table):
    size_bytes: _Ratio | None = None
    parameters: _Ratio | None = None
    macs: _Ratio | None = None
    operator_count: _Ratio | None = None
    new_operators: _Maximum | None = None
    newer_runtime: bool | None = None
    latency_ms_p50: _Ratio | None = None
    latency_floor_ms: _Maximum | None = None
    instructions: _Ratio | None = None
    peak_rss_bytes: _Ratio | None = None
    anonymous_bytes: _Ratio | None = None
    accuracy_drop: _Fraction | None = None
    agreement_drop: _Fraction | None = None


class _Artifact(_OnDevice):
    size_bytes: _Maximum | None = None
    parameters: _Maximum | None = None
    macs: _Maximum | None = None
    operator_count: _Maximum | None = None
    operators: list[Annotated[str, Field(min_length=1)]] | None = None
    oldest_runtime: str | list[str] | None = None
    fp32_parity: _Maximum | None = None
    device: dict[str, Any] = {}
    relative: dict[str, Any] = {}

    @field_validator("oldest_runtime")
    @classmethod
    def _releases(cls, value: str | list[str] | None) -> str | list[str] | None:
        for text in [value] if isinstance(value, str) else value or []:
            parse_release(text)
        return value


class _Top(_Artifact):
    artifact: dict[str, Any] = {}


@dataclass(frozen=True)
class Limit:
    """One limit of a budget.

    Attributes:
        metric: the number it holds for, e.g. ``latency_ms_p50``; or ``latency_floor_ms``, which
            holds for nothing by itself.
        value: the limit; for a relative one a factor, or a drop for ``accuracy`` and ``agreement``.
        artifact: the file it holds for; None: every exported file.
        device: the device it holds on; None: every device.
        relative: it holds against a baseline.
        default: nobody wrote it; it holds because a baseline was given.
        names: the operators that are allowed, or the runtimes that must run the file; ``value`` is
            then how many others there may be.
    """

    metric: str
    value: float
    artifact: str | None = None
    device: str | None = None
    relative: bool = False
    default: bool = False
    names: tuple[str, ...] = ()


#: What a baseline is held against where the budget has no ``[relative]`` at all.
DEFAULT_RELATIVE = tuple(
    Limit(metric, value, relative=True, default=True) for metric, value in defaults()
)


@dataclass(frozen=True)
class Budget:
    """Every limit, with what it holds for.

    Attributes:
        limits: in the order of the file.
        source: where they were written, for messages.
    """

    limits: tuple[Limit, ...] = ()
    source: str = "the budget"

    @classmethod
    def load(cls, path: str | Path) -> Budget:
        """Read a TOML file: a budget, or a recipe with a ``[budget]``.

        Raises:
            RecipeError: with every fault found.
        """
        raw: Any = read_toml(Path(path))
        if isinstance(raw.get("budget"), Mapping) and (len(raw) == 1 or "student" in raw):
            raw = raw["budget"]
        return cls.from_dict(raw, source=str(path))

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any], *, source: str = "the budget") -> Budget:
        """Read a budget given as nested dictionaries.

        Raises:
            RecipeError: with every fault found.
        """
        faults = faults_in(raw)
        if faults:
            hint = f"A budget has the keys {', '.join(BY_NAME)}, for all files or in "
            hint += '[artifact."NAME"] and [device.NAME]; and [relative].'
            raise RecipeError(source, [fault.lstrip(".") for fault in faults], hint=hint)
        return cls(tuple(_limits(raw)), source)

    def find(
        self, metric: str, artifact: str, device: str | None, *, relative: bool = False
    ) -> Limit | None:
        """Return the most specific absolute or relative limit of a number, if there is one.

        Args:
            metric: the number.
            artifact: the name of the file, or ``teacher`` or ``student``.
            device: the device, or None where there is none.
            relative: look among the limits against a baseline.
        """
        matching = [
            limit
            for limit in self.limits
            if limit.metric == metric
            and limit.relative == relative
            and limit.artifact in (None, artifact)
            and limit.device in (None, device)
        ]
        return max(matching, key=_specificity, default=None)

    @property
    def absolute(self) -> tuple[Limit, ...]:
        """The limits that need no baseline."""
        return tuple(limit for limit in self.limits if not limit.relative)

    @property
    def relative(self) -> tuple[Limit, ...]:
        """The limits against a baseline."""
        return tuple(limit for limit in self.limits if limit.relative)

    def with_defaults(self) -> Budget:
        """Return the budget with `DEFAULT_RELATIVE` where it has no relative limits."""
        if any(limit.metric != LATENCY_FLOOR for limit in self.relative):
            return self
        return replace(self, limits=(*self.limits, *DEFAULT_RELATIVE))

    def only(self, *metrics: str) -> Budget:
        """Return the limits of some numbers."""
        kept = tuple(limit for limit in self.limits if limit.metric in metrics)
        return replace(self, limits=kept)


def faults_in(raw: Any) -> list[str]:
    """Return what is wrong with a budget, each as ``.key.path: what``; used by the recipe too."""
    if not isinstance(raw, Mapping):
        return []  # the caller reports a value that is no table
    faults = []
    for where, model, table in _tables(raw):
        prefix = "".join(f".{part}" for part in where)
        if not isinstance(table, Mapping):
            faults.append(f"{prefix}: should be a table of limits, not {table!r}")
            continue
        try:
            model.model_validate(dict(table))
        except ValidationError as error:
            found = recipe_faults.structure(error, model, table)
            faults += [f"{prefix}.{fault}{_advice(fault)}" for fault in found]
    return faults


def _specificity(limit: Limit) -> tuple[bool, bool]:
    return limit.artifact is not None, limit.device is not None


def _tables(raw: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], type[_Table], Any]]:
    """Yield (key path, model, table) of the budget's tables, whatever they hold."""
    yield (), _Top, raw
    yield from _below((), raw)
    for name, table in _items(raw, "artifact"):
        where = ("artifact", str(name))
        yield where, _Artifact, table
        if isinstance(table, Mapping):
            yield from _below(where, table)


def _below(
    where: tuple[str, ...], table: Mapping[str, Any]
) -> Iterator[tuple[tuple[str, ...], type[_Table], Any]]:
    for name, limits in _items(table, "device"):
        yield (*where, "device", str(name)), _OnDevice, limits
    if isinstance(table.get("relative"), Mapping):
        yield (*where, "relative"), _Relative, table["relative"]


def _items(table: Mapping[str, Any], key: str) -> list[tuple[Any, Any]]:
    inner = table.get(key)
    return list(inner.items()) if isinstance(inner, Mapping) else []


#: Key under ``[relative]`` -> the number of its limit.
_IN_RELATIVE = {**RELATIVE, LATENCY_FLOOR: LATENCY_FLOOR}


def _limits(raw: Mapping[str, Any]) -> Iterator[Limit]:
    """Flatten the tables of a budget without faults."""
    for where, model, table in _tables(raw):
        relative = model is _Relative
        artifact = where[1] if where[:1] == ("artifact",) else None
        device = where[-1] if "device" in where[-2:-1] else None
        for key, value in table.items():
            metric = _IN_RELATIVE.get(key) if relative else key
            if value is None or metric is None or (metric not in BY_NAME and not relative):
                continue
            names: tuple[str, ...] = ()
            if isinstance(value, str | list | tuple):
                names = (value,) if isinstance(value, str) else tuple(map(str, value))
                value = 0.0
            yield Limit(metric, float(value), artifact, device, relative, names=names)


def _advice(fault: str) -> str:
    """Say how fractions are written, to who wrote a percentage."""
    return " (write 95% as 0.95)" if "less than or equal to 1" in fault else ""
