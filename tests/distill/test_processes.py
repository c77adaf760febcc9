"""Two processes train what one trains at twice the batch, whatever the losses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from edgekd.distill.ranks import Ranks
from edgekd.rundir import Run
from edgekd.toml import dump_toml

#: Differences of the losses that rounding alone explains after a few dozen steps.
TOLERANCE = 2e-4


def run(folder: Path, recipe: dict[str, Any], name: str, *arguments: str) -> Run:
    (folder / f"{name}.toml").write_text(dump_toml(recipe))
    environment = {k: v for k, v in os.environ.items() if k not in ("RANK", "LOCAL_RANK")}
    done = subprocess.run(
        [sys.executable, "-m", "edgekd", "distill", f"{name}.toml", "--out", name, *arguments],
        cwd=folder,
        env=environment | {"EDGEKD_RUNS": str(folder / "runs"), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    return Run.open(folder / name)


def curve(found: Run) -> list[dict[str, float]]:
    return [line["terms"] for line in found.metrics() if line["phase"] == "student"]


LOSSES: dict[str, list[dict[str, Any]]] = {
    "kd": [{"name": "cross-entropy", "weight": 0.3}, {"name": "kd", "weight": 0.7}],
    "all that compare, remember and play": [
        {"name": "cross-entropy"},
        {"name": "kd"},
        {"name": "rkd"},
        {"name": "similarity-preserving"},
        {"name": "dist"},
        {"name": "crd", "weight": 0.1, "negatives": 64, "dim": 16},
        {"name": "adversarial", "weight": 0.1},
    ],
}


@pytest.mark.parametrize("losses", ["kd", pytest.param([*LOSSES][1], marks=pytest.mark.slow)])
def test_two_processes_are_one_at_twice_the_batch(
    tmp_path: Path, tiny: dict[str, Any], losses: str
) -> None:
    """300 samples at 64 leave a short last batch of 44, shared as 22 and 22."""
    tiny["loss"] = LOSSES[losses]
    tiny["data"]["split"]["train"] = 300
    tiny["train"] |= {"optimizer": "sgd", "learning_rate": 0.02, "epochs": 3, "clip_norm": 1.0}
    tiny["train"]["augment"] = ["affine"]
    tiny["teacher"][0]["train"] = {"epochs": 4, "num_devices": 1, "batch_size": 64}
    one = run(tmp_path, tiny, "one")
    tiny["train"]["batch_size"] = 32
    two = run(tmp_path, tiny, "two", "--num-devices", "2")
    assert two.recipe.train.num_devices == 2
    for ours, theirs in zip(curve(one), curve(two), strict=True):
        for name, value in ours.items():
            assert theirs[name] == pytest.approx(value, rel=TOLERANCE, abs=TOLERANCE), name
    a, b = load_file(one.student_path), load_file(two.student_path)
    assert max((a[name] - b[name]).abs().max().item() for name in a) < 2e-3


@pytest.mark.slow
def test_torchrun(tmp_path: Path, tiny: dict[str, Any]) -> None:
    """Started from outside, as across machines: the processes find one another and one leads."""
    tiny["train"] |= {"epochs": 2, "num_devices": 2, "strategy": "ddp", "accelerator": "cpu"}
    (tmp_path / "r.toml").write_text(dump_toml(tiny))
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "torch.distributed.run",
            "--standalone",
            "--nproc-per-node",
            "2",
            "-m",
            "edgekd",
            "distill",
            "r.toml",
            "--out",
            "out",
            "--json",
        ],
        cwd=tmp_path,
        env=os.environ | {"EDGEKD_RUNS": str(tmp_path / "runs"), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["manifest"]["status"] == "complete"
    assert Run.open(tmp_path / "out").verify() == []


@given(st.integers(1, 500), st.integers(1, 9))
def test_every_sample_belongs_to_one_process(total: int, world: int) -> None:
    shares = [Ranks(rank, world).share(total) for rank in range(world)]
    covered = [index for start, end in shares for index in range(start, end)]
    assert covered == list(range(total))
    sizes = [end - start for start, end in shares]
    assert max(sizes) - min(sizes) <= 1
