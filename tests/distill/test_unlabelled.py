"""Students learn from samples without labels; twins and teachers do without these."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgekd.data.load import load_for_student
from edgekd.distill.named import named_teachers
from edgekd.distill.stage import distill, examine
from edgekd.distill.teacher import teacher_key
from edgekd.recipe import Recipe
from edgekd.records_distill import Finding


def noise(count: int = 300) -> dict[str, np.ndarray]:
    """Pictures of nothing."""
    images = np.random.default_rng(0).integers(0, 256, (count, 1, 8, 8), dtype=np.uint8)
    return {"x_train": images, "y_train": np.arange(count) % 2}


def epochs(run: Any, phase: str) -> int:
    return max(line["epoch"] for line in run.metrics() if line["phase"] == phase)


def finding(found: list[Finding]) -> Finding:
    return next(item for item in found if item.check == "unlabelled samples")


def test_a_mixed_training(tiny: dict[str, Any]) -> None:
    """Batches of 8 of which one in ten has a label: some have none."""
    tiny["data"]["split"]["labelled"] = 0.1
    tiny["train"] |= {"baseline": True, "batch_size": 8}
    run = distill(Recipe.from_dict(tiny))
    lines = [line for line in run.metrics() if line["phase"] == "student"]
    assert all(np.isfinite(list(line["terms"].values())).all() for line in lines)
    assert lines[-1]["terms"]["kd"] < lines[0]["terms"]["kd"]
    train = load_for_student(run.recipe).splits["train"]
    labelled = int(train.labelled.sum())
    # As many steps, from fewer samples.
    steps = {phase: run.metrics()[-1]["step"] for phase in ("baseline",)}
    assert steps["baseline"] == pytest.approx(lines[-1]["step"], abs=-(-labelled // 8))
    assert epochs(run, "student") == 3 and epochs(run, "baseline") > 20
    assert epochs(run, "teacher") == 4


def test_the_rest_teaches(tiny: dict[str, Any]) -> None:
    """With few labels, the answers to the samples without them carry the student."""
    tiny["data"]["split"]["labelled"] = 40
    tiny["teacher"][0] |= {"data": "all", "train": {"epochs": 30}}
    tiny["train"] |= {"baseline": True, "epochs": 20}
    scores = distill(Recipe.from_dict(tiny)).manifest
    assert scores.teacher_scores[0].test_accuracy > 0.9
    student, twin = scores.student_scores[0], scores.baseline_scores[0]
    assert student.test_accuracy > twin.test_accuracy + 0.05


class TestTeachersData:
    def test_all_is_more(self, tiny: dict[str, Any]) -> None:
        tiny["data"]["split"]["train"] = 60
        accuracies = []
        for data in ("student", "all"):
            tiny["teacher"][0] |= {"data": data, "train": {"epochs": 15}}
            run = distill(Recipe.from_dict(tiny))
            assert run.manifest.splits["train"] == 60
            accuracies.append(run.manifest.teacher_scores[0].test_accuracy)
        assert accuracies[1] > accuracies[0] + 0.02

    def test_it_decides_which_kept_teacher_fits(self, tiny: dict[str, Any]) -> None:
        keys = set()
        for split in ({"train": 60}, {"train": 60, "labelled": 30}, {}):
            tiny["data"]["split"] |= split
            for data in ("student", "all"):
                tiny["teacher"][0]["data"] = data
                recipe = Recipe.from_dict(tiny)
                keys.add(teacher_key(named_teachers(recipe)[0], load_for_student(recipe)))
        assert len(keys) == 4


class TestDoctor:
    def trained(self, tiny: dict[str, Any], **data: Any) -> Finding:
        """The teacher stands in the runs folder after a first run without the strange samples."""
        weights = distill(Recipe.from_dict(tiny)).teacher_path
        teacher = {"model": "mlp", "hidden": [48], "weights": str(weights)}
        return finding(examine(Recipe.from_dict({**tiny, "teacher": [teacher], **data})))

    def test_a_teacher_that_knows_them(self, tiny: dict[str, Any]) -> None:
        tiny["teacher"][0]["train"]["epochs"] = 30
        split = {**tiny["data"]["split"], "labelled": 200}
        found = self.trained(tiny, data={"source": "digits", "split": split})
        assert found.status == "ok" and found.values["labelled"] == 200
        assert found.values["confidence (mlp)"] > 0.9 and found.values["unsure (mlp)"] < 0.1
        assert "200 training samples have a label" in found.message

    def test_a_teacher_that_is_unsure(self, tiny: dict[str, Any]) -> None:
        """After one epoch it is confident of nothing."""
        tiny["teacher"][0]["train"] |= {"epochs": 1, "learning_rate": 1e-4}
        tiny["train"]["doctor"] = "warn"
        more = {"source": f"{__name__}:noise"}
        found = self.trained(tiny, data={**tiny["data"], "unlabelled": more})
        assert found.status == "warn" and found.values["unlabelled"] == 300
        assert found.values["unsure (mlp)"] > 0.5
        assert "do they show anything that it knows?" in found.message

    def test_losses_that_hear_labels_alone(self, tiny: dict[str, Any]) -> None:
        tiny["data"]["split"]["labelled"] = 200
        tiny["loss"] = [{"name": "cross-entropy"}]
        found = finding(examine(Recipe.from_dict({**tiny, "teacher": []})))
        assert found.status == "warn" and "these teach nothing" in found.message

    def test_where_all_have_one(self, tiny: dict[str, Any]) -> None:
        found = examine(Recipe.from_dict(tiny))
        assert not any(item.check == "unlabelled samples" for item in found)


def test_resume_and_out_of_domain(tiny: dict[str, Any]) -> None:
    """Strange samples join training and nothing else; the run exports and reopens its data."""
    tiny["data"]["unlabelled"] = {"source": f"{__name__}:noise", "count": 100, "samples": 80}
    run = distill(Recipe.from_dict(tiny))
    again = load_for_student(run.recipe)
    assert again.sha256 == run.manifest.data_sha256
    assert sum(name.startswith("unlabelled/") for name in again.splits["train"].ids) == 80
    assert run.manifest.student_scores[0].test_accuracy > 0.5
