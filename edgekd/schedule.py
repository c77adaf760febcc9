"""Weights and temperatures that change while a network trains."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


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


def as_value(value: float | Schedule | dict[str, object]) -> float | Schedule:
    """Read a number or the table of a schedule, as a recipe gives them."""
    return Schedule.model_validate(value) if isinstance(value, dict) else value
