"""Lets two model files take turns on this machine; runs on a device beside the agent.

Like ``agent.py`` it needs Python 3.9, NumPy and one runtime, and nothing of edgekd but the two
files that its request names: the agent, and the statistics of the gate::

    python duel_agent.py request.json

Both files are loaded into this process, or, where they need different runtimes or interpreters,
each into a process of its own that waits while the other one works. In a pair each has one turn,
in random order: an inference that is not timed, which brings its weights back into the caches, and
``repeats`` timed ones. Now and then both are loaded anew in the other order, since where a model
happens to lie in memory makes it faster or slower by some percent.

The number of pairs depends on how wide the interval of the ratio is and on the time, never on
the ratio itself: looking at it and stopping when it pleases would raise false alarms.

The last line of standard output is a JSON object with ``"schema": "edgekd.duel/1"``. Exit code 3:
it holds ``error``, ``stage`` and ``side``, which of the two files it was (``ours``, ``theirs``).
"""

from __future__ import annotations

import gc
import importlib.util
import json
import math
import os
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    # What `edgekd devices setup` installed here, NumPy with it, comes before the system's.
    _own = os.environ.get("EDGEKD_RUNTIME") or "~/.local/share/edgekd/runtime"
    _own = os.path.expanduser(_own)  # noqa: PTH111 (a user without a home is no error)
    sys.path.insert(0, f"{_own}/py{sys.version_info[0]}.{sys.version_info[1]}")

np: Any
try:
    import numpy as np
except ImportError as error:  # said in `main`, as any other failure
    np, _no_numpy = None, str(error)

SCHEMA = "edgekd.duel/1"
SIDE_MARK = "edgekd.side: "
FAILED = 3
SIDES = ("ours", "theirs")
#: Where one inference lasts longer than this, what the caches hold at its start does not matter.
SETTLED_MS = 2.0
#: Of the time of the pairs, what loading both files anew may take.
LOADING_SHARE = 0.25
#: Untimed inferences of each after that.
REWARM_RUNS = 5

_side = "both"


def load(name: str, path: str) -> Any:
    """Import a Python file under a name."""
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def concern(side: str) -> None:
    """Announce which file it is about, before anything can kill the process."""
    global _side
    _side = side
    sys.stderr.write(SIDE_MARK + side + "\n")
    sys.stderr.flush()


class Loaded:
    """One file in this process.

    Attributes:
        told: what is known of it: runtime, version, hash, inputs.
    """

    def __init__(self, agent: Any, side: str, request: dict[str, Any]) -> None:
        """Import the runtime; nothing is loaded yet."""
        self._agent, self._side = agent, side
        self._given: dict[str, Any] = {**request, **request[side]}
        concern(side)
        agent.enter("import")
        name, version, self._loader, skipped = agent.find_runtime(self._given)
        path = Path(self._given["model"])
        self.told: dict[str, Any] = {
            "runtime": name,
            "version": version,
            "skipped": skipped,
            "sha256": agent._sha256(path),
        }
        self._session: Any = None
        self._run: Any = None

    def load(self) -> float:
        """Load the file, anew where it was loaded before; return the seconds it took."""
        agent, given = self._agent, self._given
        kinds = {"tflite": agent.LiteRT, "onnx": agent.OnnxRuntime, "factory": agent.Factory}
        concern(self._side)
        agent.enter("load")
        begin = time.perf_counter()
        self._session = kinds[given["format"]](self._loader, given["model"], given["threads"])
        self.told["inputs"] = self._session.inputs
        self._run = self._session.feed(self._inputs())
        return time.perf_counter() - begin

    def drop(self) -> None:
        """Free it."""
        self._session = self._run = None

    def _inputs(self) -> list[Any]:
        """Return the sample of the request where it fits, or seeded random inputs."""
        specs, path = self._session.inputs, self._given.get("inputs")
        if path:
            with np.load(path) as archive:
                names = [f"sample_{i}" for i in range(len(specs))]
                if all(name in archive for name in names):
                    return [archive[name] for name in names]
        found: list[Any] = self._agent.random_inputs(specs, self._given.get("seed", 0))
        return found

    def warm_up(self, runs: int, seconds: float) -> float:
        """Run for a while; return the seconds of one inference."""
        concern(self._side)
        self._agent.enter("invoke")
        limits = {"warmup_runs": runs, "warmup_seconds": seconds, "max_seconds": 30.0}
        self._agent.warm_up(self._run, limits)
        timed = [self.turn(1, 0) for _ in range(5)]
        return sorted(timed)[2] / 1e9

    def turn(self, repeats: int, settling: int) -> int:
        """Run ``settling`` times, then ``repeats`` times; return the latter's nanoseconds."""
        run, clock = self._run, time.perf_counter_ns
        for _ in range(settling):
            run()
        begin = clock()
        for _ in range(repeats):
            run()
        return clock() - begin

    def close(self) -> None:
        """Free it."""
        self.drop()


class Elsewhere:
    """One file in a process of its own: the same calls, passed on by lines of JSON."""

    def __init__(self, side: str, request: dict[str, Any], path: str) -> None:
        """Start the process."""
        concern(side)
        self._side = side
        python = request[side].get("python") or sys.executable
        # Not communicate(): the two processes take turns.
        self._process = subprocess.Popen(
            [python, str(Path(__file__).resolve()), path, side],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.told: dict[str, Any] = self._hear()

    def _hear(self) -> Any:
        line = self._process.stdout.readline() if self._process.stdout else ""
        if line:
            return json.loads(line)
        concern(self._side)
        code = self._process.wait()
        if code < 0:  # what killed it is to be told as if it had killed this one
            os.kill(os.getpid(), -code)
        raise Refused(f"its process ended with exit code {code}")

    def _ask(self, call: str, *arguments: float) -> Any:
        if self._process.stdin:
            try:
                self._process.stdin.write(json.dumps([call, *arguments]) + "\n")
                self._process.stdin.flush()
            except BrokenPipeError:
                pass  # it is gone, which `_hear` finds out
        found = self._hear()
        if "error" in found:
            raise Refused(found["error"], found["stage"])
        return found["value"]

    def load(self) -> float:
        """Load the file, anew where it was loaded before; return the seconds it took."""
        concern(self._side)
        return float(self._ask("load"))

    def drop(self) -> None:
        """Free it."""
        self._ask("drop")

    def warm_up(self, runs: int, seconds: float) -> float:
        """Run for a while; return the seconds of one inference."""
        concern(self._side)
        return float(self._ask("warm_up", runs, seconds))

    def turn(self, repeats: int, settling: int) -> int:
        """Run ``settling`` times, then ``repeats`` times; return the latter's nanoseconds."""
        return int(self._ask("turn", repeats, settling))

    def close(self) -> None:
        """End the process."""
        if self._process.stdin:
            self._process.stdin.close()
        self._process.wait()


class Refused(Exception):
    """What the other process says went wrong, in its words."""

    def __init__(self, message: str, stage: str = "invoke") -> None:
        """Keep the stage."""
        super().__init__(message)
        self.stage = stage


def serve(request: dict[str, Any], side: str) -> int:
    """Be the process of one file: answer every line until there are no more."""
    # Runtimes print what they like: answers have a way of their own.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def say(found: Any) -> None:
        answers.write(json.dumps(found) + "\n")
        answers.flush()

    agent = load("edgekd_agent", request["agent"])
    try:
        agent.pin(request)
        loaded = Loaded(agent, side, request)
    except (Exception, SystemExit) as error:
        say({"error": f"{type(error).__name__}: {error}", "stage": agent._stage})
        return FAILED
    say(loaded.told)
    gc.collect()
    gc.disable()
    for line in sys.stdin:
        call, *arguments = json.loads(line)
        try:
            say({"value": getattr(loaded, call)(*arguments)})
        except (Exception, SystemExit) as error:
            say({"error": f"{type(error).__name__}: {error}", "stage": agent._stage})
    return 0


def orders(generator: Any, count: int) -> list[bool]:
    """Return for each pair whether ours comes first: half of them, in random order."""
    found = np.arange(count) % 2 == 0
    generator.shuffle(found)
    return [bool(first) for first in found]


def fight(
    sides: dict[str, Any], limits: dict[str, Any], gate: Any, seed: int = 0
) -> dict[str, Any]:
    """Let two files take turns until enough is known of their ratio.

    Args:
        sides: ``ours`` and ``theirs``.
        limits: ``pairs``, ``max_pairs``, ``min_pairs``, ``look`` (pairs between two looks at the
            width), ``round`` (pairs between two loads), ``block``, ``tight`` and ``wide``
            (of the interval), ``turn_ms``, ``max_seconds``, ``warmup_runs``, ``warmup_seconds``.
        gate: the module ``edgekd.statistics.gate``.
        seed: of the order within the pairs.

    Returns:
        nanoseconds of every turn of each side, whether ours came first, and how the turns were
        made.
    """
    generator = np.random.default_rng(seed)
    order, loads = SIDES, 1
    loading = place(sides, order)
    seconds = limits["warmup_seconds"] / len(SIDES)
    average = min(sides[side].warm_up(limits["warmup_runs"], seconds) for side in SIDES)
    concern("both")
    repeats = max(1, math.ceil(limits["turn_ms"] / 1e3 / max(average, 1e-9)))
    settling = 0 if average * 1e3 > SETTLED_MS else 1
    raw: dict[str, list[int]] = {side: [] for side in SIDES}
    first: list[bool] = []
    begin = time.perf_counter()
    gc.collect()
    gc.disable()  # Python's own pauses are none of the models'
    while True:
        for ours_first in orders(generator, limits["round"]):
            for side in SIDES if ours_first else SIDES[::-1]:
                raw[side].append(sides[side].turn(repeats, settling))
            first.append(ours_first)
        spent = time.perf_counter() - begin
        late = spent > limits["max_seconds"] and len(first) >= limits["min_pairs"]
        if late or (len(first) % limits["look"] == 0 and enough(raw, limits, gate)):
            break
        if loading < spent * LOADING_SHARE / (loads + 1):
            order = order[::-1]
            loading = place(sides, order)
            loads += 1
            for side in SIDES:
                sides[side].warm_up(REWARM_RUNS, 0.0)
            concern("both")
    gc.enable()
    return {
        "raw_ns": raw,
        "ours_first": first,
        "repeats": repeats,
        "settling": settling,
        "loads": loads,
        "seconds": spent,
    }


def place(sides: dict[str, Any], order: Sequence[str]) -> float:
    """Free both files, then load them in an order; return the seconds it took.

    What is freed is given out again: the file that is loaded first gets the other one's place.
    """
    for side in SIDES:
        sides[side].drop()
    return float(sum(sides[side].load() for side in order))


def enough(raw: dict[str, list[int]], limits: dict[str, Any], gate: Any) -> bool:
    """Say whether there are enough pairs, by the width of the interval alone."""
    pairs = len(raw["ours"])
    if pairs >= limits["max_pairs"]:
        return True
    ratios = np.asarray(raw["ours"]) / np.asarray(raw["theirs"])
    width: float = gate.interval(ratios, block=limits["block"], resamples=500).width
    return bool(width <= (limits["tight"] if pairs < limits["pairs"] else limits["wide"]))


def handle(request: dict[str, Any], path: str) -> dict[str, Any]:
    """Do what the request asks; return the reply."""
    agent = load("edgekd_agent", request["agent"])
    agent.enter("import")
    if np is None:
        raise ImportError(f"NumPy is needed: {_no_numpy}")
    gate = load("edgekd_gate", request["gate"])
    cores = agent.pin(request)
    system = agent.load_sensors(request.get("sensors"), cores or (), request.get("root", ""))
    cooled = agent.cool(request, system)
    before = agent.environment(system)
    apart = request["mode"] == "alternating-processes"
    sides: dict[str, Any] = {}
    for side in SIDES:
        sides[side] = Elsewhere(side, request, path) if apart else Loaded(agent, side, request)
    for side in SIDES:
        if "error" in sides[side].told:
            concern(side)
            raise Refused(sides[side].told["error"], sides[side].told["stage"])
    found = fight(sides, request["limits"], gate, request.get("seed", 0))
    reply = {
        "schema": SCHEMA,
        "mode": request["mode"],
        **found,
        **{side: sides[side].told for side in SIDES},
        "cores": cores,
        "cooled": cooled,
        "environment": {"before": before, "after": agent.environment(system)},
        "python": platform.python_version(),
        "machine": platform.machine(),
    }
    for side in SIDES:
        sides[side].close()
    return reply


def main(arguments: Sequence[str]) -> int:
    """Read the request, print the reply, return the exit code."""
    if len(arguments) not in (1, 2):
        sys.stderr.write("usage: python duel_agent.py request.json [SIDE]\n")
        return 2
    request = json.loads(Path(arguments[0]).read_text(encoding="utf-8"))
    if len(arguments) == 2:
        return serve(request, arguments[1])
    code = 0
    try:
        reply = handle(request, arguments[0])
    except (Exception, SystemExit) as error:  # whatever it is, the other side must be told
        known = sys.modules.get("edgekd_agent")
        stage = getattr(error, "stage", None) or getattr(known, "_stage", "request")
        said = str(error) if isinstance(error, Refused) else f"{type(error).__name__}: {error}"
        reply, code = {"schema": SCHEMA, "error": said, "stage": stage, "side": _side}, FAILED
    # A runtime may have printed without ending its line.
    sys.stdout.write("\n" + json.dumps(reply) + "\n")
    sys.stdout.flush()
    return code


if __name__ == "__main__":
    # Python puts this file's folder first: its neighbours must not hide the user's modules.
    sys.path[:] = [p for p in sys.path if Path(p or ".").resolve() != Path(__file__).parent]
    exit_code = main(sys.argv[1:])
    sys.stderr.flush()
    os._exit(exit_code)  # a runtime that crashes while it is torn down has been measured
