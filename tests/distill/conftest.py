"""A tiny finished run, made once for the whole session of tests."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest

from edgekd.recipe import Recipe
from edgekd.rundir import Run


@pytest.fixture(autouse=True)
def runs_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test has a runs folder of its own."""
    folder = tmp_path / "runs"
    monkeypatch.setenv("EDGEKD_RUNS", str(folder))
    return folder


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A whole run of the tiny recipe, with two seeds and the twins without a teacher."""
    from edgekd.distill.stage import distill
    from tests.fixtures_tiny import TINY

    folder = tmp_path_factory.mktemp("tiny-run")
    raw = copy.deepcopy(TINY)
    raw["train"] |= {"seeds": [0, 1], "baseline": True}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGEKD_RUNS", str(folder / "runs"))
        return distill(Recipe.from_dict(raw), out=folder / "run")
