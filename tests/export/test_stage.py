"""`edgekd.export` from source to artifact, and everything that stops it."""

from __future__ import annotations

import copy
import dataclasses
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import nn

import edgekd
from edgekd.data.split import Dataset
from edgekd.errors import (
    DataError,
    EdgekdError,
    ExportError,
    ModelError,
    ModelFileError,
    OutputExistsError,
    ParityError,
    RunError,
    StorageError,
    TamperedError,
    UnknownNameError,
)
from edgekd.export import stage
from edgekd.export.exporter import Exported
from edgekd.export.onnx import OnnxExporter
from edgekd.export.plan import Plan
from edgekd.export.surface import Surface
from edgekd.models.weights import save_weights
from edgekd.recipe import Recipe
from edgekd.records import ArtifactManifest
from edgekd.rundir import Artifact, Run, read_record, sha256_file
from edgekd.runtimes.codec import decode, encode
from edgekd.runtimes.files import identify
from edgekd.runtimes.litert import load as load_tflite
from edgekd.runtimes.torch import load as load_torch

MODELS = "tests.export.user_models"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EDGEKD_RUNS", str(tmp_path / "runs"))


@pytest.fixture
def run(small_run: Run, tmp_path: Path) -> Run:
    """A copy of the run of its own for every test."""
    shutil.copytree(small_run.path, tmp_path / "runs" / "small")
    return Run.open("small")


def test_a_run_becomes_a_proved_tflite_file(run: Run, dataset: Dataset, student: nn.Module) -> None:
    artifact = edgekd.export(run, target="tflite")
    assert artifact.directory == run.artifacts_dir / "tflite-fp32"
    assert [a.manifest.name for a in run.artifacts()] == ["tflite-fp32"]
    manifest = artifact.manifest
    parity = manifest.parity
    assert parity.passed
    assert parity.max_abs_error <= 1e-4
    assert parity.sample_source == "validation"
    assert parity.samples == min(256, len(dataset.splits["validation"]))
    assert parity.agreement == 1.0
    assert manifest.parents["run"] == run.manifest_sha256
    assert manifest.parents["student"] == sha256_file(run.student_path)
    assert manifest.inputs[0].layout == "nhwc"
    assert manifest.classes == dataset.classes
    assert manifest.preprocess == dataset.preprocess
    assert manifest.model.parameters == sum(p.numel() for p in student.parameters())
    assert manifest.model.macs
    assert {"torch", "litert-torch", "ai-edge-litert"} <= set(manifest.provenance.packages)
    assert manifest.files["model.tflite"].sha256 == sha256_file(artifact.path)
    assert Artifact.open(artifact.directory) == artifact
    assert identify(artifact.path) == "tflite"
    # What the manifest says is enough to run the file on the test split.
    session = load_tflite(artifact.path)
    x = dataset.normalised("test")
    y = decode(session.run([encode(x, manifest.inputs[0])])[0], manifest.outputs[0])
    reference = load_torch(run.student_path).run([x])[0]
    assert np.abs(y - reference).max() < 1e-4


def test_int8_keeps_accuracy_and_names_its_calibration(run: Run, dataset: Dataset) -> None:
    artifact = edgekd.export("small", target="tflite", quantize="int8")
    manifest = artifact.manifest
    assert (manifest.name, manifest.quantize) == ("tflite-int8", "int8")
    calibration = manifest.calibration
    assert calibration is not None
    assert (calibration.split, calibration.samples) == ("calibration", 64)
    assert manifest.inputs[0].dtype == manifest.outputs[0].dtype == "int8"
    assert manifest.parity.accuracy_file is not None
    session = load_tflite(artifact.path)
    x, targets = dataset.normalised("test"), dataset.splits["test"].targets
    y = decode(session.run([encode(x, manifest.inputs[0])])[0], manifest.outputs[0])
    reference = load_torch(run.student_path).run([x])[0]
    right, before = (y.argmax(1) == targets).mean(), (reference.argmax(1) == targets).mean()
    assert before > 0.9
    assert before - right <= 0.01
    assert (y.argmax(1) == reference.argmax(1)).mean() >= 0.98


@pytest.mark.parametrize("quantize", ["none", "int8", "fp16"])
def test_onnx_of_a_run(run: Run, quantize: str) -> None:
    artifact = edgekd.export(run, target="onnx", quantize=quantize)
    manifest = artifact.manifest
    assert manifest.inputs[0].layout == "nchw"
    assert manifest.inputs[0].shape == (None, 1, 8, 8)
    assert manifest.parity.passed
    assert manifest.parity.batch_sizes == (1, 7, 32)
    assert (manifest.calibration is None) == (quantize != "int8")


@pytest.mark.slow
def test_nothing_reaches_standard_output(run: Run) -> None:
    code = (
        "import edgekd\n"
        f"edgekd.export({str(run.path)!r}, target='tflite', quantize='int8', out='a')\n"
        f"edgekd.export({str(run.path)!r}, target='onnx', quantize='int8', out='b')\n"
    )
    root = Path(stage.__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(root), "PATH": "", "HOME": "."},
    )
    assert done.stdout == ""
    assert done.stderr == ""
    assert Artifact.open(Path("a")).manifest.name == "tflite-int8"


def test_a_network_at_hand_is_left_as_it_was(student: nn.Module, recipe: Recipe) -> None:
    student.train()
    before = {name: tensor.clone() for name, tensor in student.state_dict().items()}
    artifact = edgekd.export(student, target="onnx", recipe=recipe, out=Path("here"))
    assert student.training
    assert all(torch.equal(before[n], t) for n, t in student.state_dict().items())
    assert artifact.manifest.parity.accuracy_model is not None
    assert artifact.directory == Path("here")


@pytest.mark.parametrize("name", ["with_shape", "with_example"])
def test_a_factory_without_a_recipe_is_held_against_random_samples(name: str) -> None:
    artifact = edgekd.export(f"{MODELS}:{name}", target="onnx")
    parity = artifact.manifest.parity
    assert parity.sample_source == "random"
    assert parity.samples == 256
    assert parity.accuracy_model is None
    assert artifact.directory == Path(f"artifacts/{MODELS}-{name}/onnx-fp32")
    again = edgekd.export(f"{MODELS}:{name}", target="onnx", overwrite=True)
    assert again.manifest.files == artifact.manifest.files


def test_a_factory_with_a_shape_or_a_recipe(recipe: Recipe) -> None:
    artifact = edgekd.export(f"{MODELS}:plain", target="onnx", input_shape=(3, 2, 2))
    assert artifact.manifest.inputs[0].shape == (None, 3, 2, 2)
    artifact = edgekd.export(f"{MODELS}:with_shape", target="onnx", input_shape=(1, 4, 4))
    assert artifact.manifest.inputs[0].shape == (None, 1, 4, 4)
    artifact = edgekd.export(f"{MODELS}:for_digits", target="onnx", recipe=recipe, quantize="int8")
    assert artifact.manifest.parity.sample_source == "validation"


def _graph(path: Path) -> bytes:
    """Return a file without what it says of its descent."""
    model = onnx.load(path)
    del model.metadata_props[:]
    return model.SerializeToString(deterministic=True)


def test_a_checkpoint_needs_to_be_told_its_network(
    student: nn.Module, recipe: Recipe, run: Run
) -> None:
    save_weights(student, Path("my.safetensors"))
    torch.save(student.state_dict(), "my.pt")
    with pytest.raises(ModelError, match="nothing says what network"):
        edgekd.export("my.safetensors", target="onnx")
    one = edgekd.export("my.safetensors", target="onnx", recipe=recipe)
    other = edgekd.export("my.pt", target="onnx", recipe=recipe, out=Path("other"))
    beside = edgekd.export(run.student_path, target="onnx")
    assert beside.directory == run.artifacts_dir / "onnx-fp32"
    assert _graph(one.path) == _graph(other.path) == _graph(beside.path)
    assert one.manifest.parents == {"student": sha256_file(Path("my.safetensors"))}
    with pytest.raises(ModelFileError, match="no such file"):
        edgekd.export("gone.pt", target="onnx", recipe=recipe)


def test_nothing_is_overwritten_silently(run: Run) -> None:
    artifact = edgekd.export(run, target="onnx")
    kept = artifact.path.read_bytes()
    (artifact.directory / "mine.txt").write_text("mine")
    with pytest.raises(OutputExistsError) as caught:
        edgekd.export(run, target="onnx")
    assert caught.value.hint is not None and "--overwrite" in caught.value.hint
    assert (artifact.directory / "mine.txt").exists()
    again = edgekd.export(run, target="onnx", overwrite=True)
    assert again.path.read_bytes() == kept


class _Wrong(OnnxExporter):
    """An exporter whose files do something else: every weight is a little off."""

    def export(self, surface: Surface, plan: Plan, **options: Any) -> Exported:
        model = copy.deepcopy(surface.model)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(1.05)
        return super().export(dataclasses.replace(surface, model=model), plan, **options)


def test_a_file_that_does_something_else_is_kept_aside(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = edgekd.export(run, target="onnx")
    kept = good.path.read_bytes()
    monkeypatch.setattr(stage.TARGETS, "resolve", lambda name: _Wrong)
    for _ in range(2):  # the second replaces the first
        with pytest.raises(ParityError, match="'logits' is off by") as caught:
            edgekd.export(run, target="onnx", overwrite=True)
    assert caught.value.exit_code == 1
    failed = run.artifacts_dir / "onnx-fp32.failed"
    assert caught.value.hint is not None and str(failed) in caught.value.hint
    manifest = read_record(failed / "manifest.json", ArtifactManifest)
    assert not manifest.parity.passed
    assert manifest.parity.worst_sample.startswith("digits/")
    assert manifest.parity.worst_sample in caught.value.message
    assert good.path.read_bytes() == kept
    assert [a.directory for a in run.artifacts()] == [good.directory]
    loose = edgekd.export(run, target="onnx", overwrite=True, tolerance=100.0)
    assert loose.manifest.parity.passed


def _faults(recipe: Recipe) -> dict[str, tuple[dict[str, object], type[EdgekdError], str]]:
    plain = f"{MODELS}:plain"
    return {
        "target": ({"target": "tflight"}, UnknownNameError, "unknown target 'tflight'"),
        "scheme": ({"quantize": "int4"}, UnknownNameError, "unknown scheme 'int4'"),
        "tolerance": ({"tolerance": float("nan")}, ExportError, "tolerance must be"),
        "drop": ({"max_drop": -1.0}, ExportError, "max_drop must be"),
        "samples": ({"held_out": 1}, ExportError, "held_out must be"),
        "no run": ({"source": None}, RunError, "no run"),
        "unknown run": ({"source": "nope"}, RunError, "no run at nope"),
        "shape": ({"source": plain}, ExportError, "what shape the input"),
        "wrong shape": ({"source": plain, "input_shape": (5,)}, ExportError, "fails on an input"),
        "data": (
            {"source": plain, "input_shape": (12,), "quantize": "int8"},
            ExportError,
            "int8 needs data",
        ),
        "module": ({"source": "no_such_module:f"}, EdgekdError, "cannot import"),
        "attribute": ({"source": f"{MODELS}:plan"}, UnknownNameError, "plan"),
        "no model": ({"source": f"{MODELS}:no_model"}, ModelError, "gave a str"),
        "broken": ({"source": f"{MODELS}:broken"}, ModelError, "ValueError: no weights found"),
        "arguments": ({"source": f"{MODELS}:for_digits"}, ModelError, "could not be built"),
        "exported": ({"source": "model.tflite"}, ModelFileError, "exported file already"),
        "classes": (
            {"source": nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), "recipe": recipe},
            DataError,
            "for 3 classes",
        ),
    }


@pytest.mark.parametrize("fault", list(_faults(None)))  # type: ignore[arg-type]
def test_what_cannot_work_is_refused_and_leaves_nothing(fault: str, recipe: Recipe) -> None:
    options, kind, message = _faults(recipe)[fault]
    given = {"source": f"{MODELS}:with_shape", "target": "onnx", **options}
    with pytest.raises(kind, match=message):
        edgekd.export(**given)
    assert [p.name for p in Path().iterdir()] == []


def test_calibration_data_that_is_no_number_is_refused(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Dataset.normalised

    def spoiled(self: Dataset, split: str, indices: object = None) -> np.ndarray:
        found = whole(self, split, indices)  # type: ignore[arg-type]
        if split == "calibration":
            found[5] = np.nan
        return found

    monkeypatch.setattr(Dataset, "normalised", spoiled)
    with pytest.raises(DataError, match=r"calibration sample 'digits/.*' holds NaN"):
        edgekd.export(run, target="onnx", quantize="int8")


def test_data_that_changed_since_the_run_is_refused(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgekd.export import finding as source

    whole = source.load_for_student
    changed = dataclasses.replace(whole(run.recipe), sha256="f" * 64)
    monkeypatch.setattr(source, "load_for_student", lambda spec: changed)
    with pytest.raises(DataError, match="is not what it was"):
        edgekd.export(run, target="onnx")


def test_a_tampered_student_is_refused(run: Run) -> None:
    data = bytearray(run.student_path.read_bytes())
    data[-1] ^= 1
    run.student_path.write_bytes(data)
    with pytest.raises(TamperedError, match=r"student\.safetensors"):
        edgekd.export("small", target="onnx")


def test_a_read_only_place_is_named(run: Run, read_only_disk: Path) -> None:
    with pytest.raises(StorageError, match="read-only"):
        edgekd.export(run, target="onnx", out=read_only_disk / "here")
