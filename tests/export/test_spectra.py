"""Files that begin with a spectrogram: the waveform in, probabilities out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from scipy import signal
from torch import nn

import edgekd
from edgekd.data.load import load_for_student
from edgekd.data.split import Dataset
from edgekd.data.transforms.spectrum import LogMel, Spectrogram
from edgekd.errors import ExportError
from edgekd.export.spectra import PlainSpectrogram
from edgekd.models.build import build
from edgekd.models.weights import save_weights
from edgekd.recipe import Recipe
from edgekd.rundir import Artifact
from edgekd.runtimes.codec import decode
from edgekd.runtimes.litert import load as load_tflite
from edgekd.runtimes.onnxruntime import load as load_onnx

RATE = 4000
LENGTH = 1000


@pytest.mark.parametrize(
    ("window", "hop", "length"), [(256, 160, 1000), (200, 80, 999), (255, 128, 1000), (16, 5, 100)]
)
def test_products_of_small_matrices_give_the_powers_of_scipy(
    window: int, hop: int, length: int
) -> None:
    x = np.random.default_rng(0).standard_normal((2, 1, length)).astype(np.float32)
    _, _, found = signal.stft(
        x[:, 0], window="hann", nperseg=window, noverlap=window - hop, boundary=None, padded=False
    )
    expected = np.abs(found * signal.get_window("hann", window).sum()) ** 2
    transform = Spectrogram((1, length), window=window, hop=hop, log=False)
    plain = PlainSpectrogram(transform, length)(torch.from_numpy(x))
    assert plain.shape == (2, 1, *expected.shape[1:])
    np.testing.assert_allclose(plain[:, 0].numpy(), expected, rtol=1e-3, atol=1e-3)


def test_gathered_filters_are_the_filters_and_take_little_room() -> None:
    transform = LogMel((8000,), rate=8000, mels=32, window=256, hop=160)
    x = torch.randn(3, 8000, generator=torch.Generator().manual_seed(0))
    plain = PlainSpectrogram(transform, 8000)
    torch.testing.assert_close(plain(x), transform(x), rtol=1e-4, atol=1e-4)
    stored = sum(one.numel() * one.element_size() for one in plain.buffers())
    assert stored < 12_000 < 256 * 129 * 2 * 4  # bytes; the matrix of the transform alone: 264,192


def tones() -> dict[str, np.ndarray]:
    """Tones of 400 and 900 Hz, some a hundred times as loud as others."""
    random = np.random.default_rng(0)
    labels = np.arange(240) % 2
    t = np.arange(LENGTH) / RATE
    waves = np.sin(2 * np.pi * (400 + 500 * labels[:, None]) * t + random.uniform(0, 6, (240, 1)))
    waves += 0.3 * random.standard_normal(waves.shape)
    waves *= 10.0 ** random.uniform(-2.5, -0.5, (240, 1))
    return {"x_train": waves[:, None].astype(np.float32), "y_train": labels}


RAW: dict[str, Any] = {
    "name": "tones",
    "data": {
        "source": f"{__name__}:tones",
        "split": {"calibration": 40, "validation": 40, "test": 40},
    },
    "student": {
        "model": "ds-cnn",
        "width": 0.25,
        "layers": 2,
        "input": {
            "transforms": [
                {"name": "level"},
                {"name": "log-mel", "rate": RATE, "mels": 16, "window": 64, "hop": 48},
            ]
        },
    },
    "loss": [{"name": "cross-entropy"}],
}


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return Recipe.from_dict(RAW)


@pytest.fixture(scope="module")
def dataset(recipe: Recipe) -> Dataset:
    return load_for_student(recipe)


@pytest.fixture(scope="module")
def student(recipe: Recipe, dataset: Dataset) -> nn.Module:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    shape = dataset.sample_shape
    model = build("ds-cnn", recipe.student.options, num_classes=2, input_shape=shape)
    x = torch.from_numpy(dataset.normalised("train"))
    y = torch.from_numpy(dataset.splits["train"].targets)
    optimizer = torch.optim.AdamW(model.parameters(), 5e-3)
    for _ in range(30):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    return model.eval()


@pytest.fixture(scope="module")
def weights(student: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tones") / "student.safetensors"
    save_weights(student, path)
    return path


def expected(student: nn.Module, dataset: Dataset) -> np.ndarray:
    with torch.no_grad():
        logits = student(torch.from_numpy(dataset.normalised("test")))
    return torch.softmax(logits, 1).numpy()


def raw(dataset: Dataset) -> np.ndarray:
    return dataset.raw("test", np.arange(40)).astype(np.float32)


def int8_file(weights: Path, recipe: Recipe, target: str, out: Path, **options: Any) -> Artifact:
    return edgekd.export(
        weights,
        recipe=recipe,
        target=target,
        quantize="int8",
        embed_preprocess=True,
        out=out,
        **options,
    )


def test_a_waveform_into_an_onnx_file(
    weights: Path, recipe: Recipe, student: nn.Module, dataset: Dataset, tmp_path: Path
) -> None:
    artifact = edgekd.export(
        weights, recipe=recipe, target="onnx", embed_preprocess=True, out=tmp_path / "a"
    )
    (found,) = load_onnx(artifact.path).run([raw(dataset)])
    np.testing.assert_allclose(found, expected(student, dataset), atol=1e-4)


def test_a_waveform_into_an_int8_tflite_file(
    weights: Path, recipe: Recipe, student: nn.Module, dataset: Dataset, tmp_path: Path
) -> None:
    """The network computes in integers, what comes before it in float: loudness does not matter."""
    artifact = int8_file(weights, recipe, "tflite", tmp_path / "a")
    given, taken = artifact.manifest.inputs[0], artifact.manifest.outputs[0]
    assert (given.dtype, taken.dtype) == ("float32", "int8")
    assert taken.scale == pytest.approx(1 / 256)
    session = load_tflite(artifact.path)
    wanted = expected(student, dataset)
    for factor in (1.0, 0.03):
        probabilities = decode(session.run([raw(dataset) * np.float32(factor)])[0], taken)
        assert (probabilities.argmax(1) == wanted.argmax(1)).mean() >= 0.97
        assert np.abs(probabilities - wanted).mean() < 0.03
    (note,) = [one for one in artifact.manifest.notes if "stay in float32" in one]
    assert "LOG" in note and "CONV" not in note and "SOFTMAX" not in note


def test_a_waveform_into_an_int8_onnx_file(weights: Path, recipe: Recipe, tmp_path: Path) -> None:
    """The softmax at the end makes it no transformer: its convolutions are quantized."""
    artifact = int8_file(weights, recipe, "onnx", tmp_path / "a")
    graph = onnx.load(artifact.path).graph
    made = {name: node for node in graph.node for name in node.output}
    stored = {one.name: one.data_type for one in graph.initializer}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    assert len(convolutions) == 5
    for node in convolutions:
        source = made[node.input[1]]
        assert source.op_type == "DequantizeLinear"
        assert stored[source.input[0]] == onnx.TensorProto.INT8
    (logarithm,) = [node for node in graph.node if node.op_type == "Log"]
    assert made[logarithm.input[0]].op_type not in ("QuantizeLinear", "DequantizeLinear")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"io": "uint8"}, "--io uint8: the transforms .* float32"),
        ({"profile": "mcu", "io": "float32"}, r"integers only.*LOG \(preprocess\)"),
    ],
)
def test_what_does_not_take_floats_is_refused(
    weights: Path, recipe: Recipe, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ExportError, match=message):
        int8_file(weights, recipe, "tflite", tmp_path / "a", **options)
