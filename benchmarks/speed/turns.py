"""The driver's side of taking turns: contestants in processes of their own, measured alternately.

Each trains a few steps while the others wait, over and over, so that whatever else the machine
does meets all of them alike. A repetition adds up the turns of each; its ratios are those of one
short while.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.speed.quiet import Patience

REPOSITORY = Path(__file__).resolve().parents[2]

#: name -> one entry a repetition: ``seconds``, ``cpu_seconds``, and where the system tells it
#: ``others_cpu_seconds``
Times = dict[str, list[dict[str, float]]]


@dataclass(frozen=True)
class Contestant:
    """One way to do the step.

    Attributes:
        name: in the results.
        kind: of worker: ``by-hand``, ``edgekd`` or ``torchdistill``.
        variant: for ``edgekd``: the switches of its recipe.
        overrides: fields of the setting that differ, e.g. another teacher.
        python: the interpreter of its environment.
    """

    name: str
    kind: str
    variant: Mapping[str, Any] = field(default_factory=dict)
    overrides: Mapping[str, Any] = field(default_factory=dict)
    python: str = sys.executable


class BenchmarkError(Exception):
    """A worker ended before its time."""


def environment() -> dict[str, str]:
    """Return the environment of workers: they find this folder and edgekd."""
    return {**os.environ, "PYTHONPATH": str(REPOSITORY)}


@contextmanager
def started(command: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
    """Start a worker; at the end close its input, which ends it."""
    worker = subprocess.Popen(
        [*command],
        cwd=REPOSITORY,
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield worker
    finally:
        if worker.stdin is not None:
            worker.stdin.close()
        try:
            worker.wait(timeout=20)
        except subprocess.TimeoutExpired:
            worker.kill()
            worker.wait()
        if worker.stdout is not None:
            worker.stdout.close()


def report(worker: subprocess.Popen[str], name: str) -> dict[str, float]:
    """Wait for a worker's report of its turn.

    Raises:
        BenchmarkError: it ended instead; what it said stands on standard error.
    """
    line = "" if worker.stdout is None else worker.stdout.readline()
    if not line:
        raise BenchmarkError(f"the worker {name!r} ended before its time")
    told: dict[str, float] = json.loads(line)
    return told


def turn(worker: subprocess.Popen[str], name: str, steps: int) -> dict[str, float]:
    """Let a worker train so many steps; return what they took."""
    if worker.stdin is not None:
        worker.stdin.write(f"{steps}\n")
        worker.stdin.flush()
    return report(worker, name)


def alternate(
    workers: Mapping[str, subprocess.Popen[str]],
    *,
    repetitions: int,
    steps: int,
    turn_steps: int,
    patience: Patience,
    tell: Callable[[str], None],
) -> Times:
    """Measure workers that are ready.

    Args:
        workers: by name.
        repetitions: how many entries each gets.
        steps: that an entry covers.
        turn_steps: steps of a turn.
        patience: how long to wait for a quiet machine.
        tell: takes a line of progress.
    """
    times: Times = {name: [] for name in workers}
    order = list(workers)
    for number in range(repetitions):
        sums: dict[str, Any] = {name: Counter() for name in workers}
        for _ in range(steps // turn_steps):
            for name in order:
                sums[name].update(patience.measured(partial(turn, workers[name], name, turn_steps)))
            # Nobody always follows the same one: what a turn leaves in the caches is shared out.
            order = order[::-1] if number % 2 else [*order[1:], order[0]]
        for name, found in sums.items():
            times[name].append({key: round(value, 4) for key, value in found.items()})
        seen = ", ".join(f"{name} {found['seconds']:.2f} s" for name, found in sums.items())
        tell(f"  repetition {number + 1} of {repetitions}: {seen}")
    return times
