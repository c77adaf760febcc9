"""A run of a student with two early exits, exported whole and in segments, once a session."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from edgekd.recipe import Recipe
from edgekd.rundir import Run
from tests.fixtures_tiny import TINY

EXITS: dict[str, Any] = {
    **copy.deepcopy(TINY),
    "name": "exits",
    "student": {"model": "mlp", "hidden": [24, 16], "exits": ["2", "4"]},
    "loss": [{"name": "cross-entropy"}, {"name": "early-exits"}],
    "teacher": [],
}


@pytest.fixture(scope="session")
def run_of_exits(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The run: ONNX files of exits 1 and 2 and the end, and of the three segments."""
    from edgekd.distill.stage import distill
    from edgekd.export.stage import export

    folder = tmp_path_factory.mktemp("exits-run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGEKD_RUNS", str(folder / "runs"))
        run = distill(Recipe.from_dict(copy.deepcopy(EXITS)), out=folder / "run")
    for number in (1, 2, 3):
        export(run, target="onnx", exit=number, segment=True)
        export(run, target="onnx", exit=number if number < 3 else None)
    return Run.open(run.path)
