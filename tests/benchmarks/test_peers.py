"""edgekd beside torchdistill: both sides are given the same, and the table says what came out."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from benchmarks import peers
from benchmarks.peers_parts import by_edgekd, page
from benchmarks.peers_parts.setting import (
    Images,
    Order,
    Setting,
    data_file,
    network,
    start_file,
    teacher_file,
)
from edgekd.distill.stage import distill
from edgekd.recipe import Recipe

SMALL = {"model": "resnet8", "width": 0.25}
TINY = Setting(SMALL, SMALL, images=60, epochs=3, batch_size=60, augment=False, threads=1, seed=3)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    arrays: dict[str, Any] = {}
    for name, count in (("train", 60), ("rest", 120), ("test", 20)):
        arrays[f"x_{name}"] = random.integers(0, 256, (count, 1, 28, 28), dtype=np.uint8)
        arrays[f"y_{name}"] = np.arange(count) % 10
    np.savez(data_file(tmp_path), **arrays)
    teacher = network(SMALL, peers.SHAPE, 7)
    torch.save(teacher.state_dict(), teacher_file(tmp_path))
    peers.write_start(TINY, tmp_path)
    return tmp_path


def test_edgekd_takes_the_steps_that_torchdistill_is_told_to_take(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three steps by hand: KDLoss as torchdistill documents it, SGD, its scheduler's factors."""
    monkeypatch.setenv("EDGEKD_RUNS", str(folder))
    run = distill(Recipe.from_dict(by_edgekd.recipe(TINY, folder, {})), out=folder / "run")
    lines = map(json.loads, (run.path / "metrics.jsonl").read_text().splitlines())
    found = [line["loss"] for line in lines]

    student, teacher = network(SMALL, peers.SHAPE), network(SMALL, peers.SHAPE).eval()
    student.load_state_dict(torch.load(start_file(folder, 3), weights_only=True))
    teacher.load_state_dict(torch.load(teacher_file(folder), weights_only=True))
    optimizer = torch.optim.SGD(student.parameters(), TINY.learning_rate, 0.9, nesterov=True)
    data, order, expected = Images(TINY, folder), Order(TINY), []
    heat, alpha = TINY.temperature, TINY.label_weight
    for step in range(3):
        for group in optimizer.param_groups:
            group["lr"] = TINY.learning_rate * TINY.rate(step)
        for chosen in order:
            images, labels = data[chosen]
            logits = student.train()(images)
            with torch.no_grad():
                soft = F.softmax(teacher(images) / heat, 1)
            kl = F.kl_div(F.log_softmax(logits / heat, 1), soft, reduction="batchmean")
            loss = alpha * F.cross_entropy(logits, labels) + (1 - alpha) * heat**2 * kl
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            expected.append(loss.item())
    assert found == pytest.approx(expected, rel=1e-4)


def test_the_order_is_that_of_edgekd() -> None:
    """Its batches, each epoch anew, by its own function."""
    from edgekd.seeds import derive_seed

    setting = Setting(images=10, batch_size=4, seed=5)
    order = Order(setting)
    for epoch in range(2):
        batches = list(order)
        assert [len(batch) for batch in batches] == [4, 4, 2] and len(order) == 3
        random = np.random.default_rng(derive_seed(5, "order", epoch))
        assert [number for batch in batches for number in batch] == random.permutation(10).tolist()


def test_the_rate_falls_by_half_a_cosine() -> None:
    setting = Setting(images=10, batch_size=5, epochs=2)
    assert setting.rate(0) == pytest.approx(math.cos(math.pi / 16) ** 2)
    assert setting.rate(0) + setting.rate(3) == pytest.approx(1.0)


def _result() -> dict[str, Any]:
    side = {"test_accuracy": [0.9, 0.91], "epochs": [[{"seconds": 2.0}], [{"seconds": 4.0}]]}
    fast = {"test_accuracy": [0.91, 0.91], "epochs": [[{"seconds": 1.0}], [{"seconds": 2.0}]]}
    return {
        "setting": json.loads(Setting(images=600).to_json()),
        "seeds": [0, 1],
        "teacher_accuracy": 0.93,
        "mapping": {"steps": 3, "largest": 4e-7},
        "sides": {"torchdistill": side, "edgekd": fast},
        "tests": {"edgekd": {"n": 2, "difference": 0.005, "t_p": 0.5}},
        "packages": {"torchdistill": "1.1.5"},
        "provenance": {"cpu": "a CPU", "cores": 2, "created": "2026-11-21T00:00:00Z"},
    }


def test_the_table_holds_means_and_ratios(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text(f"before\n{page.BEGIN}\nold\n{page.END}\nafter\n")
    page.write(path, _result())
    text = path.read_text()
    assert "| torchdistill 1.1.5 | 90.50% | 90.00%, 91.00% | 225 | 1.00 |" in text
    assert "| edgekd, no switches | 91.00% | 91.00%, 91.00% | 450 | 2.00 |" in text
    assert "+0.50 points over 2 seeds, p = 0.50" in text and "4.0e-07" in text
    assert text.startswith("before\n") and text.endswith("after\n") and "old" not in text


def test_a_page_without_markers_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text("nothing")
    with pytest.raises(SystemExit, match="no markers"):
        page.write(tmp_path / "page.md", _result())
    assert (tmp_path / "page.md").read_text() == "nothing"


@pytest.mark.skipif(not peers.RESULT.exists(), reason="the peers were not measured yet")
def test_the_committed_result_is_of_sides_that_compute_the_same() -> None:
    result = json.loads(peers.RESULT.read_text())
    assert result["mapping"]["largest"] < peers.TOLERANCE and len(result["seeds"]) >= 3
    assert result["packages"]["torchdistill"] == "1.1.5"
