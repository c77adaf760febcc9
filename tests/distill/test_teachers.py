"""Several teachers, teachers with other labels and other inputs, and samples without labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from edgekd.data.load import load_dataset, load_for_student
from edgekd.data.seen import seen_by
from edgekd.data.split import Part, RawData
from edgekd.distill.batches import TrainingBatches
from edgekd.distill.named import build_tutor, named_teachers
from edgekd.distill.stage import distill
from edgekd.distill.tutor import Reads
from edgekd.errors import DataError, EdgekdError, RecipeError, UnknownNameError
from edgekd.models.weights import save_weights
from edgekd.recipe import DataSpec, InputSpec, Recipe, TrainSpec
from edgekd.rundir import Run
from edgekd.runtimes.torch import network_of, restore


def recipe_of(tiny: dict[str, Any], *teachers: dict[str, Any], **more: Any) -> Recipe:
    train = {"train": {"epochs": 2}}
    return Recipe.from_dict({**tiny, "teacher": [{**train, **t} for t in teachers], **more})


class TestSeveral:
    def test_names(self, tiny: dict[str, Any]) -> None:
        mlp = {"model": "mlp"}
        recipe = recipe_of(tiny, {**mlp, "copies": 2}, mlp, mlp, {**mlp, "name": "last"})
        assert [(t.name, t.seed - recipe.seed) for t in named_teachers(recipe)] == [
            ("mlp-1", 0),
            ("mlp-2", 1),
            ("mlp", 0),
            ("mlp-3", 0),
            ("last", 0),
        ]
        with pytest.raises(RecipeError, match="two teachers are called 'x'"):
            named_teachers(recipe_of(tiny, {**mlp, "name": "x"}, {**mlp, "name": "x"}))

    @pytest.mark.parametrize("weigh", ["fixed", "confidence", "correctness", "random"])
    def test_an_ensemble_teaches(self, tiny: dict[str, Any], weigh: str) -> None:
        tiny["ensemble"] = {"weigh": weigh}
        run = distill(recipe_of(tiny, {"model": "mlp", "hidden": [32], "copies": 3}))
        manifest = run.manifest
        assert [facts.name for facts in manifest.teachers] == ["mlp-1", "mlp-2", "mlp-3"]
        assert len({facts.sha256 for facts in manifest.teachers}) == 3
        assert {"teacher", "teacher-2", "teacher-3"} <= set(manifest.parents)
        assert manifest.student_scores[0].test_accuracy > 0.5
        restored = restore(run, run.path / "teacher-3.safetensors")
        assert sum(p.numel() for p in restored.parameters()) == manifest.teachers[2].parameters

    def test_the_runs_teacher_is_their_mean(self, tiny: dict[str, Any]) -> None:
        run = distill(recipe_of(tiny, {"model": "mlp", "hidden": [32], "copies": 2}))
        test = load_for_student(run.recipe).normalised("test")
        with torch.no_grad():
            soft = [
                restore(run, run.path / name).eval()(torch.from_numpy(test)).softmax(-1).numpy()
                for name in ("teacher.safetensors", "teacher-2.safetensors")
            ]
        with np.load(run.predictions_path) as stored:
            found = np.exp(stored["teacher_logits"])
        np.testing.assert_allclose(found, np.mean(soft, axis=0), atol=1e-5)

    def test_a_loss_listens_to_one(self, tiny: dict[str, Any]) -> None:
        """Layers are of one teacher; without a name it is asked which."""
        tiny["loss"].append(
            {"name": "hint", "weight": 0.1, "layers": [["1", "1"]], "teacher": "wide"}
        )
        wide = {"model": "mlp", "hidden": [48], "name": "wide"}
        teachers = (wide, {"model": "resnet8", "width": 0.25})
        run = distill(recipe_of(tiny, *teachers))
        assert set(run.metrics()[-1]["terms"]) == {"cross-entropy", "kd", "hint"}
        del tiny["loss"][-1]["teacher"]
        with pytest.raises(RecipeError, match="which teacher's layers, of 2"):
            distill(recipe_of(tiny, *teachers))
        tiny["loss"][-1]["teacher"] = "wise"
        with pytest.raises(RecipeError, match="there is no teacher 'wise'"):
            distill(recipe_of(tiny, *teachers))

    def test_their_answers_are_cached_apart(self, tiny: dict[str, Any]) -> None:
        """A run with cached answers ends where the live one does, but for float16."""
        teacher = {"model": "mlp", "hidden": [32], "copies": 2}
        tiny["train"]["augment"] = ["flip"]
        cached = distill(recipe_of(tiny, {**teacher, "cache": {"views": 2, "precision": "fp32"}}))
        again = distill(recipe_of(tiny, {**teacher, "cache": {"views": 2, "precision": "fp32"}}))
        assert cached.manifest.student == again.manifest.student
        assert cached.manifest.student_scores[0].test_accuracy > 0.5

    def test_none(self, tiny: dict[str, Any]) -> None:
        """Without teachers the student learns from labels; a term that needs one is refused."""
        with pytest.raises(RecipeError, match="'kd' needs a teacher"):
            distill(recipe_of(tiny))
        tiny["loss"] = [{"name": "cross-entropy"}]
        run = distill(recipe_of(tiny))
        assert run.manifest.teachers == () and run.manifest.student_scores[0].test_agreement is None
        assert not (run.path / "teacher.safetensors").exists()


class TestOtherLabels:
    def test_outputs_are_put_in_the_datas_order(self, tiny: dict[str, Any], tmp_path: Path) -> None:
        """A teacher whose weights were trained with the classes in another order."""
        first = distill(recipe_of(tiny, {"model": "mlp", "hidden": [32]}))
        order = list(reversed(range(10)))
        network = restore(first, first.teacher_path)
        last = network[-1] if isinstance(network, torch.nn.Sequential) else None
        assert last is not None
        last.weight.data, last.bias.data = last.weight.data[order], last.bias.data[order]
        save_weights(network, tmp_path / "turned.safetensors")
        names = [str(digit) for digit in order]
        turned = {
            "model": "mlp",
            "hidden": [32],
            "train": {},
            "weights": str(tmp_path / "turned.safetensors"),
        }
        second = distill(recipe_of(tiny, {**turned, "classes": names}))
        assert second.manifest.teacher_scores[0].test_accuracy == pytest.approx(
            first.manifest.teacher_scores[0].test_accuracy
        )
        with np.load(first.predictions_path) as one, np.load(second.predictions_path) as two:
            np.testing.assert_allclose(one["teacher_logits"], two["teacher_logits"], atol=1e-5)
        with pytest.raises(EdgekdError, match="another order"):
            distill(recipe_of(tiny, turned))

    def test_a_class_it_does_not_know(self, tiny: dict[str, Any]) -> None:
        names = [str(digit) for digit in range(9)] + ["ten"]
        with pytest.raises(RecipeError, match="no output for the class '9'"):
            distill(recipe_of(tiny, {"model": "mlp", "classes": names}))

    def test_probabilities(self, tiny: dict[str, Any], monkeypatch: Any, tmp_path: Path) -> None:
        (tmp_path / "soft_models.py").write_text(
            "import torch\n"
            "def soft(num_classes, input_shape):\n"
            "    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, num_classes),\n"
            "                               torch.nn.Softmax(-1))\n"
        )
        monkeypatch.syspath_prepend(str(tmp_path))
        recipe = recipe_of(tiny, {"model": "soft_models:soft", "gives": "probabilities"})
        dataset = load_for_student(recipe)
        tutor = build_tutor(named_teachers(recipe)[0], dataset)
        inputs = torch.from_numpy(dataset.normalised("test", [0, 1, 2]))
        soft = tutor.model.network(inputs)
        torch.testing.assert_close(tutor.model(inputs).softmax(-1), soft)


class TestOtherInputs:
    def test_a_student_at_low_resolution(self, tiny: dict[str, Any]) -> None:
        tiny["student"]["input"] = {"transforms": [{"name": "resize", "size": [4, 4]}]}
        run = distill(recipe_of(tiny, {"model": "mlp", "hidden": [32]}))
        manifest = run.manifest
        assert manifest.sample_shape == (1, 4, 4)
        assert manifest.preprocess.transforms[0]["name"] == "resize"
        networks = manifest.networks
        assert networks["teacher.safetensors"].sample_shape == (1, 8, 8)
        assert networks["student.safetensors"].sample_shape == (1, 4, 4)
        assert network_of(run, run.teacher_path).sample_shape == (1, 8, 8)
        assert manifest.student_scores[0].test_accuracy > 0.4

    def test_normalised_by_its_own_statistics(self, tiny: dict[str, Any]) -> None:
        tiny["student"]["input"] = {"transforms": [{"name": "resize", "size": [4, 4]}]}
        seen = load_for_student(recipe_of(tiny, {"model": "mlp"}))
        values = seen.normalised("train")
        assert values.shape[1:] == (1, 4, 4)
        assert values.mean() == pytest.approx(0, abs=1e-4)
        assert values.std() == pytest.approx(1, abs=1e-4)

    def test_a_teacher_with_its_own_normalisation(self, tiny: dict[str, Any]) -> None:
        given = {"scale": 1.0, "mean": [0.25], "std": [2.0]}
        recipe = recipe_of(tiny, {"model": "mlp", "input": given})
        student = load_for_student(recipe)
        tutor = build_tutor(named_teachers(recipe)[0], student)
        batches = TrainingBatches(student, TrainSpec(batch_size=8), 0)
        chosen = np.arange(8)
        batch = batches.batch(chosen, 0, torch.device("cpu"))
        raw = student.raw("train", chosen).astype(np.float32)
        np.testing.assert_allclose(
            Reads(tutor, batches)(batch).numpy(), (raw - 0.25) / 2.0, rtol=1e-4, atol=1e-5
        )
        np.testing.assert_allclose(
            tutor.dataset.normalised("train", chosen), (raw - 0.25) / 2.0, rtol=1e-5
        )

    def test_views(self, tiny: dict[str, Any]) -> None:
        """The teacher sees the same view, another, or none, and each is what it says."""
        train = TrainSpec.model_validate({"augment": ["crop", "flip"], "batch_size": 16})
        base = load_dataset(DataSpec(source="digits"))
        found = {}
        for view in ("same", "other", "plain"):
            recipe = recipe_of(tiny, {"model": "mlp", "view": view})
            tutor = build_tutor(named_teachers(recipe)[0], base)
            batches = TrainingBatches(base, train, 0)
            batch = batches.batch(np.arange(16), 3, torch.device("cpu"))
            found[view] = (Reads(tutor, batches)(batch), batch.inputs)
        assert torch.equal(*found["same"])
        plain = torch.from_numpy(base.normalised("train", np.arange(16)))
        torch.testing.assert_close(found["plain"][0], plain)
        assert not torch.allclose(*found["other"])
        assert not torch.allclose(found["other"][0], plain)

    def test_faults(self) -> None:
        base = load_dataset(DataSpec(source="digits"))
        with pytest.raises(UnknownNameError, match="input of the data"):
            seen_by(base, InputSpec(name="sound"), "student.input")
        grey = InputSpec.model_validate({"transforms": ["grey"]})
        with pytest.raises(DataError, match="takes images of 3 channel"):
            seen_by(base, grey, "student.input")
        with pytest.raises(DataError, match="mean and std do not fit"):
            seen_by(base, InputSpec(mean=(0.0, 0.0, 0.0), std=(1.0,)), "student.input")


def two_sensors() -> RawData:
    """Samples that one input shows and the other shows inverted and flattened."""
    random = np.random.default_rng(0)
    targets = np.arange(200) % 4
    images = random.normal(size=(200, 1, 8, 8)).astype(np.float32)
    images[np.arange(200), 0, targets] += 2.0
    part = Part(
        ids=tuple(f"s{i}" for i in range(200)),
        targets=targets,
        reader=lambda chosen: images[chosen],
        others={"vector": lambda chosen: -images[chosen].reshape(-1, 64)},
    )
    from edgekd.data.split import InputFacts

    return RawData(
        {"train": part},
        tuple("abcd"),
        (1, 8, 8),
        input="image",
        others={"vector": InputFacts((64,))},
        columns={"kind": {f"s{i}": "even" if i % 2 == 0 else "odd" for i in range(200)}},
    )


class TestAnotherSensor:
    def test_from_image_to_vector(self, tiny: dict[str, Any]) -> None:
        tiny["data"] = {"source": f"{__name__}:two_sensors", "split": {"calibration": 8}}
        tiny["student"] = {"model": "mlp", "hidden": [16], "input": "vector"}
        tiny["train"]["augment"] = [{"name": "flip", "input": "image"}]
        run = distill(recipe_of(tiny, {"model": "resnet8", "width": 0.25}))
        assert run.manifest.sample_shape == (64,)
        networks = run.manifest.networks
        assert networks["teacher.safetensors"].input == "image"
        assert networks["student.safetensors"].input == "vector"
        # The same samples, in the same order, whichever way they are seen.
        dataset = load_for_student(run.recipe)
        image = seen_by(dataset, InputSpec(name="image"), "x")
        np.testing.assert_allclose(
            dataset.raw("test", [3, 5]), -image.raw("test", [3, 5]).reshape(-1, 64)
        )
        assert dataset.columns["kind"][dataset.splits["test"].ids[0]] in ("even", "odd")

    def test_cutmix_is_refused(self, tiny: dict[str, Any]) -> None:
        tiny["data"] = {"source": f"{__name__}:two_sensors", "split": {"calibration": 8}}
        tiny["student"] = {"model": "mlp", "hidden": [16], "input": "vector"}
        tiny["train"]["mix"] = {"kind": "cutmix"}
        with pytest.raises(RecipeError, match="cutmix cannot cut the same piece"):
            distill(recipe_of(tiny, {"model": "resnet8", "width": 0.25}))


class TestResume:
    def test_an_interrupted_ensemble_ends_where_a_whole_one_does(
        self, tiny: dict[str, Any], tmp_path: Path
    ) -> None:
        from edgekd.distill.progress import Progress

        class Stops(Progress):
            def epoch(self, line: Any) -> None:
                if line["phase"] == "student" and line["epoch"] == 2:
                    raise KeyboardInterrupt

        recipe = recipe_of(
            tiny, {"model": "mlp", "hidden": [32], "copies": 2}, ensemble={"weigh": "random"}
        )
        whole = distill(recipe)
        with pytest.raises(KeyboardInterrupt):
            distill(recipe, out=tmp_path / "run", progress=Stops())
        resumed: Run = distill(resume=tmp_path / "run")
        assert resumed.manifest.student == whole.manifest.student
