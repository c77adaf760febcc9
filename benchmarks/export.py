"""What an export costs beside the bare converter: ``python benchmarks/export.py [--only NAME]``.

Wall time and peak memory of `edgekd.export`, which also proves the file in a process of its own,
over those of the vendors' converter and quantizer called bare; and the size of int8 files over
that of float ones. Every figure is of a fresh process, contestants take turns, and only ratios
within one run mean anything. Writes ``benchmarks/results/export.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # run as a file, Python sees this folder only
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.export_cost.networks import NETWORKS

REPOSITORY = Path(__file__).resolve().parents[1]
RESULT = REPOSITORY / "benchmarks" / "results" / "export.json"
GOALS = {"with_imports": 1.3, "without_imports": 1.3, "peak_kb": 1.3, "int8_size": 0.30}
_PACKAGES = ("torch", "litert-torch", "ai-edge-quantizer", "onnx", "onnxruntime")


def main() -> None:
    """Measure what was asked for and write it down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="names of networks, separated by commas")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RESULT)
    arguments = parser.parse_args()
    wanted = arguments.only.split(",") if arguments.only else list(NETWORKS)
    rows = []
    for name in wanted:
        for target in ("onnx", "tflite"):
            for scheme in ("none", "int8"):
                rows.append(_row(name, target, scheme, arguments.repetitions))
                print(json.dumps(rows[-1]), flush=True)
    result = {
        "what": "python benchmarks/export.py",
        "machine": f"2 {platform.machine()} cores, one thread",
        "repetitions": arguments.repetitions,
        "goals": GOALS,
        "packages": {name: metadata.version(name) for name in _PACKAGES},
        "rows": rows,
        "sizes": _sizes(rows),
    }
    arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def _row(name: str, target: str, scheme: str, repetitions: int) -> dict[str, Any]:
    """Return the medians of the ratios of pairs of runs."""
    pairs = [
        (_measured("edgekd", name, target, scheme), _measured("bare", name, target, scheme))
        for _ in range(repetitions)
    ]
    row: dict[str, Any] = {"network": name, "target": target, "quantize": scheme}
    for key in ("with_imports", "without_imports", "peak_kb", "bytes"):
        ratios = [mine[key] / other[key] for mine, other in pairs]
        row[key] = round(statistics.median(ratios), 3)
        row[f"{key}_range"] = [round(min(ratios), 3), round(max(ratios), 3)]
    row["file_bytes"] = pairs[0][0]["bytes"]
    return row


def _measured(who: str, name: str, target: str, scheme: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.export_cost.worker", who, name, target, scheme]
    done = subprocess.run(
        command, cwd=REPOSITORY, env=os.environ, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command[2:])}: {done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def _sizes(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the size of each int8 file over that of its float sibling."""
    known = {(r["network"], r["target"], r["quantize"]): r["file_bytes"] for r in rows}
    return [
        {
            "network": name,
            "target": target,
            "int8_size": round(size / known[name, target, "none"], 3),
        }
        for (name, target, scheme), size in known.items()
        if scheme == "int8"
    ]


if __name__ == "__main__":
    main()
