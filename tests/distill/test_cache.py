"""The teacher cache: right under augmentation and mixing, verified, never half trusted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from edgekd.distill import cache as caches
from edgekd.distill.packing import pack, spread, unpack
from edgekd.distill.progress import Progress
from edgekd.distill.stage import distill
from edgekd.losses.base import Outputs
from edgekd.recipe import CacheSpec, Recipe
from edgekd.rundir import runs_root, sha256_file
from edgekd.toml import dump_toml


class Listener(Progress):
    def __init__(self) -> None:
        self.said: list[str] = []

    def message(self, text: str) -> None:
        self.said.append(text)

    @property
    def built(self) -> str:
        return " ".join(text for text in self.said if "caching" in text)


@pytest.fixture
def cached(tiny: dict[str, Any]) -> dict[str, Any]:
    """A tiny recipe with a cached teacher, augmentation and mixing."""
    tiny["teacher"][0]["cache"] = {"views": 2, "precision": "fp32"}
    tiny["train"] |= {
        "epochs": 3,
        "augment": [{"name": "affine"}, {"name": "erase"}],
        "mix": {"kind": "mixup", "alpha": 0.4},
    }
    return tiny


@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
def test_a_cached_answer_is_what_the_live_teacher_says_of_that_view(
    cached: dict[str, Any], monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Every batch of a whole training: stored against live, on the very inputs of the student."""
    cached["train"]["mix"]["kind"] = kind
    compared = []
    original = caches.TeacherCache.answer

    def answer(self: caches.TeacherCache, batch: Any) -> Outputs:
        stored = original(self, batch)
        fresh = self.voice.answer(batch)
        compared.append((batch.view, (stored.logits - fresh.logits).abs().max().item()))
        return stored

    monkeypatch.setattr(caches.TeacherCache, "answer", answer)
    distill(Recipe.from_dict(cached))
    assert {view for view, _ in compared} == {0, 1}
    assert max(difference for _, difference in compared) < 1e-4


def test_the_student_is_that_of_the_live_teacher(
    cached: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With all views and float32 the cache changes nothing but rounding."""
    cached["teacher"][0]["cache"]["views"] = 3
    stored = distill(Recipe.from_dict(cached)).manifest.student_scores[0]
    monkeypatch.setattr(caches.TeacherCache, "answer", lambda self, batch: self.voice.answer(batch))
    fresh = distill(Recipe.from_dict(cached)).manifest.student_scores[0]
    assert stored.test_accuracy == pytest.approx(fresh.test_accuracy, abs=0.01)


def test_is_reused_by_other_seeds_and_runs_but_not_by_other_transforms(
    cached: dict[str, Any],
) -> None:
    cached["train"]["seeds"] = [0, 1]
    first = Listener()
    distill(Recipe.from_dict(cached), progress=first)
    assert first.built.count("2 of 2 views") == 1
    again = Listener()
    cached["loss"][1]["temperature"] = 2.0
    distill(Recipe.from_dict(cached), progress=again)
    assert again.built == ""
    other = Listener()
    cached["train"]["augment"][0]["degrees"] = 20.0
    cached["teacher"][0]["train"]["augment"] = []
    distill(Recipe.from_dict(cached), progress=other)
    assert "2 of 2 views" in other.built


def shards() -> list[Path]:
    return sorted(runs_root().glob("cache/*/view-*.logits.npy"))


def test_a_damaged_shard_is_computed_again(cached: dict[str, Any]) -> None:
    whole = sha256_file(distill(Recipe.from_dict(cached)).student_path)
    damaged = shards()[1]
    content = bytearray(damaged.read_bytes())
    content[-3] ^= 0xFF
    damaged.write_bytes(bytes(content))
    listener = Listener()
    run = distill(Recipe.from_dict(cached), progress=listener)
    assert "1 of 2 views" in listener.built
    assert sha256_file(run.student_path) == whole


def test_a_shard_that_is_not_what_the_teacher_says_is_noticed(cached: dict[str, Any]) -> None:
    """Hashes in order, contents wrong: only the live teacher can tell."""
    whole = sha256_file(distill(Recipe.from_dict(cached)).student_path)
    from edgekd.recordfile import file_record, read_record, write_record
    from edgekd.records_distill import ShardManifest

    wrong = shards()[0]
    np.save(wrong, np.load(wrong)[::-1])
    record = wrong.with_name("view-00000.json")
    manifest = read_record(record, ShardManifest)
    write_record(record, manifest.model_copy(update={"files": {wrong.name: file_record(wrong)}}))
    listener = Listener()
    run = distill(Recipe.from_dict(cached), progress=listener)
    assert any("not what the teacher says: computed again" in text for text in listener.said)
    assert sha256_file(run.student_path) == whole


BUILD = """
import sys
from edgekd.distill.stage import distill
distill(sys.argv[1], out=sys.argv[2])
"""


@pytest.mark.slow
def test_building_goes_on_after_a_kill_and_beside_another_process(
    cached: dict[str, Any], tmp_path: Path
) -> None:
    cached["teacher"][0]["cache"]["views"] = 40
    cached["train"]["epochs"] = 1
    path = tmp_path / "r.toml"
    path.write_text(dump_toml(cached))

    def start(out: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", BUILD, str(path), str(tmp_path / out)]
        return subprocess.Popen(command, env=os.environ.copy())

    with start("killed") as process:
        while len(shards()) < 3 and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    done = len(list(runs_root().glob("cache/*/view-*.json")))
    assert 2 <= done < 40
    with start("one") as one, start("two") as two:
        assert one.wait(120) == two.wait(120) == 0
    assert len(shards()) == 40
    students = {sha256_file(tmp_path / out / "student.safetensors") for out in ("one", "two")}
    assert len(students) == 1


def test_top_k_spreads_the_missing_mass() -> None:
    logits = torch.tensor([[4.0, 2.0, 1.0, 0.0, -1.0]])
    spec = CacheSpec(top_k=2, precision="fp32")
    packed = pack(Outputs(logits), spec)
    assert set(packed) == {"top_classes", "top_log_probabilities", "classes"}
    p = np.exp(unpack(packed, np.array([0]), spec)["logits"][0].astype(np.float64))
    true = np.exp([4.0, 2.0, 1.0, 0.0, -1.0]) / np.exp([4.0, 2.0, 1.0, 0.0, -1.0]).sum()
    np.testing.assert_allclose(p[:2], true[:2], rtol=1e-5)
    np.testing.assert_allclose(p[2:], (1 - true[:2].sum()) / 3, rtol=1e-4)
    assert p.sum() == pytest.approx(1.0, rel=1e-5)


def test_all_classes_kept_leave_nothing_to_spread() -> None:
    classes = np.array([[1, 0]])
    logits = spread(classes, np.log(np.array([[0.75, 0.25]], np.float32)), 2)
    np.testing.assert_allclose(np.exp(logits), [[0.25, 0.75]], rtol=1e-6)


def test_half_precision_is_close_and_clipped() -> None:
    spec = CacheSpec()
    logits = torch.tensor([[1e6, 0.12345, -7.5]])
    back = unpack(pack(Outputs(logits), spec), np.array([0]), spec)["logits"][0]
    assert back[0] == 65504.0
    np.testing.assert_allclose(back[1:], [0.12345, -7.5], rtol=1e-3)


def test_features_are_cached_beside_logits(cached: dict[str, Any]) -> None:
    outputs = Outputs(torch.randn(4, 3), {"block.1": torch.randn(4, 2, 5, 5)})
    packed = pack(outputs, CacheSpec(precision="fp32"))
    back = unpack(packed, np.array([2, 0]), CacheSpec(precision="fp32"))
    np.testing.assert_array_equal(back["block.1"], outputs.features["block.1"][[2, 0]].numpy())
