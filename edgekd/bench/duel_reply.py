"""The answer of a duel, ``edgekd.duel/1``: what it must hold to be used."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edgekd.bench.reply import BeforeAndAfter, Cooled, Refusal
from edgekd.recordbase import Sha256

Nanoseconds = Annotated[int, Field(gt=0)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True, allow_inf_nan=False)


class Entrant(_Part):
    """What a device tells of one of the two files."""

    runtime: str
    version: str | None = None
    sha256: Sha256 | None = None


class Turns(_Part):
    """Nanoseconds of every turn, in order."""

    ours: list[Nanoseconds] = Field(min_length=1)
    theirs: list[Nanoseconds] = Field(min_length=1)


class Fought(_Part):
    """The two files took turns (exit code 0)."""

    schema_name: Literal["edgekd.duel/1"] = Field(alias="schema")
    mode: Literal["one-process", "alternating-processes"]
    ours: Entrant
    theirs: Entrant
    raw_ns: Turns
    ours_first: list[bool]
    repeats: int = Field(gt=0)
    settling: int = Field(ge=0)
    loads: int = Field(gt=0)
    seconds: float = Field(ge=0)
    cores: list[int] | None = None
    cooled: Cooled = Cooled()
    environment: BeforeAndAfter = BeforeAndAfter()
    python: str | None = None
    machine: str | None = None


class Lost(Refusal):
    """One of the two failed (exit code 3): ``side`` is ``ours`` or ``theirs``, or ``both``."""

    schema_name: Literal["edgekd.duel/1"] = Field(alias="schema")  # type: ignore[assignment]
    side: str = "both"


def faults(found: dict[str, Any]) -> list[str]:
    """Return what is wrong with an answer, each fault with where it is; nothing if it can be used.

    >>> faults({"schema": "edgekd.duel/1", "error": "no", "stage": "load", "side": "ours"})
    []
    """
    try:
        if "error" in found:
            Lost.model_validate(found)
            return []
        told = Fought.model_validate(found)
    except ValidationError as error:
        wrong = error.errors(include_input=False, include_url=False)
        return [f"{'.'.join(str(part) for part in e['loc'])}: {e['msg']}" for e in wrong]
    counts = {len(told.raw_ns.ours), len(told.raw_ns.theirs), len(told.ours_first)}
    return [] if len(counts) == 1 else ["raw_ns: not as many turns of the one as of the other"]
