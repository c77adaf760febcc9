"""``python -m benchmarks.peers_parts.worker``: one side, in a process of its own, by turns."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from benchmarks.peers_parts.setting import Setting
from benchmarks.speed.gate import Gate


class Ending(Gate):
    """A gate that also reports what came out in the end."""

    def result(self, found: dict[str, Any]) -> None:
        """Report the end."""
        self._reports.write(json.dumps(found) + "\n")
        self._reports.flush()


def main() -> None:
    """Train as told on the command line, a turn at a time, and report the result.

    The first turn is the first epoch; later ones are told on standard input.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("side", choices=("edgekd", "torchdistill"))
    parser.add_argument("--setting", type=Setting.from_json, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--switches", type=json.loads, default={})
    given = parser.parse_args()
    gate = Ending(given.setting.steps_an_epoch)
    # Imported here: each environment has the packages of its own side only.
    if given.side == "edgekd":
        from benchmarks.peers_parts import by_edgekd

        found = by_edgekd.train(given.setting, given.folder, gate, given.switches)
    else:
        from benchmarks.peers_parts import by_torchdistill

        found = by_torchdistill.train(given.setting, given.folder, gate)
    gate.result(found)


if __name__ == "__main__":
    main()
