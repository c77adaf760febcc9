"""Peers and averages over two processes are those of one at twice the batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from tests.distill.test_processes import TOLERANCE, curve, run


@pytest.mark.slow
def test_two_processes_are_one_at_twice_the_batch(tmp_path: Path, tiny: dict[str, Any]) -> None:
    """Everybody hears the whole batch: a short last one of 44 samples is shared as 22 and 22."""
    tiny["teacher"] = [{"follows": "student", "decay": 0.9, "view": "other"}]
    tiny["peer"] = [{"model": "mlp", "hidden": [16], "view": "other"}]
    tiny["ensemble"] = {"weigh": "correctness", "with_self": True}
    tiny["loss"] = [{"name": "cross-entropy"}, {"name": "kd"}, {"name": "dist"}, {"name": "dino"}]
    tiny["data"]["split"]["train"] = 300
    tiny["train"] |= {"optimizer": "sgd", "learning_rate": 0.01, "epochs": 3, "clip_norm": 1.0}
    tiny["train"]["augment"] = ["affine"]
    one = run(tmp_path, tiny, "one")
    tiny["train"]["batch_size"] = 32
    two = run(tmp_path, tiny, "two", "--num-devices", "2")
    assert len(curve(one)) == 3
    for ours, theirs in zip(curve(one), curve(two), strict=True):
        for name, value in ours.items():
            assert theirs[name] == pytest.approx(value, rel=TOLERANCE, abs=TOLERANCE), name
    for name in ("student", "teacher", "peer-1"):
        a, b = (load_file(found.path / f"{name}.safetensors") for found in (one, two))
        assert max((a[key] - b[key]).abs().max().item() for key in a) < 2e-3, name
