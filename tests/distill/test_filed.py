"""Teachers that are files: what they teach, what is refused, and what the run keeps of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from edgekd.bench.subjects import find
from edgekd.data.load import load_dataset
from edgekd.data.split import Dataset
from edgekd.distill.filed import looks_like_probabilities
from edgekd.distill.layerless import response_losses
from edgekd.distill.named import build_tutor, named_teachers
from edgekd.distill.stage import distill, examine
from edgekd.distill.suggest import overview
from edgekd.errors import ModelError, ModelFileError, RecipeError
from edgekd.recipe import DataSpec, Recipe
from edgekd.rundir import sha256_file
from tests.distill.formats import as_file, make_teacher

SHAPE = (1, 8, 8)


class Soft(nn.Module):
    """The teacher with a softmax of its own, and its classes in reverse."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.network(inputs).softmax(-1).flip(-1)


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return load_dataset(DataSpec())


@pytest.fixture(scope="module")
def network(dataset: Dataset) -> nn.Module:
    """The teacher of `tests.distill.formats`, trained for a second."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model = make_teacher(10, SHAPE)
    x = torch.from_numpy(dataset.normalised("train"))
    y = torch.from_numpy(dataset.splits["train"].targets)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-2)
    for _ in range(6):
        for rows in torch.randperm(len(x)).split(64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
            optimizer.step()
    return model.eval()


@pytest.fixture(scope="module")
def files(
    network: nn.Module, dataset: Dataset, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    samples, folder = dataset.normalised("calibration"), tmp_path_factory.mktemp("files")
    return {
        "onnx": as_file(network, samples, "onnx", folder / "onnx"),
        "tflite": as_file(network, samples, "tflite", folder / "tflite"),
        "int8": as_file(network, samples, "tflite", folder / "int8", int8=True),
        "soft": as_file(Soft(network), samples, "onnx", folder / "soft"),
    }


def recipe(teacher: dict[str, Any], *losses: dict[str, Any], **train: Any) -> Recipe:
    return Recipe.from_dict(
        {
            "name": "filed",
            "teacher": [teacher],
            "student": {"model": "mlp", "hidden": [16]},
            "loss": list(losses) or [{"name": "kd"}],
            "train": {"epochs": 1, "batch_size": 64, "threads": 1, **train},
        }
    )


@pytest.mark.parametrize("kind", ["onnx", "tflite", "int8", "soft"])
def test_a_file_answers_as_the_network_does(
    kind: str, files: dict[str, Path], network: nn.Module, dataset: Dataset
) -> None:
    declared: dict[str, Any] = {}
    if kind == "soft":
        declared = {"gives": "probabilities", "classes": list(dataset.classes[::-1])}
    made = recipe({"file": str(files[kind]), **declared})
    tutor = build_tutor(named_teachers(made)[0], dataset)
    x = torch.from_numpy(dataset.normalised("validation"))
    with torch.no_grad():
        found, wanted = tutor.model(x).softmax(-1), network(x).softmax(-1)
    assert found.shape == wanted.shape
    assert (found - wanted).abs().max() < (0.1 if kind == "int8" else 1e-3)


def test_a_run_names_the_file_and_keeps_no_copy(files: dict[str, Path], tmp_path: Path) -> None:
    run = distill(recipe({"file": str(files["onnx"])}), out=tmp_path / "run")
    facts, score = run.manifest.teachers[0], run.manifest.teacher_scores[0]
    assert (facts.name, facts.parameters) == ("model.onnx", None)
    assert facts.size_bytes == files["onnx"].stat().st_size
    assert facts.sha256 == run.manifest.parents["teacher"] == sha256_file(files["onnx"])
    assert score is not None and score.test_accuracy > 0.7 and score.epochs == 0
    assert not run.teacher_path.exists() and "teacher.safetensors" not in run.manifest.networks
    subjects = {subject.name: subject for subject in find(run)}
    assert "given as a file" in str(subjects["teacher"].skip)
    assert subjects["student"].skip is None


def test_a_cache_belongs_to_the_file(files: dict[str, Path], runs_folder: Path) -> None:
    for number, kind in enumerate(("onnx", "tflite", "onnx")):
        teacher = {"file": str(files[kind]), "cache": {"views": 1}}
        distill(recipe(teacher, doctor="off"), out=runs_folder / f"{kind}-{number}")
    assert len(list((runs_folder / "cache").iterdir())) == 2


def test_the_doctor_looks_at_a_file(files: dict[str, Path]) -> None:
    found = {finding.check: finding for finding in examine(recipe({"file": str(files["tflite"])}))}
    assert found["teacher at rest"].status == "ok"
    assert found["labels aligned"].status == "ok"


def test_layers_of_a_file_cannot_be_captured(files: dict[str, Path]) -> None:
    hint = {"name": "hint", "layers": [["1", "4"]]}
    with pytest.raises(RecipeError, match=r"a \.onnx file shows its outputs only") as caught:
        examine(recipe({"file": str(files["onnx"])}, {"name": "kd"}, hint))
    assert "loss[1]: 'hint' captures layers of the teacher 'model.onnx'" in str(caught.value)
    assert "dkd" in str(caught.value.hint)
    assert {"kd", "dkd", "dist", "logits-mse"} <= set(response_losses())
    assert not {"hint", "cross-entropy", "minilm"} & set(response_losses())
    assert overview(recipe({"file": str(files["onnx"])})).teacher.shapes == {}


def test_what_is_not_declared_is_refused(files: dict[str, Path], dataset: Dataset) -> None:
    def refused(teacher: dict[str, Any]) -> ModelError:
        with pytest.raises(ModelError) as caught:
            build_tutor(named_teachers(recipe(teacher))[0], dataset)
        return caught.value

    soft = refused({"file": str(files["soft"])})
    assert "gives probabilities" in soft.message
    assert soft.hint == 'Say so: teacher[0].gives = "probabilities".'
    hard = refused({"file": str(files["onnx"]), "gives": "probabilities"})
    assert "does not give probabilities" in hard.message
    shape = refused({"file": str(files["onnx"]), "input": {"transforms": ["rgb"]}})
    assert "takes samples of shape (1, 8, 8), the data's are (3, 8, 8)" in shape.message
    classes = refused({"file": str(files["onnx"]), "classes": list("0123456789ab")})
    assert "(12) is needed for 12 classes" in classes.message
    assert isinstance(refused({"file": "nowhere.tflite"}), ModelFileError)


def test_files_of_edgekd_say_how_they_see_samples(
    files: dict[str, Path], dataset: Dataset, tmp_path: Path
) -> None:
    from edgekd import provenance
    from edgekd.records import ArtifactManifest, ModelFacts, Parity, Preprocess
    from edgekd.rundir import write_record

    path = tmp_path / "model.onnx"
    path.write_bytes(files["onnx"].read_bytes())
    manifest = ArtifactManifest(
        name="m",
        target="onnx",
        quantize="none",
        file="model.onnx",
        inputs=(),
        outputs=(),
        preprocess=Preprocess(mean=(0.5,), std=(0.5,)),
        model=ModelFacts(name="m"),
        parity=Parity(
            passed=True,
            samples=1,
            sample_source="validation",
            max_abs_error=0.0,
            max_rel_error=0.0,
            worst_output="y",
            worst_sample="x",
            runtime="r",
        ),
        files={},
        provenance=provenance.collect(),
    )
    write_record(tmp_path / "manifest.json", manifest)
    named = named_teachers(recipe({"file": str(path)}))[0]
    with pytest.raises(ModelError, match=r"trained with mean = \[0\.5\]") as caught:
        build_tutor(named, dataset)
    assert caught.value.hint == "Add teacher[0].input = {mean = [0.5], std = [0.5]}."
    declared = {"file": str(path), "input": {"mean": [0.5], "std": [0.5]}}
    tutor = build_tutor(named_teachers(recipe(declared))[0], dataset)
    assert tutor.dataset.preprocess.mean == (0.5,)


@pytest.mark.parametrize(
    ("teacher", "fault"),
    [
        ({}, "one of model, file, outputs and follows, not none"),
        ({"model": "mlp", "file": "m.onnx"}, "not model and file"),
        ({"file": "m.onnx", "weights": "w"}, "given as a file takes no weights"),
        ({"file": "m.onnx", "hidden": [3]}, "given as a file takes no hidden"),
        ({"outputs": "a.npz", "cache": True}, "given as recorded outputs takes no cache"),
        ({"outputs": "a.npz", "gives": "probabilities"}, "takes no gives"),
    ],
)
def test_keys_that_contradict_each_other(teacher: dict[str, Any], fault: str) -> None:
    with pytest.raises(RecipeError, match=fault):
        recipe(teacher)


def test_a_resolved_recipe_can_be_read_again(tmp_path: Path) -> None:
    for teacher in ({"file": "m.onnx"}, {"outputs": "a.npz", "view": "plain"}):
        made = recipe(teacher)
        (tmp_path / "r.toml").write_text(made.to_toml())
        assert Recipe.load(tmp_path / "r.toml") == made


def test_probabilities_are_told_from_logits() -> None:
    logits = np.random.default_rng(0).standard_normal((8, 10))
    soft = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    assert looks_like_probabilities(soft, 0.01)
    assert not looks_like_probabilities(logits, 0.01)
    assert not looks_like_probabilities(np.abs(logits), 0.01)
    quantized = np.round(soft * 256) / 256
    assert looks_like_probabilities(quantized, 0.01 + 10 / 512)
