"""One trial: the gate and the usual gates on the same file, one after the other."""

from __future__ import annotations

import json
import random
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.checkpoint import whole_rows
from benchmarks.gate_proof.models import SLOWER, Entrant
from benchmarks.gate_proof.usual import judged, measured
from edgekd.check.budgets import Budget
from edgekd.check.latency import latency
from edgekd.check.subject import Item

#: Measurements that were stored before, of which a trial takes one: a gate that always holds
#: against the same one is as good or as bad as that.
STORED = 8
TOLERANCE = 0.03


@dataclass(frozen=True)
class Trial:
    """What is tried.

    Attributes:
        model: name of the entrant.
        slower: by how much, e.g. 0.05; 0: the file against itself.
        condition: ``quiet`` or ``bursts``.
        number: from 0 on.
    """

    model: str
    slower: float
    condition: str
    number: int

    @property
    def key(self) -> str:
        """A name for the checkpoint."""
        return f"{self.model} {self.slower:.2f} {self.condition} {self.number}"


def plan(
    models: list[str], same: tuple[int, int], slower: tuple[int, int]
) -> dict[str, list[Trial]]:
    """Return the trials by condition, in random order: a slow drift meets all kinds alike.

    Args:
        models: names.
        same: trials of each file against itself, quiet and under bursts.
        slower: trials of each slower version, likewise.
    """
    found = {}
    for index, condition in enumerate(("quiet", "bursts")):
        trials = [
            Trial(model, wanted, condition, number)
            for model in models
            for wanted in (0.0, *SLOWER)
            for number in range(same[index] if not wanted else slower[index])
        ]
        random.Random(0).shuffle(trials)
        found[condition] = trials
    return found


def attempt(trial: Trial, entrant: Entrant, stored: list[dict[str, Any]]) -> dict[str, Any]:
    """Try it; return what every gate said."""
    candidate = entrant.slower[trial.slower] if trial.slower else entrant.base
    item = Item(entrant.name, path=candidate)
    budget = Budget.from_dict({"relative": {"latency_ms_p50": 1 + TOLERANCE}})
    duels: list[Any] = []
    began = time.perf_counter()
    verdict = latency([(item, entrant.base)], budget, ["cpu"], keep=duels.append)[0]
    seconds = time.perf_counter() - began
    if verdict.ratio is None:
        raise SystemExit(f"{trial.key}: {verdict.message}")
    return {
        "model": trial.model,
        "slower": trial.slower,
        "condition": trial.condition,
        "number": trial.number,
        "status": verdict.status,
        "seconds": round(seconds, 2),
        "duels": [
            {
                "ratio": round(duel.interval.median, 5),
                "low": round(duel.interval.low, 5),
                "high": round(duel.interval.high, 5),
                "pairs": duel.pairs,
            }
            for duel in duels
        ],
        "usual": {
            name: round(value, 5)
            for name, value in judged(
                measured(candidate), stored[trial.number % len(stored)]
            ).items()
        },
    }


class Checkpoint:
    """Trials that were done already, one a line.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        """Read what is there."""
        self._path = path
        self.done: dict[str, dict[str, Any]] = {}
        for found in whole_rows(path):
            names = ("model", "slower", "condition", "number")
            self.done[Trial(*(found[name] for name in names)).key] = found

    def add(self, trial: Trial, found: dict[str, Any]) -> None:
        """Keep a trial."""
        self.done[trial.key] = found
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(found) + "\n")


def store(entrant: Entrant, work: Path, count: int = STORED) -> list[dict[str, Any]]:
    """Measure a file so many times on the quiet machine, or take what an earlier call stored."""
    path = work / f"stored-{entrant.name}.json"
    if path.exists():
        found: list[dict[str, Any]] = json.loads(path.read_text())
        if len(found) >= count:
            return found
    found = [measured(entrant.base) for _ in range(count)]
    path.write_text(json.dumps(found))
    return found
