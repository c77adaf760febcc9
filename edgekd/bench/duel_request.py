"""What a duel is asked for: the settings, and the request to the device."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from edgekd.bench import agent, duel_agent, sensors
from edgekd.bench.devices import Device
from edgekd.bench.measure import FUNCTIONS
from edgekd.bench.subjects import FACTORY
from edgekd.records_gate import DuelMode
from edgekd.runtimes.files import identify
from edgekd.statistics import gate
from edgekd.transports.base import Transport


@dataclass(frozen=True)
class DuelSettings:
    """How two files are held against each other.

    A duel ends at a look at which the interval of the ratio is narrow: a quarter of the
    tolerance, or from ``pairs`` on half of it. Where it stays wider, the duel goes on to
    ``max_pairs``. Once it has lasted ``max_seconds`` it ends, with ``min_pairs`` at least.

    Attributes:
        tolerance: how much slower ours may be where nobody says otherwise, as a fraction.
        floor_ms: a difference of so many milliseconds never fails.
        pairs: pairs of turns; fewer where the interval is narrow before.
        max_pairs: and at most so many where it is not.
        min_pairs: however long they take.
        look: pairs between two looks at the interval.
        round: pairs between two loads of the files.
        block: neighbouring pairs that the bootstrap draws together.
        turn_ms: a timed turn lasts at least so long: tiny models run several times in it.
        max_seconds: of all pairs.
        warmup_runs: untimed inferences of each file, at least.
        warmup_seconds: and of both together at least this long.
        pin: bind a duel of one thread to one core.
        seed: of random inputs, of the order and of the bootstrap.
        timeout: seconds after which a duel is given up.
        mode: how the files are run; ``auto``: in one process, unless their formats differ or
            ``their_python`` is given.
        their_python: the interpreter on the device that runs theirs, where it is another one: an
            upgrade of a runtime can be judged that way.
    """

    tolerance: float = 0.03
    floor_ms: float = 0.005
    pairs: int = 300
    max_pairs: int = 900
    min_pairs: int = 60
    look: int = 100
    round: int = 20
    block: int = gate.BLOCK
    turn_ms: float = 0.5
    max_seconds: float = 4.0
    warmup_runs: int = 10
    warmup_seconds: float = 0.3
    pin: bool = True
    seed: int = 0
    timeout: float = 300.0
    mode: Literal["auto", "one-process", "alternating-processes"] = "auto"
    their_python: str | None = None


def build(
    transport: Transport,
    files: tuple[Path, Path],
    inputs: tuple[Path | None, Path | None],
    device: Device,
    threads: int,
    settings: DuelSettings,
) -> dict[str, Any]:
    """Bring everything to the device and return the request.

    Args:
        transport: the way to the device.
        files: ours and theirs.
        inputs: an .npz with ``sample_0``, ... for each, or None.
        device: what its profile says.
        threads: threads of the runtime.
        settings: how long, and so on.

    Raises:
        ModelFileError: one of the files is no model.
        TransportError: the device could not be reached, or has no room.
    """
    kinds = [identify(file) for file in files]
    sides = {
        side: {
            "model": transport.put(file),
            "format": FACTORY if kind in FUNCTIONS else kind,
            "function": FUNCTIONS.get(kind),
            "path": [str(Path(p or ".").resolve()) for p in sys.path],
            "runtimes": list(device.runtimes),
            "inputs": None if sample is None else transport.put(sample),
        }
        for side, file, kind, sample in zip(duel_agent.SIDES, files, kinds, inputs, strict=True)
    }
    sides["theirs"]["python"] = settings.their_python
    tolerance = settings.tolerance
    return {
        "schema": duel_agent.SCHEMA,
        "agent": transport.put(Path(agent.__file__)),
        "gate": transport.put(Path(gate.__file__)),
        "sensors": transport.put(Path(sensors.__file__)),
        **sides,
        "mode": _mode(kinds, settings),
        "threads": threads,
        "pin": settings.pin,
        "cores": list(device.affinity),
        "cooldown": device.cooldown,
        "max_temperature": device.max_temperature,
        "seed": settings.seed,
        "limits": {
            "pairs": settings.pairs,
            "max_pairs": settings.max_pairs,
            "min_pairs": settings.min_pairs,
            "look": settings.look,
            "round": settings.round,
            "block": settings.block,
            "tight": tolerance / 4,
            "wide": tolerance / 2,
            "turn_ms": settings.turn_ms,
            "max_seconds": settings.max_seconds,
            "warmup_runs": settings.warmup_runs,
            "warmup_seconds": settings.warmup_seconds,
        },
    }


def _mode(kinds: list[str], settings: DuelSettings) -> DuelMode:
    """Say how the files are run: two runtimes in one process get into each other's way."""
    if settings.mode != "auto":
        return settings.mode
    apart = kinds[0] != kinds[1] or settings.their_python is not None
    return "alternating-processes" if apart else "one-process"
