"""Does distillation work? ``python benchmarks/study.py train``, then ``collect``.

Fraction of labels x temperature x size of the teacher x strength of augmentation, on
Fashion-MNIST. ``train`` trains what is missing, in the order of what matters, a row a network in
``build/study/rows.jsonl``; it may be interrupted at any time. ``collect`` writes
``benchmarks/results/study.json``, the tables of ``docs/when-distillation-works.md`` and its plots.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # run as a file, Python sees this folder only
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.study_parts.cells import Cell, Setting, plan
from benchmarks.study_parts.collect import collect
from benchmarks.study_parts.driver import read_rows, train_missing
from benchmarks.study_parts.page import write

REPOSITORY = Path(__file__).resolve().parents[1]
RESULT = REPOSITORY / "benchmarks" / "results" / "study.json"
PAGE = REPOSITORY / "docs" / "when-distillation-works.md"
IMAGES = REPOSITORY / "docs" / "images"
FOLDER = REPOSITORY / "build" / "study"


def main(arguments: list[str] | None = None) -> None:
    """Do what the command line says."""
    given = _parse(arguments)
    setting = Setting.from_json(given.setting) if given.setting else Setting()
    cells = plan(setting, given.waves)
    if given.command == "count":
        print(count(cells, setting, given.folder))
    elif given.command == "train":
        _end_by_signal()
        with_root = replace(setting, data=_data(setting))
        limit = None if given.minutes is None else 60.0 * given.minutes
        whole = train_missing(
            cells, with_root, given.folder, jobs=given.jobs, seconds=limit, tell=_tell
        )
        raise SystemExit(0 if whole else 1)
    else:
        from benchmarks.study_parts.plots import draw

        result = collect(setting, given.folder)
        given.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        write(given.page, result)
        for name, svg in draw(result).items():
            (given.images / f"study-{name}.svg").write_text(svg, encoding="utf-8")


def count(cells: Sequence[Cell], setting: Setting, folder: Path) -> str:
    """Return how many networks there are and are left, and what such ones took so far."""
    rows = read_rows(folder, setting)
    lines = []
    for kind in ("teacher", "twin", "student"):
        of = [cell for cell in cells if cell.kind == kind]
        took = [rows[cell.name]["wall_seconds"] for cell in of if cell.name in rows]
        mean = f", {sum(took) / len(took):.0f} s each" if took else ""
        lines.append(f"{kind}s: {len(of)}, {len(of) - len(took)} of them missing{mean}")
    return "\n".join(lines)


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("command", choices=("count", "train", "collect"))
    parser.add_argument("--waves", default="ABCD", help="see benchmarks/study_parts/cells.py")
    parser.add_argument("--minutes", type=float, help="end after so many; run it again to go on")
    parser.add_argument("--jobs", type=int, default=2, help="networks at a time, a thread each")
    parser.add_argument("--setting", help="JSON with fields of another setting, to try it out")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="rows, answers, logs")
    parser.add_argument("--out", type=Path, default=RESULT, help="where the JSON goes")
    parser.add_argument("--page", type=Path, default=PAGE, help="whose tables are written")
    parser.add_argument("--images", type=Path, default=IMAGES, help="where the plots go")
    return parser.parse_args(arguments)


def _data(setting: Setting) -> dict[str, Any]:
    """Return ``[data]`` with the folder of Fashion-MNIST under ``EDGEKD_DATA``."""
    if setting.data["source"] != "idx" or "root" in setting.data:
        return dict(setting.data)
    root = os.environ.get("EDGEKD_DATA")
    if root is None:
        raise SystemExit("set EDGEKD_DATA to the folder that holds fashion_mnist")
    return {**setting.data, "root": str(Path(root) / "fashion_mnist")}


def _end_by_signal() -> None:
    """Let a polite kill end the networks in training too."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
