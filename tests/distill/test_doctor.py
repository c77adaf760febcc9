"""The doctor finds the faults that it is there for, and leaves nothing behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from edgekd.distill import players
from edgekd.distill.halves import look_at_precision
from edgekd.distill.progress import Progress
from edgekd.distill.stage import distill
from edgekd.errors import TrainingError
from edgekd.recipe import Recipe
from edgekd.recordfile import read_record
from edgekd.records_distill import Diagnosis
from edgekd.rundir import Run, sha256_file


class Listener(Progress):
    def __init__(self) -> None:
        self.said: list[str] = []

    def message(self, text: str) -> None:
        self.said.append(text)


def findings(run: Run) -> dict[str, Any]:
    found = read_record(run.path / "doctor.json", Diagnosis).findings
    return {finding.check: finding for finding in found}


def test_a_healthy_run(tiny_run: Run) -> None:
    found = findings(tiny_run)
    assert {f.status for f in found.values()} == {"ok"}
    assert found["labels aligned"].values["teacher_accuracy"] > 0.5
    assert set(found["balance of terms"].values) == {"cross-entropy", "kd"}
    assert "doctor.json" in tiny_run.manifest.files


def test_it_changes_nothing(tiny: dict[str, Any]) -> None:
    """Dry batches move a student's BatchNorm statistics; they must be put back."""
    tiny["student"] = {"model": "resnet8", "width": 0.25}
    tiny["train"]["epochs"] = 1
    watched = sha256_file(distill(Recipe.from_dict(tiny)).student_path)
    tiny["train"]["doctor"] = "off"
    run = distill(Recipe.from_dict(tiny))
    assert sha256_file(run.student_path) == watched
    assert not (run.path / "doctor.json").exists()


def test_a_teacher_with_another_label_order_is_stopped(
    tiny: dict[str, Any], tmp_path: Path, tiny_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shuffled.py").write_text(
        "import torch\n"
        "from edgekd.models.mlp import mlp\n"
        "class Shuffled(torch.nn.Module):\n"
        "    def __init__(self, **given):\n"
        "        super().__init__()\n"
        "        self.net = mlp(hidden=(48,), **given)\n"
        "    def forward(self, x):\n"
        "        return self.net(x).roll(3, dims=-1)\n"
        "def make(num_classes, input_shape):\n"
        "    return Shuffled(num_classes=num_classes, input_shape=input_shape)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    from safetensors.torch import load_file, save_file

    weights = {f"net.{k}": v for k, v in load_file(tiny_run.teacher_path).items()}
    save_file(weights, tmp_path / "w.safetensors")
    tiny["teacher"] = [{"model": "shuffled:make", "weights": str(tmp_path / "w.safetensors")}]
    with pytest.raises(TrainingError, match=r"labels aligned.*another order"):
        distill(Recipe.from_dict(tiny))
    tiny["train"]["doctor"] = "warn"
    listener = Listener()
    distill(Recipe.from_dict(tiny), progress=listener)
    assert any("fail labels aligned" in text for text in listener.said)


def test_a_teacher_that_moves_is_stopped(
    tiny: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network whose eval mode is no rest: its BatchNorm keeps counting."""
    (tmp_path / "restless.py").write_text(
        "import torch\n"
        "class Restless(torch.nn.BatchNorm1d):\n"
        "    def train(self, mode=True):\n"
        "        return super().train(True)\n"
        "def make(num_classes, input_shape):\n"
        "    linear = torch.nn.Linear(64, 10)\n"
        "    return torch.nn.Sequential(torch.nn.Flatten(), linear, Restless(10))\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    tiny["teacher"] = [{"model": "restless:make", "train": {"epochs": 4}}]
    with pytest.raises(TrainingError, match=r"teacher at rest: moved in two dry batches: 2\."):
        distill(Recipe.from_dict(tiny))


def test_constant_and_faint_terms_are_named(
    tiny: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "odd_losses.py").write_text(
        "from edgekd.losses.base import Loss\n"
        "class Constant(Loss):\n"
        "    def forward(self, student, teacher, target):\n"
        "        return student.logits.sum() * 0.0 + 3.0\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    tiny["loss"] += [
        {"name": "odd_losses:Constant"},
        {"name": "kd", "weight": 1e-9},
    ]
    found = findings(distill(Recipe.from_dict(tiny)))["balance of terms"]
    assert found.status == "warn"
    assert "teaches nothing: odd_losses:Constant" in found.message
    assert "drowned by the others: kd#2" in found.message


def test_a_parameter_that_no_optimizer_moves(
    tiny: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    original = players.parameter_groups

    def forgetful(module: torch.nn.Module, weight_decay: float) -> list[dict[str, Any]]:
        groups = original(module, weight_decay)
        groups[1]["params"] = groups[1]["params"][1:]
        return groups

    monkeypatch.setattr(players, "parameter_groups", forgetful)
    with pytest.raises(TrainingError, match="not in exactly one optimizer: student"):
        distill(Recipe.from_dict(tiny))


@pytest.mark.parametrize(
    ("precision", "device", "capabilities", "status"),
    [
        ("bf16-mixed", "cpu", {"avx2": True, "avx512_bf16": False, "amx_bf16": False}, "warn"),
        ("bf16-true", "cpu", {"avx512_bf16": False, "amx_bf16": True}, "ok"),
        ("bf16-mixed", "cpu", {"avx2": True}, None),
        ("32-true", "cpu", {"avx512_bf16": False}, None),
        ("bf16-mixed", "cuda", {"avx512_bf16": False}, None),
    ],
)
def test_bfloat16_without_instructions_for_it(
    precision: str,
    device: str,
    capabilities: dict[str, bool],
    status: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    found = list(look_at_precision(precision, torch.device(device)))
    assert [finding.status for finding in found] == ([] if status is None else [status])
