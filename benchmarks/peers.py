"""edgekd beside torchdistill: ``python benchmarks/peers.py --torchdistill PYTHON``.

The same teacher, students, data, order, epochs and seeds; accuracy and images/s side by side.
Writes ``benchmarks/results/peers.json`` and a section of ``docs/evidence.md``. PYTHON is the
interpreter of an environment with torch, kornia, torchvision and torchdistill 1.1.5::

    python3.11 -m venv .venv-peers
    .venv-peers/bin/pip install -c constraints.txt torch kornia torchvision torchdistill==1.1.5
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # run as a file, Python sees this folder only
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.peers_parts.page import write
from benchmarks.peers_parts.setting import (
    Setting,
    accuracy,
    data_file,
    network,
    start_file,
    teacher_file,
)
from benchmarks.speed.turns import REPOSITORY, environment, report, started, turn

RESULT = REPOSITORY / "benchmarks" / "results" / "peers.json"
PAGE = REPOSITORY / "docs" / "evidence.md"
SHAPE = (1, 28, 28)

#: Steps whose losses must agree, and by how much of the loss they may differ.
SAME_STEPS = 3
SAME_IMAGES = 256
TOLERANCE = 1e-4


@dataclass(frozen=True)
class Side:
    """One of those that are compared.

    Attributes:
        kind: of worker.
        python: the interpreter of its environment.
        switches: of edgekd's recipe.
    """

    kind: str
    python: str
    switches: Mapping[str, Any] = field(default_factory=dict)


def main(arguments: list[str] | None = None) -> None:
    """Measure as told on the command line, print and write the results."""
    given = _parse(arguments)
    setting = Setting(**json.loads(given.setting)) if given.setting else Setting()
    with tempfile.TemporaryDirectory(prefix="edgekd-peers-") as folder:
        result = measure(setting, range(given.seeds), given.torchdistill, given.data, Path(folder))
    given.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    if given.page is not None:
        write(given.page, result)
    print(json.dumps({name: side["test_accuracy"] for name, side in result["sides"].items()}))


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--torchdistill", metavar="PYTHON", required=True)
    parser.add_argument("--seeds", type=int, default=3, help="how many; default 3")
    parser.add_argument("--setting", help="JSON with fields that differ, to try it out")
    shared = os.environ.get("EDGEKD_DATA", "")
    parser.add_argument("--data", type=Path, default=Path(shared) / "fashion_mnist")
    parser.add_argument("--out", type=Path, default=RESULT, help="where the JSON goes")
    parser.add_argument("--page", type=Path, help=f"whose table is written, e.g. {PAGE.name}")
    return parser.parse_args(arguments)


def measure(
    setting: Setting, seeds: Sequence[int], torchdistill: str, data: Path, folder: Path
) -> dict[str, Any]:
    """Return what the sides reached and how fast.

    Args:
        setting: of all.
        seeds: one student each, of each side.
        torchdistill: the interpreter of its environment.
        data: the folder of Fashion-MNIST.
        folder: for arrays, weights and runs.
    """
    from edgekd.provenance import collect
    from edgekd.statistics.seeds import compare_seeds

    sides = {
        "torchdistill": Side("torchdistill", torchdistill),
        "edgekd": Side("edgekd", sys.executable),
        "edgekd-fast": Side("edgekd", sys.executable, {"channels_last": True, "fold": True}),
    }
    write_data(setting, data, folder)
    reached = train_teacher(setting, folder)
    _tell(f"the teacher reaches {reached:.2%}")
    mapping = check_mapping(
        setting, {name: sides[name] for name in ("torchdistill", "edgekd")}, folder
    )
    found: dict[str, Any] = {
        name: {"test_accuracy": [], "epochs": [], "losses": []} for name in sides
    }
    for seed in seeds:
        own = replace(setting, seed=seed)
        write_start(own, folder)
        for name, told in race(own, sides, folder).items():
            for key, value in told.items():
                found[name][key].append(value)
            _tell(f"seed {seed}, {name}: {told['test_accuracy']:.2%}")
    peer = found["torchdistill"]["test_accuracy"]
    return {
        "kind": "peers",
        "version": 1,
        "setting": asdict(setting),
        "seeds": list(seeds),
        "teacher_accuracy": reached,
        "mapping": mapping,
        "sides": found,
        "tests": {
            name: asdict(compare_seeds(side["test_accuracy"], peer))
            for name, side in found.items()
            if name != "torchdistill"
        },
        "packages": _versions(torchdistill),
        "provenance": collect(packages=("torch", "kornia", "numpy")).model_dump(
            mode="json", exclude={"command", "seed"}
        ),
    }


def write_data(setting: Setting, data: Path, folder: Path) -> None:
    """Write the arrays that both sides read: training images, every class as in the source.

    Args:
        setting: how many images.
        data: the folder of Fashion-MNIST.
        folder: where the file goes.
    """
    import numpy as np

    from edgekd.data.idx import idx

    parts = idx(str(data)).parts
    chosen = np.random.default_rng(0).permutation(len(parts["train"]))
    rest = chosen[setting.images : setting.images + 200]
    train, test = chosen[: setting.images], np.arange(len(parts["test"]))
    arrays: dict[str, Any] = {}
    for name, part, indices in (
        ("train", "train", train),
        ("rest", "train", rest),
        ("test", "test", test),
    ):
        arrays[f"x_{name}"] = parts[part].read(indices)
        arrays[f"y_{name}"] = parts[part].targets[indices]
    np.savez(data_file(folder), **arrays)


def train_teacher(setting: Setting, folder: Path) -> float:
    """Train the teacher by edgekd, on the labels; write its weights and return its accuracy."""
    import torch

    from benchmarks.peers_parts import by_edgekd
    from edgekd.distill.stage import distill
    from edgekd.models.weights import load_weights
    from edgekd.recipe import Recipe

    described = Recipe.from_dict(
        {
            "name": "teacher",
            "data": by_edgekd.data(setting, folder),
            "student": {
                **setting.teacher,
                "input": {"mean": [setting.mean], "std": [setting.std]},
            },
            "loss": [{"name": "cross-entropy"}],
            "train": {
                **by_edgekd.common(setting, setting.teacher_epochs),
                "channels_last": True,
            },
        }
    )
    run = distill(described, out=folder / "teacher")
    teacher = network(setting.teacher, SHAPE)
    load_weights(teacher, run.student_path)
    torch.save(teacher.state_dict(), teacher_file(folder))
    return accuracy(teacher, setting, folder)


def write_start(setting: Setting, folder: Path) -> None:
    """Write the weights that the students of a seed start from."""
    import torch

    student = network(setting.student, SHAPE, setting.seed)
    torch.save(student.state_dict(), start_file(folder, setting.seed))


def race(setting: Setting, sides: Mapping[str, Side], folder: Path) -> dict[str, dict[str, Any]]:
    """Let the sides train in turns of an epoch; return times, losses and accuracies.

    The first epoch is not measured: memory pools fill, kernels are chosen.

    Args:
        setting: with the seed.
        sides: by name.
        folder: with arrays and weights.
    """
    found: dict[str, dict[str, Any]] = {name: {"epochs": []} for name in sides}
    with ExitStack() as stack:
        workers: dict[str, subprocess.Popen[str]] = {}
        for name, side in sides.items():
            command = [side.python, "-m", "benchmarks.peers_parts.worker", side.kind]
            command += ["--setting", setting.to_json(), "--folder", str(folder)]
            command += ["--switches", json.dumps(dict(side.switches))]
            workers[name] = stack.enter_context(started(command))
            report(workers[name], name)
        order = list(workers)
        for _ in range(setting.epochs - 1):
            for name in order:
                told = turn(workers[name], name, setting.steps_an_epoch)
                found[name]["epochs"].append({k: round(v, 4) for k, v in told.items()})
            order = [*order[1:], order[0]]  # nobody always follows the same one
        for name, worker in workers.items():
            # There are no more steps: whatever number lets it go on to its end.
            found[name].update(turn(worker, name, setting.steps_an_epoch))
    return found


def check_mapping(setting: Setting, sides: Mapping[str, Side], folder: Path) -> dict[str, Any]:
    """Compare the losses of the first steps without augmentation.

    An epoch is a step here: one batch of all images.

    Returns:
        ``steps`` and ``largest``, the largest relative difference of the losses.

    Raises:
        SystemExit: they differ by more than `TOLERANCE`.
    """
    images = min(SAME_IMAGES, setting.images)
    few = replace(setting, epochs=SAME_STEPS, augment=False, images=images, batch_size=images)
    write_start(few, folder)
    losses = [found["losses"] for found in race(few, sides, folder).values()]
    largest = max(abs(a - b) / abs(b) for a, b in zip(*losses, strict=True))
    if largest > TOLERANCE:
        raise SystemExit(f"the sides do not compute the same: losses {losses}")
    return {"steps": SAME_STEPS, "largest": largest, "losses": losses}


def _versions(python: str) -> dict[str, str]:
    done = subprocess.run(
        [python, "-m", "benchmarks.speed.worker", "versions"],
        cwd=REPOSITORY,
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return found


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
