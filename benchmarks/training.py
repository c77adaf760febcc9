"""How fast edgekd trains, in ratios: ``python benchmarks/training.py [--quick]``.

Against a loop written by hand, against the student alone, against torchdistill; and how much
memory an image folder on disk takes as it grows. Writes ``benchmarks/results/training.json`` and
``docs/speed.md``; with ``--quick``, which is for trying it out, neither unless told where.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # run as a file, Python sees this folder only
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.speed.page import render
from benchmarks.speed.quiet import Patience
from benchmarks.speed.rows import ROWS, groups, judge
from benchmarks.speed.turns import (
    REPOSITORY,
    BenchmarkError,
    Contestant,
    Times,
    alternate,
    environment,
    report,
    started,
)

PARTS = ("loop", "cache", "torchdistill", "memory")
RESULT = REPOSITORY / "benchmarks" / "results" / "training.json"
PAGE = REPOSITORY / "docs" / "speed.md"


@dataclass(frozen=True)
class Size:
    """How much is measured.

    Attributes:
        setting: fields of `benchmarks.speed.setting.Setting` that differ from its defaults.
        small_teacher: a network smaller than the student.
        repetitions: ratios of each row.
        steps: of each contestant a repetition.
        turn_steps: steps before the next contestant's turn.
        images: in the smaller image folder; the larger has ten times as many.
        side: of those images, in pixels.
        memory_repetitions: runs with each of the two folders.
        patience: seconds to spend, in each group, on waiting for a quiet machine.
        compiled: measure ``torch.compile`` too, where there is a C++ compiler.
    """

    setting: dict[str, Any]
    small_teacher: str = "resnet8"
    repetitions: int = 9
    steps: int = 20
    turn_steps: int = 4
    images: int = 1500
    side: int = 64
    memory_repetitions: int = 3
    compiled: bool = True
    patience: float = 900.0


FULL = Size({})
QUICK = Size(
    {"student": "resnet8", "teacher": "resnet20", "images": 80, "side": 16, "batch_size": 16},
    repetitions=2,
    steps=4,
    turn_steps=2,
    images=40,
    side=16,
    memory_repetitions=1,
    compiled=False,
    patience=0.0,
)


def main(arguments: list[str] | None = None) -> None:
    """Measure as told on the command line, print the table, write the results."""
    given = _parse(arguments)
    size = QUICK if given.quick else FULL
    if given.repetitions:
        size = replace(size, repetitions=given.repetitions)
    if given.patience is not None:
        size = replace(size, patience=given.patience)
    if given.threads:
        size = replace(size, setting={**size.setting, "threads": given.threads})
    with tempfile.TemporaryDirectory(prefix="edgekd-speed-") as folder:
        result = measure(size, given.only or PARTS, given.torchdistill, Path(folder))
    print(render(result))
    out, page = given.out, None
    if not given.quick and not given.only and out is None:
        out, page = RESULT, PAGE
    if out is not None:
        out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    if page is not None:
        page.write_text(render(result), encoding="utf-8")


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="tiny networks, to try it out")
    parser.add_argument(
        "--torchdistill",
        metavar="PYTHON",
        help="the interpreter of an environment with torch, torchdistill, torchvision and kornia",
    )
    parser.add_argument("--only", action="append", choices=PARTS, help="measure this part only")
    parser.add_argument("--repetitions", type=int, help="ratios of each row")
    parser.add_argument("--threads", type=int, help="of PyTorch; default 2")
    parser.add_argument(
        "--patience", type=float, metavar="SECONDS", help="to wait for a quiet machine, each part"
    )
    parser.add_argument("--out", type=Path, help="where the JSON goes")
    return parser.parse_args(arguments)


def measure(
    size: Size, parts: Iterable[str], torchdistill: str | None, folder: Path
) -> dict[str, Any]:
    """Return everything that was measured and what it was measured on.

    Args:
        size: how much.
        parts: of `PARTS`.
        torchdistill: the interpreter of its environment, or None to leave it out.
        folder: for weights, runs and images; about 300 MB at full size.
    """
    from edgekd.provenance import collect

    load = [os.getloadavg()[0]]
    compiled = size.compiled and shutil.which("g++") is not None
    everyone = groups(size.small_teacher, torchdistill, compiled=compiled)
    found = {name: members for name, members in everyone.items() if name in parts}
    _write_teachers(size, folder)
    times = {name: _group(name, members, size, folder) for name, members in found.items()}
    memory = _memory(size, folder) if "memory" in parts else None
    load.append(os.getloadavg()[0])
    rows = [judge(row, times[row.group]) for row in ROWS if row.under in times.get(row.group, {})]
    pythons = {"edgekd": sys.executable}
    if "torchdistill" in found and torchdistill is not None:
        pythons["torchdistill"] = torchdistill
    facts = collect(packages=()).model_dump(mode="json", exclude={"command", "seed"})
    return {
        "kind": "training-speed",
        "version": 1,
        "provenance": facts,
        "load_average": [round(value, 2) for value in load],
        "packages": {name: _versions(python) for name, python in pythons.items()},
        "setting": asdict(_setting(size)),
        "small_teacher": size.small_teacher,
        "steps": size.steps,
        "turn_steps": size.turn_steps,
        "rows": rows,
        "times": times,
        "memory": memory,
    }


def _setting(size: Size, **overrides: Any) -> Any:
    from benchmarks.speed.setting import Setting

    return Setting(**{**size.setting, **overrides})


def _write_teachers(size: Size, folder: Path) -> None:
    import torch

    from benchmarks.speed.setting import settled, teacher_file

    setting = _setting(size)
    for name in {setting.teacher, size.small_teacher}:
        torch.save(settled(name, setting).state_dict(), teacher_file(name, folder))


def _group(name: str, members: list[Contestant], size: Size, folder: Path) -> Times:
    """Start a group's workers one after the other, then let them take turns."""
    _tell(f"{name}: {', '.join(member.name for member in members)}")
    with ExitStack() as stack:
        workers = {}
        for member in members:
            setting = _setting(size, **member.overrides)
            command = [member.python, "-m", "benchmarks.speed.worker", member.kind]
            command += ["--setting", setting.to_json(), "--folder", str(folder)]
            command += ["--variant", json.dumps(dict(member.variant))]
            workers[member.name] = stack.enter_context(started(command))
            report(workers[member.name], member.name)  # its warm-up
        patience = Patience(size.patience)
        times = alternate(
            workers,
            repetitions=size.repetitions,
            steps=size.steps,
            turn_steps=size.turn_steps,
            patience=patience,
            tell=_tell,
        )
    _tell(f"  {patience.disturbed} turns were disturbed and measured again")
    return times


def _memory(size: Size, folder: Path) -> dict[str, Any]:
    """Train from a folder of images and from one ten times as large; return the peaks."""
    from benchmarks.speed.images import write

    found: dict[str, Any] = {"side": size.side, "folders": []}
    counts = (size.images, 10 * size.images)
    for count in counts:
        decoded = write(folder / f"images-{count}", count, size.side)
        found["folders"].append({"images": count, "decoded_bytes": decoded, "peak_rss_bytes": []})
    for number in range(size.memory_repetitions):
        for entry in found["folders"]:
            source, runs = folder / f"images-{entry['images']}", folder / f"memory-runs-{number}"
            command = [sys.executable, "-m", "benchmarks.speed.images", str(source), str(runs)]
            entry["peak_rss_bytes"].append(_printed(command))
            _tell(f"memory: {entry['images']} images, {entry['peak_rss_bytes'][-1] / 1e6:.0f} MB")
    small, large = (sorted(entry["peak_rss_bytes"]) for entry in found["folders"])
    found["ratio"] = round(large[len(large) // 2] / small[len(small) // 2], 4)
    return found


def _versions(python: str) -> dict[str, str]:
    found: dict[str, str] = _printed([python, "-m", "benchmarks.speed.worker", "versions"])
    return found


def _printed(command: list[str]) -> Any:
    done = subprocess.run(
        command, cwd=REPOSITORY, env=environment(), stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode:
        raise BenchmarkError(f"{command[2]} ended with code {done.returncode}")
    return json.loads(done.stdout.splitlines()[-1])


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
