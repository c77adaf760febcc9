"""``python -m benchmarks.speed.worker``: one contestant in a process of its own."""

from __future__ import annotations

import argparse
import json
from importlib import metadata
from pathlib import Path

from benchmarks.speed.gate import Gate
from benchmarks.speed.setting import Setting

#: Steps before anything is measured: memory pools fill and kernels are chosen.
WARM_UP = 3

PACKAGES = ("torch", "kornia", "numpy", "lightning-fabric", "torchdistill", "torchvision")


def main() -> None:
    """Train as told on the command line, a turn at a time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=("by-hand", "edgekd", "torchdistill", "versions"))
    parser.add_argument("--setting", type=Setting.from_json, default=Setting())
    parser.add_argument("--folder", type=Path, default=Path())
    parser.add_argument("--variant", type=json.loads, default={})
    given = parser.parse_args()
    if given.kind == "versions":
        there = {d.metadata["Name"].lower(): d.version for d in metadata.distributions()}
        print(json.dumps({name: there[name] for name in PACKAGES if name in there}))
        return
    gate = Gate(WARM_UP)
    # Imported here: each environment has the packages of its own contestant only.
    if given.kind == "by-hand":
        from benchmarks.speed import by_hand

        by_hand.train(given.setting, given.folder, gate, given.variant)
    elif given.kind == "torchdistill":
        from benchmarks.speed import by_torchdistill

        by_torchdistill.train(given.setting, given.folder, gate)
    else:
        from benchmarks.speed import by_edgekd

        by_edgekd.train(given.setting, given.folder, gate, given.variant)


if __name__ == "__main__":
    main()
