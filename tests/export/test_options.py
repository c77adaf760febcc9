"""What the options of `edgekd.export` make of a file, seen from outside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import edgekd
from edgekd.data.split import Dataset
from edgekd.errors import DataError, ExportError
from edgekd.export.plan import make_plan
from edgekd.export.ports import Port, of_example, written
from edgekd.export.samples import Samples
from edgekd.modelfile.metadata import read
from edgekd.quantize.calibration import CalibrationPlan
from edgekd.rundir import Run
from edgekd.runtimes.codec import decode, encode
from edgekd.runtimes.litert import load as load_tflite
from edgekd.runtimes.onnxruntime import load as load_onnx
from edgekd.runtimes.torch import load as load_torch

PLAN: dict[str, Any] = {
    "quantize": None,
    "profile": "cpu",
    "io": None,
    "layout": None,
    "batch": None,
    "free_axis": None,
    "embed_preprocess": False,
    "keep_float": (),
    "calibration": CalibrationPlan(),
}


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def _softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def test_raw_pixels_in_and_probabilities_out(small_run: Run, dataset: Dataset) -> None:
    expected = _softmax(load_torch(small_run.student_path).run([dataset.normalised("test")])[0])
    raw = dataset.raw("test", np.arange(len(dataset.splits["test"])))
    assert raw.max() > 4  # pixels, not normalised values
    artifact = edgekd.export(
        small_run, target="onnx", embed_preprocess=True, out=Path("float"), held_out=16
    )
    (output,) = artifact.manifest.outputs
    assert (artifact.manifest.name, output.name) == ("onnx-fp32-raw", "probabilities")
    assert artifact.manifest.preprocess.scale == 1.0
    (found,) = load_onnx(artifact.path).run([raw.astype(np.float32)])
    assert np.abs(found - expected).max() < 1e-5
    found_metadata = read(artifact.path)
    assert found_metadata is not None
    assert found_metadata.inputs[0].embedded
    assert found_metadata.inputs[0].preprocess == dataset.preprocess
    assert found_metadata.labels == dataset.classes
    assert found_metadata.parents["run"] == small_run.manifest_sha256


def test_bytes_of_pixels_into_an_int8_file(small_run: Run, dataset: Dataset) -> None:
    artifact = edgekd.export(
        small_run,
        target="tflite",
        quantize="int8",
        io="uint8",
        embed_preprocess=True,
        out=Path("bytes"),
    )
    session = load_tflite(artifact.path)
    given, taken = artifact.manifest.inputs[0], artifact.manifest.outputs[0]
    assert (given.dtype, taken.dtype) == ("uint8", "uint8")
    assert taken.scale == pytest.approx(1 / 256)
    raw = dataset.raw("test", np.arange(100))
    expected = _softmax(load_torch(small_run.student_path).run([dataset.normalised("test")])[0])
    found = decode(session.run([encode(raw, given)])[0], taken)
    assert (found.argmax(1) == expected[:100].argmax(1)).mean() >= 0.97
    assert np.abs(found - expected[:100]).mean() < 0.02


class Both(nn.Module):
    """Numbers and the ids of words."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(30, 8)
        self.numbers = nn.Linear(5, 8)
        self.head = nn.Linear(8, 3)

    def forward(self, numbers: torch.Tensor, ids: torch.Tensor) -> dict[str, torch.Tensor]:
        both = self.numbers(numbers) + self.words(ids).mean(1)
        return {"scores": self.head(both), "hidden": both}


@pytest.fixture
def both() -> tuple[Both, dict[str, np.ndarray]]:
    torch.manual_seed(0)
    generator = np.random.default_rng(0)
    samples = {
        "ids": generator.integers(0, 30, (120, 6)),
        "numbers": generator.standard_normal((120, 5), dtype=np.float32),
    }
    return Both(), samples


@pytest.mark.parametrize(
    ("target", "options"),
    [("onnx", {}), ("tflite", {"batch": 0}), ("tflite", {"quantize": "int8", "batch": 4})],
)
def test_two_inputs_of_which_one_is_integers(
    both: tuple[Both, dict[str, np.ndarray]], target: str, options: dict[str, Any]
) -> None:
    model, samples = both
    np.savez("samples.npz", **samples)
    artifact = edgekd.export(model, target=target, samples="samples.npz", **options)
    manifest = artifact.manifest
    assert {spec.name for spec in manifest.inputs} == {"ids", "numbers"}
    assert {spec.name for spec in manifest.outputs} == {"scores", "hidden"}
    batch = {"onnx": None, "tflite": options.get("batch") or None}[target]
    assert {spec.shape[0] for spec in (*manifest.inputs, *manifest.outputs)} == {batch}
    assert manifest.parity.sample_source == "samples"
    assert manifest.parity.batch_sizes == ((4,) if batch else (1, 7, 32))
    load = load_onnx if target == "onnx" else load_tflite
    session = load(artifact.path)
    fed = [encode(samples[spec.name][:8], spec) for spec in session.inputs]
    outputs = session.run(fed)
    expected = model(
        numbers=torch.from_numpy(samples["numbers"][:8]), ids=torch.from_numpy(samples["ids"][:8])
    )
    for array, spec in zip(outputs, session.outputs, strict=True):
        wanted = expected[spec.name].detach().numpy()
        tolerance = 0.2 if options.get("quantize") else 1e-5
        assert np.abs(decode(array, spec) - wanted).max() < tolerance


def test_sequences_of_any_length(tmp_path: Path) -> None:
    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gru = nn.GRU(4, 6, batch_first=True)
            self.head = nn.Linear(6, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.gru(x)[0][:, -1])

    torch.manual_seed(0)
    model = Recurrent()
    artifact = edgekd.export(
        model, target="onnx", inputs=[Port("input", (16, 4))], free_axis=1, held_out=32
    )
    assert artifact.manifest.parity.lengths == (4, 8)
    x = np.random.default_rng(1).standard_normal((3, 23, 4), dtype=np.float32)
    (found,) = load_onnx(artifact.path).run([x])
    assert np.abs(found - model(torch.from_numpy(x)).detach().numpy()).max() < 1e-5
    with pytest.raises(ExportError, match="leave no axis but the batch free"):
        edgekd.export(model, target="tflite", input_shape=(16, 4), free_axis=1)


def test_a_batch_that_cannot_be_freed_is_refused_and_not_guessed() -> None:
    class Merged(nn.Module):
        """Batch and channels in one axis: a graph for a batch of 1 cannot tell them apart."""

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            rows = x.reshape(-1, 2, 4).softmax(-1)
            return rows.transpose(1, 2).reshape(x.shape[0], 32)

    edgekd.export(Merged(), target="tflite", input_shape=(8, 4), out=Path("one"))
    with pytest.raises(ExportError, match=r"does not (run|do)"):
        edgekd.export(Merged(), target="tflite", input_shape=(8, 4), batch=0, out=Path("any"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"profile": "mcu", "quantize": "fp16"}, "takes --quantize int8, not fp16"),
        ({"io": "uint8"}, "needs --quantize int8"),
        ({"io": "int8", "embed_preprocess": True}, "needs --quantize int8"),
        ({"batch": -1}, "--batch must be"),
        ({"free_axis": 0}, "counts from the batch"),
        ({"keep_float": ("stem",)}, "what is not quantized"),
    ],
)
def test_what_contradicts_itself_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ExportError, match=message):
        make_plan("tflite", **{**PLAN, **options})


def test_profiles_choose_what_is_right_there() -> None:
    plan = make_plan("tflite", **{**PLAN, "profile": "npu"})
    assert (plan.scheme.name, plan.io, plan.name) == ("int8", "int8", "tflite-int8-npu")
    with pytest.raises(ExportError, match="is for tflite"):
        make_plan("onnx", **{**PLAN, "profile": "pi-legacy"})


def test_artifacts_of_different_options_have_different_names() -> None:
    given = [
        {},
        {"quantize": "int8"},
        {"quantize": "int8", "io": "uint8"},
        {"quantize": "int8", "keep_float": ("stem",)},
        {"quantize": "int8", "calibration": CalibrationPlan("mse")},
        {"layout": "nchw"},
        {"batch": 0},
        {"batch": 4},
        {"embed_preprocess": True},
        {"free_axis": 1},
        {"profile": "mcu"},
    ]
    names = [make_plan("tflite", **{**PLAN, **options}).name for options in given]
    assert len(set(names)) == len(names)


def test_inputs_as_they_are_written() -> None:
    assert written("image=3,8,8") == Port("image", (3, 8, 8))
    assert written("mask=16:int64:0..1").is_mask
    mask = written("mask=16:int64:0..1").made_up(50, np.random.default_rng(0))
    # Masks of prefixes: never a 1 behind a 0, and never nothing.
    assert (np.diff(mask, axis=1) <= 0).all()
    assert (mask[:, 0] == 1).all()
    for text in ("image", "image=a", "x=3:complex64", "x=3:int64:5..2", "x=0,3"):
        with pytest.raises(ExportError, match="--input"):
            written(text)


def test_examples_name_the_inputs_by_what_forward_takes() -> None:
    x, ids = torch.zeros(2, 5), torch.arange(12).reshape(2, 6)
    assert of_example(Both(), (x, ids)) == (
        Port("numbers", (5,)),
        Port("ids", (6,), "int64", 0, 11),
    )
    assert of_example(nn.Linear(5, 1), x) == (Port("input", (5,)),)
    assert of_example(Both(), {"ids": ids}) == (Port("ids", (6,), "int64", 0, 11),)
    assert of_example(Both(), "no tensors") is None


def test_samples_are_split_in_halves_that_share_nothing(tmp_path: Path) -> None:
    arrays = {"x": np.arange(21, dtype=np.float32)[:, None], "targets": np.arange(21) % 3}
    samples = Samples.of(arrays)
    ranges, ids = samples.calibration(100, 0)
    held = samples.held_out(100, 0)
    assert set(ids).isdisjoint(held.ids)
    assert len(ids) + len(held.ids) == 21
    assert held.targets is not None
    assert (held.targets == held.inputs["x"][:, 0] % 3).all()
    assert sorted([*ranges["x"][:, 0], *held.inputs["x"][:, 0]]) == list(range(21))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": np.zeros((3, 1)), "y": np.zeros(2, np.int64)}, "as many of every input"),
        ({"x": np.zeros((1, 1))}, "at least two"),
        ({"x": np.array(["a", "b"])}, "not numbers"),
        ({"x": np.zeros((2, 1)), "targets": np.zeros((2, 2))}, "not class indices"),
    ],
)
def test_samples_of_no_use_are_refused(arrays: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(DataError, match=message):
        Samples.of(arrays)


def test_a_file_that_is_no_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "samples.npz").write_bytes(b"not an archive")
    with pytest.raises(DataError, match="cannot be read"):
        Samples.of("samples.npz")


def test_calibration_samples_with_nan_are_named(
    both: tuple[Both, dict[str, np.ndarray]],
) -> None:
    model, samples = both
    samples["numbers"][:] = np.nan
    with pytest.raises(DataError, match="numbers of the calibration sample 'samples/"):
        edgekd.export(model, target="onnx", quantize="int8", samples=samples)
