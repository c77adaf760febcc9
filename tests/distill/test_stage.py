"""A whole run: what is in it, what repeats, what never moves, and what bad input leads to."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from edgekd.distill import making, stage
from edgekd.distill.progress import Progress
from edgekd.distill.stage import distill
from edgekd.errors import (
    EdgekdError,
    IncompleteRunError,
    MissingDeviceError,
    ModelError,
    OutputExistsError,
    RecipeError,
    RunError,
    StorageError,
    TamperedError,
    TrainingError,
)
from edgekd.recipe import Recipe
from edgekd.rundir import Run, list_runs, runs_root, sha256_file
from edgekd.toml import dump_toml


class Recorder(Progress):
    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []
        self.messages: list[str] = []

    def message(self, text: str) -> None:
        self.messages.append(text)

    def epoch(self, line: dict[str, Any]) -> None:
        self.lines.append(line)


class StopAfter(Progress):
    """Ctrl-C after an epoch."""

    def __init__(self, phase: str, epoch: int) -> None:
        self.at = (phase, epoch + 1)

    def epoch(self, line: dict[str, Any]) -> None:
        # The line of an epoch comes before its checkpoint: stop in the one after.
        if (line["phase"], line["epoch"]) == self.at:
            raise KeyboardInterrupt


class TestAWholeRun:
    def test_manifest(self, tiny_run: Run) -> None:
        manifest = Run.open(tiny_run.path).manifest
        assert manifest.status == "complete"
        assert [s.seed for s in manifest.student_scores] == [0, 1]
        assert [s.seed for s in manifest.baseline_scores] == [0, 1]
        assert all(s.test_agreement is None for s in manifest.baseline_scores)
        # mlp 64-48-10 and 64-12-10 with BatchNorm or not: counted from the files themselves
        student = load_file(tiny_run.student_path)
        assert manifest.student is not None
        learned = {k: v for k, v in student.items() if "running" not in k and "tracked" not in k}
        assert manifest.student.parameters == sum(v.numel() for v in learned.values())
        assert (
            manifest.splits["train"]
            + manifest.splits["calibration"]
            + manifest.splits["validation"]
            + manifest.splits["test"]
            == 1797
        )
        assert set(manifest.files) == {
            "recipe.toml",
            "doctor.json",
            "metrics.jsonl",
            "student.safetensors",
            "teacher.safetensors",
            "baseline.safetensors",
            "predictions.npz",
        }
        assert not (tiny_run.path / "checkpoints").exists()

    def test_student_file_holds_nothing_of_the_teacher(self, tiny_run: Run) -> None:
        student, teacher = load_file(tiny_run.student_path), load_file(tiny_run.teacher_path)
        assert not any("teacher" in name or "loss" in name for name in student)
        shapes = {tuple(v.shape) for v in student.values() if v.ndim == 2}
        assert shapes.isdisjoint({tuple(v.shape) for v in teacher.values() if v.ndim == 2})

    def test_scores_follow_from_the_predictions(self, tiny_run: Run) -> None:
        stored = np.load(tiny_run.predictions_path)
        ours, theirs = stored["student_logits"].argmax(1), stored["teacher_logits"].argmax(1)
        score = tiny_run.manifest.student_scores[0]
        assert score.test_accuracy == pytest.approx((ours == stored["targets"]).mean())
        assert score.test_agreement == pytest.approx((ours == theirs).mean())
        assert tiny_run.manifest.teacher_scores[0].test_accuracy == pytest.approx(
            (theirs == stored["targets"]).mean()
        )

    def test_every_weighted_term_is_logged(self, tiny_run: Run) -> None:
        lines = tiny_run.metrics()
        students = [line for line in lines if line["phase"] == "student"]
        assert len(students) == 2 * 3
        for line in students:
            assert set(line["terms"]) == {"cross-entropy", "kd"}
            assert line["loss"] == pytest.approx(sum(line["terms"].values()))
        twins = [line for line in lines if line["phase"] == "baseline"]
        assert {tuple(line["terms"]) for line in twins} == {("cross-entropy",)}

    def test_the_recipe_in_the_run_is_resolved(self, tiny_run: Run) -> None:
        text = (tiny_run.path / "recipe.toml").read_text()
        assert "clip_norm = 0.0" in text  # a default that the recipe did not name
        assert tiny_run.recipe.train.epochs == 3


def test_same_recipe_and_seed_give_the_same_student_bit_for_bit(
    tiny: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny["train"]["augment"] = [{"name": "affine"}, {"name": "erase"}]
    tiny["teacher"][0]["model"] = "mlp"
    hashes = []
    for number in range(2):
        monkeypatch.setenv("EDGEKD_RUNS", str(tmp_path / f"runs{number}"))
        torch.manual_seed(1000 + number)  # the caller's generator must not matter
        hashes.append(sha256_file(distill(Recipe.from_dict(tiny)).student_path))
    assert hashes[0] == hashes[1]
    tiny["seed"] = 1
    assert sha256_file(distill(Recipe.from_dict(tiny)).student_path) != hashes[0]


def test_the_callers_generator_and_threads_are_left_alone(tiny: dict[str, Any]) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    threads = torch.get_num_threads()
    distill(Recipe.from_dict(tiny))
    assert torch.equal(torch.rand(3), expected)
    assert torch.get_num_threads() == threads


def test_the_teacher_never_moves(tiny: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Every parameter and buffer of a BatchNorm teacher stays as it was."""
    tiny["teacher"] = [{"model": "resnet8", "width": 0.25, "train": {"epochs": 1}}]
    tiny["train"]["epochs"] = 2
    seen: list[tuple[torch.nn.Module, dict[str, torch.Tensor]]] = []
    original = making.obtain

    def obtain(*args: Any) -> Any:
        teachers = original(*args)
        model = teachers[0].network
        seen.append((model, {k: v.clone() for k, v in model.state_dict().items()}))
        return teachers

    monkeypatch.setattr(making, "obtain", obtain)
    distill(Recipe.from_dict(tiny))
    model, before = seen[0]
    assert any("running_mean" in name for name in before)
    after = model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not model.training
    assert all(not p.requires_grad and p.grad is None for p in model.parameters())


class TestTeacher:
    def test_is_reused(self, tiny: dict[str, Any]) -> None:
        distill(Recipe.from_dict(tiny))
        watch = Recorder()
        tiny["loss"][1]["temperature"] = 2.0  # the student's business, not the teacher's
        distill(Recipe.from_dict(tiny), progress=watch)
        assert not [line for line in watch.lines if line["phase"] == "teacher"]
        assert any("reused" in text for text in watch.messages)
        tiny["teacher"][0]["train"]["epochs"] = 5
        distill(Recipe.from_dict(tiny), progress=watch)
        assert len([line for line in watch.lines if line["phase"] == "teacher"]) == 5

    def test_a_changed_kept_teacher_is_refused(self, tiny: dict[str, Any]) -> None:
        distill(Recipe.from_dict(tiny))
        (weights,) = runs_root().glob("teachers/*/teacher.safetensors")
        weights.write_bytes(weights.read_bytes()[:-4] + b"\0\0\0\1")
        with pytest.raises(TamperedError, match="not the file that its manifest names"):
            distill(Recipe.from_dict(tiny))

    def test_from_weights(self, tiny: dict[str, Any], tiny_run: Run) -> None:
        tiny["teacher"][0]["weights"] = str(tiny_run.teacher_path)
        watch = Recorder()
        run = distill(Recipe.from_dict(tiny), progress=watch)
        assert {line["phase"] for line in watch.lines} == {"student"}
        assert run.manifest.teacher_scores[0].test_accuracy == pytest.approx(
            tiny_run.manifest.teacher_scores[0].test_accuracy
        )

    def test_truncated_weights(self, tiny: dict[str, Any], tiny_run: Run, tmp_path: Path) -> None:
        cut = tmp_path / "cut.safetensors"
        cut.write_bytes(tiny_run.teacher_path.read_bytes()[:200])
        tiny["teacher"][0]["weights"] = str(cut)
        with pytest.raises(ModelError, match=r"cut\.safetensors"):
            distill(Recipe.from_dict(tiny))

    def test_weights_of_another_architecture(self, tiny: dict[str, Any], tiny_run: Run) -> None:
        tiny["teacher"][0]["weights"] = str(tiny_run.student_path)
        with pytest.raises(ModelError):
            distill(Recipe.from_dict(tiny))

    def test_another_number_of_classes(
        self, tiny: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "my_models.py").write_text(
            "import torch\n"
            "def seven():\n"
            "    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 7))\n"
        )
        monkeypatch.syspath_prepend(str(tmp_path))
        tiny["teacher"] = [{"model": "my_models:seven"}]
        with pytest.raises(ModelError, match=r"7.*10|10.*7"):
            distill(Recipe.from_dict(tiny))


class TestTrainingOptions:
    @pytest.mark.parametrize(
        "options",
        [
            {"optimizer": "sgd", "schedule": "one-cycle", "learning_rate": 0.2},
            {"ema": 0.9, "clip_norm": 1.0},
            {"label_smoothing": 0.1, "warmup": 0.2, "select": "last"},
            {"augment": ["flip", {"name": "crop", "padding": 1}]},
            {"schedule": "constant", "precision": "bf16-mixed"},
        ],
    )
    def test_learns(self, tiny: dict[str, Any], options: dict[str, Any]) -> None:
        tiny["train"] |= options
        score = distill(Recipe.from_dict(tiny)).manifest.student_scores[0]
        assert score.test_accuracy > 0.5  # chance is 0.1

    def test_early_stopping(self, tiny: dict[str, Any]) -> None:
        tiny["train"] |= {"epochs": 60, "patience": 2, "learning_rate": 1e-7}
        tiny["teacher"][0]["train"] |= {"learning_rate": 0.01, "patience": 0}
        run = distill(Recipe.from_dict(tiny))
        assert 3 <= run.manifest.student_scores[0].epochs < 60
        lines = [
            line["validation_accuracy"] for line in run.metrics() if line["phase"] == "student"
        ]
        assert max(lines) == run.manifest.student_scores[0].validation_accuracy
        assert lines.index(max(lines)) == len(lines) - 1 - 2

    def test_same_loss_twice_has_two_names(self, tiny: dict[str, Any]) -> None:
        tiny["loss"].append({"name": "kd", "weight": 0.1, "temperature": 1.0})
        run = distill(Recipe.from_dict(tiny))
        assert set(run.metrics()[-1]["terms"]) == {"cross-entropy", "kd", "kd#2"}

    def test_pure_distillation_has_a_twin_too(self, tiny: dict[str, Any]) -> None:
        tiny["loss"] = [{"name": "kd"}]
        tiny["train"]["baseline"] = True
        run = distill(Recipe.from_dict(tiny))
        assert run.metrics()[-1]["terms"].keys() == {"cross-entropy"}

    def test_unknown_keys_of_the_teachers_training(self, tiny: dict[str, Any]) -> None:
        tiny["teacher"][0]["train"] = {"epocs": 3}
        with pytest.raises(RecipeError, match=r"teacher\[0\]\.train\.epocs"):
            distill(Recipe.from_dict(tiny))


class TestFaults:
    def test_nan_names_step_and_term_and_keeps_the_checkpoint(
        self, tiny: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "exploding_losses.py").write_text(
            "from edgekd.losses.base import Loss\n"
            "class Explodes(Loss):\n"
            "    calls = 0\n"
            "    def forward(self, student, teacher, target):\n"
            "        Explodes.calls += 1\n"
            "        scale = float('nan') if Explodes.calls > 20 else 1.0\n"
            "        return student.logits.square().mean() * scale\n"
        )
        monkeypatch.syspath_prepend(str(tmp_path))
        tiny["loss"].append({"name": "exploding_losses:Explodes", "weight": 0.01})
        out = tmp_path / "run"
        with pytest.raises(
            TrainingError, match=r"epoch 2, step \d+: exploding_losses:Explodes = nan"
        ):
            distill(Recipe.from_dict(tiny), out=out)
        kept = torch.load(out / "checkpoints" / "student-0.pt", weights_only=True)
        assert kept["epoch"] == 1
        assert all(torch.isfinite(v).all() for v in kept["best"].values())
        with pytest.raises(IncompleteRunError, match="interrupted"):
            Run.open(out)

    def test_output_exists(self, tiny: dict[str, Any], tmp_path: Path) -> None:
        (tmp_path / "mine").mkdir()
        (tmp_path / "mine" / "thesis.txt").write_text("precious")
        with pytest.raises(OutputExistsError, match="nothing was overwritten"):
            distill(Recipe.from_dict(tiny), out=tmp_path / "mine")
        assert (tmp_path / "mine" / "thesis.txt").read_text() == "precious"

    def test_read_only_output(self, tiny: dict[str, Any], read_only_disk: Path) -> None:
        with pytest.raises(StorageError, match="read-only"):
            distill(Recipe.from_dict(tiny), out=read_only_disk / "run")

    def test_disk_full_while_saving(self, tiny: dict[str, Any], small_disk: Path) -> None:
        """The disk fills up during training; with space again, the run is resumed."""
        ballast = small_disk / "ballast"
        ballast.write_bytes(b"x" * 960_000)
        with pytest.raises(StorageError, match="disk is full"):
            distill(Recipe.from_dict(tiny), out=small_disk / "run")
        ballast.unlink()
        run = distill(resume=small_disk / "run")
        assert run.manifest.status == "complete"
        assert run.verify() == []

    def test_no_cuda(self, tiny: dict[str, Any]) -> None:
        if torch.cuda.is_available():
            pytest.skip("there is a CUDA device here")
        with pytest.raises(MissingDeviceError) as caught:
            distill(Recipe.from_dict(tiny), accelerator="cuda")
        assert caught.value.exit_code == 3

    def test_a_run_cannot_be_made_twice_at_once(self, tiny: dict[str, Any], tiny_run: Run) -> None:
        copy = runs_root() / "copy"
        shutil.copytree(tiny_run.path, copy)
        text = (copy / "manifest.json").read_text().replace('"complete"', '"incomplete"', 1)
        (copy / "manifest.json").write_text(text)
        with (
            stage.run_lock(copy),
            pytest.raises(RunError, match="another process"),
        ):
            distill(resume=copy)

    def test_overrides_need_a_file(self, tiny: dict[str, Any]) -> None:
        with pytest.raises(EdgekdError, match="overrides"):
            distill(Recipe.from_dict(tiny), seed=3)


SLOW = """
import sys, time
from edgekd.distill.progress import Progress
from edgekd.distill.stage import distill

class Slow(Progress):
    def epoch(self, line):
        print(line["phase"], line["epoch"], flush=True)

distill(sys.argv[1], out=sys.argv[2], progress=Slow())
"""


def start(recipe: Path, out: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SLOW, str(recipe), str(out)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ.copy(),
    )


class TestInterrupted:
    @pytest.mark.parametrize("after", ["teacher 2", "student 1", "student 3"])
    def test_killed_then_resumed_is_the_same_student(
        self, tiny: dict[str, Any], tmp_path: Path, after: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        tiny["train"] |= {"epochs": 5, "ema": 0.9, "augment": ["affine"]}
        path = tmp_path / "tiny.toml"
        path.write_text(dump_toml(tiny))
        whole = distill(path, out=tmp_path / "whole")
        monkeypatch.setenv("EDGEKD_RUNS", str(tmp_path / "other-runs"))
        with start(path, tmp_path / "killed") as process:
            assert process.stdout is not None
            for line in process.stdout:
                if line.strip() == after:
                    time.sleep(0.02)
                    process.send_signal(signal.SIGKILL)
                    break
        with pytest.raises(IncompleteRunError):
            Run.open(tmp_path / "killed")
        resumed = distill(resume=tmp_path / "killed")
        assert sha256_file(resumed.student_path) == sha256_file(whole.student_path)
        keys = [(line["phase"], line["epoch"]) for line in resumed.metrics()]
        assert keys == [(line["phase"], line["epoch"]) for line in whole.metrics()]
        assert (tmp_path / "other-runs" / "latest").resolve() == resumed.path.resolve()

    def test_a_damaged_checkpoint_falls_back_to_the_one_before(
        self, tiny: dict[str, Any], tmp_path: Path
    ) -> None:
        whole = distill(Recipe.from_dict(tiny), out=tmp_path / "whole")
        stopped = tmp_path / "stopped"
        with pytest.raises(KeyboardInterrupt):
            distill(Recipe.from_dict(tiny), out=stopped, progress=StopAfter("student", 2))
        newest = stopped / "checkpoints" / "student-0.pt"
        newest.write_bytes(newest.read_bytes()[:-100])
        watch = Recorder()
        resumed = distill(resume=stopped, progress=watch)
        assert sha256_file(resumed.student_path) == sha256_file(whole.student_path)
        assert any("student-0.pt is damaged" in text for text in watch.messages)
        assert any("after epoch 1" in text for text in watch.messages)
        keys = [(line["phase"], line["epoch"]) for line in resumed.metrics()]
        assert len(keys) == len(set(keys))

    def test_both_checkpoints_damaged(self, tiny: dict[str, Any], tmp_path: Path) -> None:
        with pytest.raises(KeyboardInterrupt):
            distill(Recipe.from_dict(tiny), out=tmp_path / "r", progress=StopAfter("student", 2))
        for path in (tmp_path / "r" / "checkpoints").glob("student-0*.pt"):
            path.write_bytes(b"nothing")
        with pytest.raises(RunError, match="and so is the one before it"):
            distill(resume=tmp_path / "r")

    @pytest.mark.slow
    def test_killed_at_ten_random_moments(self, tiny: dict[str, Any], tmp_path: Path) -> None:
        """One run, killed again and again, with a cache, memories, opponents and an average."""
        tiny["train"] |= {"epochs": 12, "ema": 0.9, "augment": ["affine"], "accumulate": 2}
        tiny["teacher"][0]["cache"] = True
        tiny["loss"] += [{"name": "crd", "negatives": 64, "dim": 16}, {"name": "adversarial"}]
        path = tmp_path / "tiny.toml"
        path.write_text(dump_toml(tiny))
        whole = distill(path, out=tmp_path / "whole")
        random = np.random.default_rng(0)
        code = SLOW.replace("distill(sys.argv[1], out=sys.argv[2]", "distill(resume=sys.argv[2]")
        kills = 0
        with start(path, tmp_path / "killed") as process:
            assert process.stdout is not None
            process.stdout.readline()
            process.kill()
        while kills < 10:
            command = [sys.executable, "-c", code, str(path), str(tmp_path / "killed")]
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
                assert process.stdout is not None
                process.stdout.readline()
                time.sleep(float(random.uniform(0.0, 0.15)))
                process.kill()
            kills += 1
        resumed = distill(resume=tmp_path / "killed")
        assert sha256_file(resumed.student_path) == sha256_file(whole.student_path)

    def test_a_changed_recipe_is_not_resumed(
        self, tiny: dict[str, Any], tiny_run: Run, tmp_path: Path
    ) -> None:
        copy = tmp_path / "copy"
        shutil.copytree(tiny_run.path, copy)
        manifest = json.loads((copy / "manifest.json").read_text())
        manifest["status"] = "incomplete"
        (copy / "manifest.json").write_text(json.dumps(manifest))
        text = (copy / "recipe.toml").read_text()
        (copy / "recipe.toml").write_text(text.replace("epochs = 3", "epochs = 9"))
        with pytest.raises(TamperedError, match="changed since the run began"):
            distill(resume=copy)

    def test_a_complete_run_has_nothing_to_resume(self, tiny_run: Run) -> None:
        watch = Recorder()
        assert distill(resume=tiny_run.path, progress=watch).path == tiny_run.path
        assert "nothing to do" in watch.messages[0]


def test_runs_are_listed_newest_first_and_latest_points_at_it(tiny: dict[str, Any]) -> None:
    tiny["train"]["epochs"] = 1
    first = distill(Recipe.from_dict(tiny))
    second = distill(Recipe.from_dict(tiny))
    assert first.path != second.path
    assert Run.open().path.resolve() == second.path.resolve()
    assert Run.open(first.manifest.id).manifest == first.manifest
    assert {path.name for path, _ in list_runs()} == {first.path.name, second.path.name}
