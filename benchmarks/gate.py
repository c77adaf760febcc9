"""Does the gate cry wolf, does it sleep? ``python benchmarks/gate.py [--quick]``.

Every model against itself, and against versions of itself that are truly 5% and 10% slower, on a
quiet machine and under bursty load; and the usual gates on the same files in the same session.
Writes ``benchmarks/results/gate.json`` and the tables of ``docs/gate.md``. It can be interrupted:
started again, it goes on. With ``--quick``, which is for trying it out, neither file is written.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # run as a file, Python sees this folder only
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.gate_proof import page
from benchmarks.gate_proof.load import bursts
from benchmarks.gate_proof.models import NAMES, USUAL, prepare
from benchmarks.gate_proof.trials import Checkpoint, attempt, plan, store

REPOSITORY = Path(__file__).resolve().parents[1]
RESULT = REPOSITORY / "benchmarks" / "results" / "gate.json"
PAGE = REPOSITORY / "docs" / "gate.md"
WORK = REPOSITORY / "build" / "gate-proof"

#: Trials of each model: against itself quiet and under bursts, and of each slower version.
FULL = ((120, 80), (40, 20))
QUICK = ((2, 1), (1, 1))
#: Duels of a measurement of how much slower a slower version is.
PROCESSES = 5


def main(arguments: list[str] | None = None) -> None:
    """Try as told on the command line, print the tables, write the results."""
    given = _parse(arguments)
    same, slower = QUICK if given.quick else FULL
    same = tuple(given.same) if given.same else same
    slower = tuple(given.slower) if given.slower else slower
    work = given.work or (WORK.with_name("gate-proof-quick") if given.quick else WORK)
    processes = 1 if given.quick else PROCESSES
    result = prove(given.model or list(USUAL), same, slower, given.data, work, processes)
    print(page.render(result))
    if given.out is not None:
        given.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    elif not given.quick:
        RESULT.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        page.write(PAGE, result)


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="a few trials, to try it out")
    parser.add_argument("--model", action="append", choices=NAMES, help="this one only")
    both = {"nargs": 2, "type": int, "metavar": ("QUIET", "BURSTS")}
    parser.add_argument("--same", help="trials of a model against itself; default 120 80", **both)
    parser.add_argument("--slower", help="trials of each slower version; default 40 20", **both)
    data = Path(os.environ.get("EDGEKD_DATA", REPOSITORY.parent / "shared" / "data"))
    parser.add_argument("--data", type=Path, default=data, help="the folder of third-party data")
    parser.add_argument("--work", type=Path, help="for models and the checkpoint")
    parser.add_argument("--out", type=Path, help="where the JSON goes; the page is left alone")
    return parser.parse_args(arguments)


def prove(
    models: list[str],
    same: tuple[int, int],
    slower: tuple[int, int],
    data: Path,
    work: Path,
    processes: int = PROCESSES,
) -> dict[str, Any]:
    """Hold all trials that are not held yet; return everything.

    Args:
        models: names.
        same: trials of a model against itself, quiet and under bursts.
        slower: trials of each slower version, likewise.
        data: the folder of third-party data.
        work: for models, stored measurements and the checkpoint.
        processes: duels of a measurement of how much slower a slower version is.
    """
    from edgekd.provenance import collect

    work.mkdir(parents=True, exist_ok=True)
    entrants = {name: prepare(name, data, work, processes, _tell) for name in models}
    stored = {name: store(entrant, work) for name, entrant in entrants.items()}
    checkpoint = Checkpoint(work / "trials.jsonl")
    kept: list[dict[str, Any]] = []
    for condition, trials in plan(models, same, slower).items():
        left = [trial for trial in trials if trial.key not in checkpoint.done]
        began = time.monotonic()
        with bursts() if condition == "bursts" and left else contextlib.nullcontext():
            for number, trial in enumerate(left):
                found = attempt(trial, entrants[trial.model], stored[trial.model])
                checkpoint.add(trial, found)
                rest = (time.monotonic() - began) / (number + 1) * (len(left) - number - 1)
                ratio = found["duels"][-1]["ratio"]
                _tell(
                    f"{trial.key}: {found['status']}, {ratio:.3f}, {found['seconds']:.1f} s; "
                    f"{len(left) - number - 1} to go, {rest / 60:.0f} min"
                )
        kept += [checkpoint.done[trial.key] for trial in trials]
    facts = collect(packages=("ai-edge-litert", "onnxruntime", "numpy")).model_dump(
        mode="json", exclude={"command", "seed"}
    )
    return {
        "kind": "gate-proof",
        "version": 1,
        "provenance": facts,
        "machine": platform.machine().replace("_", "-"),
        "same": same,
        "slower": slower,
        "models": {
            name: {
                "true": {f"{wanted:.2f}": ratio for wanted, ratio in entrant.true.items()},
                "ms": sorted(one["p50"] for one in stored[name])[len(stored[name]) // 2],
            }
            for name, entrant in entrants.items()
        },
        "met": page.met(kept),
        "trials": kept,
    }


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
