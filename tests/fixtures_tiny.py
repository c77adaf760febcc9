"""A recipe that trains in a second or two on real data, for tests of what is around training."""

from __future__ import annotations

import copy
from typing import Any

import pytest

TINY: dict[str, Any] = {
    "name": "tiny",
    "seed": 0,
    "data": {"source": "digits", "split": {"calibration": 64, "validation": 0.15, "test": 0.3}},
    "teacher": [{"model": "mlp", "hidden": [48], "train": {"epochs": 4}}],
    "student": {"model": "mlp", "hidden": [12]},
    "loss": [
        {"name": "cross-entropy", "weight": 0.3},
        {"name": "kd", "weight": 0.7, "temperature": 4.0},
    ],
    "train": {"epochs": 3, "batch_size": 64, "learning_rate": 0.01, "threads": 1},
}


@pytest.fixture
def tiny() -> dict[str, Any]:
    """The raw tables of a tiny recipe; change them as you like."""
    return copy.deepcopy(TINY)
