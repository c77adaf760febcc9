"""Do the committed files still do what the committed figures say? ``make evidence``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from benchmarks.evidence.measure import Say, measure
from benchmarks.evidence.places import Places
from edgekd.errors import EdgekdError

#: Where runtime or processor are others, rounding is: so far may an accuracy be off then.
ACCURACY = 0.001
#: Of the latency ratio, as a fraction, where the processor is the same.
RATIO = 0.15
#: Of instructions, as a fraction, with the same runtime.
INSTRUCTIONS = 0.01


@dataclass(frozen=True)
class Check:
    """One figure held against the committed one.

    Attributes:
        what: which.
        status: ``same``; ``differs``; ``skipped``, where the text says why.
        text: both figures, or the reason.
    """

    what: str
    status: Literal["same", "differs", "skipped"]
    text: str

    def __str__(self) -> str:
        """Return a line."""
        return f"{self.status:8} {self.what}: {self.text}"


def verify(
    name: str, places: Places, *, instructions: bool = True, say: Say = print
) -> list[Check]:
    """Measure a committed student again and compare.

    Args:
        name: of its plan.
        places: where it stands.
        instructions: count them where the emulated board can be brought up.
        say: is told what is measured.
    """
    path = places.measured(name)
    if not path.is_file():
        return [Check(name, "differs", f"{path.name} is missing")]
    committed = json.loads(path.read_text(encoding="utf-8"))
    try:
        found = measure(
            places.students / name, committed["reference"], instructions=instructions, say=say
        )
    except EdgekdError as error:
        return [Check(name, "differs", error.message)]
    return [*compare(committed, found), *_in_the_table(name, committed, places)]


def compare(committed: dict[str, Any], found: dict[str, Any]) -> list[Check]:
    """Hold figures against the committed ones.

    Args:
        committed: of `benchmarks.evidence.measure.measure`, as it was.
        found: as it is.
    """
    same_cpu = committed["provenance"]["cpu"] == found["provenance"]["cpu"]
    checks = []
    pairs = {name: (one, found["files"].get(name)) for name, one in committed["files"].items()}
    pairs["student.safetensors"] = (committed["student"], found["student"])
    for name, (old, new) in pairs.items():
        if new is None:
            checks.append(Check(name, "differs", "the file is missing"))
            continue
        for key in ("sha256", "size_bytes"):
            if key in old:
                checks.append(_equal(f"{name} {key}", old[key], new[key]))
        for key in ("accuracy", "agreement"):
            if old.get(key) is not None:
                exactly = same_cpu and old["runtime"] == new.get("runtime")
                skipped = found.get("skipped", "the teacher's answers are missing")
                checks.append(_near(f"{name} {key}", old[key], new.get(key), exactly, skipped))
    checks.append(_ratio(committed["latency"], found["latency"], same_cpu=same_cpu))
    checks.append(_instructions(committed["instructions"], found["instructions"]))
    return checks


def _equal(what: str, old: Any, new: Any) -> Check:
    if old == new:
        return Check(what, "same", str(new)[:12])
    return Check(what, "differs", f"{new}, committed {old}")


def _near(what: str, old: float, new: float | None, exactly: bool, skipped: str) -> Check:
    if new is None:
        return Check(what, "skipped", skipped)
    allowed = 1e-9 if exactly else ACCURACY + 1e-9
    text = f"{new:.2%}, committed {old:.2%}" + (
        "" if exactly else " (another runtime or processor)"
    )
    return Check(what, "same" if abs(new - old) <= allowed else "differs", text)


def _ratio(old: dict[str, Any], new: dict[str, Any], *, same_cpu: bool) -> Check:
    what = "latency over the reference's"
    for one in (old, new):
        if "skipped" in one:
            return Check(what, "skipped", one["skipped"])
    text = f"{new['ratio']:.3f}, committed {old['ratio']:.3f}"
    if not same_cpu:
        return Check(what, "skipped", f"{text}, on another processor")
    near = abs(new["ratio"] / old["ratio"] - 1) <= RATIO
    return Check(what, "same" if near else "differs", text)


def _instructions(old: dict[str, Any], new: dict[str, Any]) -> Check:
    what = "instructions of an inference"
    for one in (old, new):
        if "skipped" in one:
            return Check(what, "skipped", one["skipped"])
    text = f"{new['per_inference']:,}, committed {old['per_inference']:,}"
    if old["runtime"] != new["runtime"]:
        return Check(what, "skipped", f"{text}, with another runtime")
    near = abs(new["per_inference"] / old["per_inference"] - 1) <= INSTRUCTIONS
    return Check(what, "same" if near else "differs", text)


def _in_the_table(name: str, committed: dict[str, Any], places: Places) -> Iterator[Check]:
    """Check that the committed files are among those that the tables speak of."""
    path = places.result(name)
    if not path.is_file():
        yield Check(path.name, "skipped", "it is missing")
        return
    arms = json.loads(path.read_text(encoding="utf-8"))["arms"]
    runs = [run for arm in arms for run in arm["runs"]]
    for file, figures in committed["files"].items():
        told = [run["files"][file] for run in runs if file in run["files"]]
        same = [one for one in told if one["sha256"] == figures["sha256"]]
        if same and figures.get("accuracy") is not None:
            yield _equal(f"{file} in {path.name}", same[0]["accuracy"], figures["accuracy"])
        else:
            text = "its hash is there" if same else "no run has its hash"
            yield Check(f"{file} in {path.name}", "same" if same else "differs", text)
