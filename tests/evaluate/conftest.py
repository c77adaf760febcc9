"""A tiny run with a twin, three seeds and exported files, made once; do not change it."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekd.recipe import Recipe
from edgekd.rundir import Run
from tests.fixtures_tiny import TINY


def trained(folder: Path, **changes: Any) -> Run:
    from edgekd.distill.stage import distill

    raw = {**copy.deepcopy(TINY), **changes}
    raw["data"] = {**raw["data"], "source": "tests.evaluate.sources:spoken_digits"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGEKD_RUNS", str(folder.parent / "runs"))
        return distill(Recipe.from_dict(raw), out=folder)


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Three seeds, each with its twin, and two ONNX files."""
    from edgekd.export.stage import export

    folder = tmp_path_factory.mktemp("evaluated") / "run"
    run = trained(folder, train={**TINY["train"], "seeds": [0, 1, 2], "baseline": True})
    export(run, target="onnx")
    export(run, target="onnx", quantize="int8", max_drop=100.0)
    return run


@pytest.fixture(scope="session")
def other(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The same data, another seed."""
    return trained(tmp_path_factory.mktemp("other") / "other", seed=5)


@pytest.fixture(autouse=True)
def runs_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test has a runs folder of its own."""
    folder = tmp_path / "runs"
    monkeypatch.setenv("EDGEKD_RUNS", str(folder))
    return folder


@pytest.fixture
def run(whole: Run, tmp_path: Path) -> Run:
    """A copy of the run that a test may write into."""
    import shutil

    shutil.copytree(whole.path, tmp_path / "run")
    return Run.open(tmp_path / "run")


@pytest.fixture
def stored(whole: Run) -> dict[str, np.ndarray]:
    """What the run wrote down of the test split."""
    with np.load(whole.predictions_path) as found:
        return {name: found[name] for name in found.files}
