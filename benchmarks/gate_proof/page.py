"""The table of ``docs/gate.md`` from the results, between its markers."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

from benchmarks.gate_proof.usual import alarms
from benchmarks.markdown import write_between

BEGIN = "<!-- begin: benchmarks/gate.py -->"
END = "<!-- end: benchmarks/gate.py -->"
OURS = "`edgekd check`"
CONDITIONS = ("quiet", "bursts")
KINDS = (0.0, 0.05, 0.10)
#: False alarms at most, true slowdowns found at least.
GOALS = {0.0: 0.025, 0.05: 0.95, 0.10: 1.0}

Trials = list[dict[str, Any]]


def write(page: Path, result: dict[str, Any]) -> None:
    """Put the tables between the markers of a page."""
    write_between(page, BEGIN, END, render(result))


def render(result: dict[str, Any]) -> str:
    """Return the tables: the gates side by side, the gate by model, and where it was measured."""
    return "\n\n".join([_gates(result), _models(result), _where(result)])


def rates(trials: Trials) -> dict[str, dict[tuple[float, str], tuple[int, int]]]:
    """Return by gate, kind of trial and condition how many of how many raised an alarm.

    An inconclusive verdict is no alarm: it counts as a slowdown that was not found.
    """
    found: dict[str, dict[tuple[float, str], tuple[int, int]]] = {}
    for trial in trials:
        said = {OURS: trial["status"] == "fail", **alarms(trial["usual"])}
        for gate, alarm in said.items():
            cell = trial["slower"], trial["condition"]
            raised, of = found.setdefault(gate, {}).get(cell, (0, 0))
            found[gate][cell] = raised + alarm, of + 1
    return found


def met(trials: Trials) -> dict[str, bool]:
    """Return for each kind of trial and condition whether the gate meets its goal."""
    own = rates(trials)[OURS]
    return {
        f"{kind:.2f} {condition}": (
            raised / of >= GOALS[kind] if kind else raised / of <= GOALS[kind]
        )
        for (kind, condition), (raised, of) in sorted(own.items())
    }


def _gates(result: dict[str, Any]) -> str:
    lines = [
        "| Gate | False alarms: quiet | bursts | +5% found: quiet | bursts "
        "| +10% found: quiet | bursts |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    cells = [(kind, condition) for kind in KINDS for condition in CONDITIONS]
    for gate, counts in rates(result["trials"]).items():
        shown = [_share(counts.get(cell)) for cell in cells]
        bold = "**" if gate == OURS else ""
        lines.append(f"| {gate} | " + " | ".join(f"{bold}{one}{bold}" for one in shown) + " |")
    return "\n".join(lines)


def _share(counts: tuple[int, int] | None) -> str:
    if counts is None:
        return "-"
    return f"{counts[0] / counts[1]:.1%} ({counts[0]}/{counts[1]})"


def _models(result: dict[str, Any]) -> str:
    lines = [
        "The gate by model. Inconclusive verdicts raise no alarm and find nothing; they are "
        "listed. Seconds are those of a whole check on the quiet machine, start of the processes "
        "included: of a file against itself, then of a slower one, which takes two duels.\n",
        "| Model | ms | Truly slower | False alarms | +5% found | +10% found | Inconclusive "
        "| Seconds |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for model, facts in result["models"].items():
        own = [trial for trial in result["trials"] if trial["model"] == model]
        true = " and ".join(f"{ratio - 1:.1%}" for ratio in facts["true"].values())
        counts = [_both(own, kind) for kind in KINDS]
        unsure = sum(trial["status"] == "inconclusive" for trial in own)
        lines.append(
            f"| {model} | {facts['ms']:.3g} | {true} | {' | '.join(counts)} "
            f"| {unsure}/{len(own)} | {_seconds(own)} |"
        )
    return "\n".join(lines)


def _both(trials: Trials, kind: float) -> str:
    chosen = [trial for trial in trials if trial["slower"] == kind]
    return f"{sum(trial['status'] == 'fail' for trial in chosen)}/{len(chosen)}"


def _seconds(trials: Trials) -> str:
    found = []
    for kinds in ((0.0,), KINDS[1:]):
        spent = [
            trial["seconds"]
            for trial in trials
            if trial["slower"] in kinds and trial["condition"] == "quiet"
        ]
        found.append(f"{statistics.median(spent):.1f}" if spent else "-")
    return ", ".join(found)


def _where(result: dict[str, Any]) -> str:
    facts, packages = result["provenance"], result["provenance"]["packages"]
    versions = ", ".join(f"{name} {number}" for name, number in packages.items())
    goals = result["met"]
    missed = [key for key, reached in goals.items() if not reached]
    verdict = "All goals are met." if not missed else f"Missed: {', '.join(missed)}."
    return (
        f"{facts['cores']} {result['machine']} cores, {versions}, {facts['created'][:10]}; every "
        f"trial in processes of its own, in random order. {verdict}"
    )
