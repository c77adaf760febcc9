"""Weights and temperatures that change while a network trains."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, WrapValidator

from edgekd.errors import EdgekdError


class Schedule(BaseModel):
    """A value that goes from ``start`` to ``end`` over the whole training.

    In a recipe: ``temperature = {schedule = "cosine", start = 8.0, end = 2.0}``.

    Attributes:
        schedule: ``linear``; ``cosine``, half a cosine; ``warm-up``: linear from start to end over
            the first ``fraction`` of all steps, then constant.
        start: the value at the first step.
        end: the value at the last step.
        fraction: of all steps, for ``warm-up``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    schedule: Literal["linear", "cosine", "warm-up"]
    start: float
    end: float
    fraction: Annotated[float, Field(gt=0.0, le=1.0)] = 0.1

    def at(self, progress: float) -> float:
        """Return the value after a fraction of all steps.

        >>> Schedule(schedule="linear", start=8.0, end=2.0).at(0.5)
        5.0
        >>> round(Schedule(schedule="cosine", start=1.0, end=0.0).at(0.25), 6)
        0.853553
        >>> Schedule(schedule="warm-up", start=0.0, end=1.0, fraction=0.2).at(0.1)
        0.5
        """
        done = min(max(progress, 0.0), 1.0)
        if self.schedule == "warm-up":
            done = min(done / self.fraction, 1.0)
        elif self.schedule == "cosine":
            done = 0.5 * (1.0 - math.cos(math.pi * done))
        return self.start + (self.end - self.start) * done

    def least(self) -> float:
        """Return the smallest value that it ever has."""
        return min(self.start, self.end)


def value_at(value: float | Schedule, progress: float) -> float:
    """Return a constant as it is, a schedule's value at a progress."""
    return value.at(progress) if isinstance(value, Schedule) else value


class WeightSchedule(Schedule):
    """A schedule that is never below 0."""

    start: Annotated[float, Field(ge=0.0)]
    end: Annotated[float, Field(ge=0.0)]


_NUMBER: TypeAdapter[float] = TypeAdapter(
    Annotated[float, Field(strict=True, allow_inf_nan=False)],
)
_NUMBER_FROM_0: TypeAdapter[float] = TypeAdapter(
    Annotated[float, Field(strict=True, allow_inf_nan=False, ge=0.0)],
)


def as_value(value: object) -> float | Schedule:
    """Read a number or the table of a schedule, as a recipe gives them.

    Raises:
        EdgekdError: it is neither.
    """
    try:
        if isinstance(value, Mapping | Schedule):
            return Schedule.model_validate(value, strict=True)
        return _NUMBER.validate_python(value)
    except ValidationError as error:
        faults = [": ".join(map(str, (*item["loc"], item["msg"]))) for item in error.errors()]
        raise EdgekdError(
            f"neither a number nor a schedule: {'; '.join(faults)}",
            hint='A schedule is written {schedule = "linear", start = 8.0, end = 2.0}.',
        ) from error


def _weight(value: Any, _: Any) -> float | Schedule:
    """Decide by its form what a value is meant to be, so that each fault is told once."""
    if isinstance(value, Mapping | Schedule):
        fields = value.model_dump() if isinstance(value, Schedule) else value
        return WeightSchedule.model_validate(fields, strict=True)
    return _NUMBER_FROM_0.validate_python(value)


#: The type of a weight in a recipe: a number or a schedule, never below 0.
Weight = Annotated[float | Schedule, WrapValidator(_weight)]
