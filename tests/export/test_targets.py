"""Both targets on a real network: what the files are, and what cannot be converted."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from edgekd.data.split import Dataset
from edgekd.errors import ExportError, MissingExtraError
from edgekd.export import TARGETS, tflite
from edgekd.export.exporter import installed
from edgekd.export.keras_source import TARGETS_OF
from edgekd.export.onnx import OnnxExporter
from edgekd.export.plan import Plan
from edgekd.export.prepare import Prepared
from edgekd.export.tflite import TFLiteExporter
from edgekd.quantize import SCHEMES
from edgekd.quantize.flatbuffer import read
from edgekd.quantize.schemes import FP16, INT8, INT8_DYNAMIC, NONE
from edgekd.runtimes.codec import decode, encode
from edgekd.runtimes.litert import load as load_tflite
from edgekd.runtimes.onnxruntime import load as load_onnx
from tests.export.making import make, prepared_with

#: Targets whose packages are here; and of them, those that do not take many seconds.
#: Those that take a PyTorch network; see test_tensorflow.py for the others.
OURS = [name for name in TARGETS.names if name not in TARGETS_OF.values()]
HERE = [name for name in OURS if name != "executorch" or installed(name)]
QUICK = [name for name in HERE if name != "executorch"]  # see test_executorch.py


@pytest.fixture(scope="module")
def prepared(student: nn.Module, dataset: Dataset) -> Prepared:
    return prepared_with(student, dataset.normalised("validation", [0, 1]))


@pytest.fixture(scope="module")
def calibration(dataset: Dataset) -> np.ndarray:
    return dataset.normalised("calibration")


@pytest.mark.parametrize("name", HERE)
def test_every_row_is_an_exporter(name: str) -> None:
    exporter = TARGETS.resolve(name)()
    assert exporter.runtime in ("litert", "onnxruntime", "executorch")
    for scheme in SCHEMES.names:
        plan = Plan(name, SCHEMES.resolve(scheme))
        if scheme in exporter.schemes:
            exporter.require(plan)
        else:
            with pytest.raises(ExportError, match="cannot be quantized"):
                exporter.require(plan)


def test_int8_tflite_ranges_are_those_of_the_calibration_samples(
    prepared: Prepared, calibration: np.ndarray, tmp_path: Path
) -> None:
    make("tflite", prepared, tmp_path, INT8, calibration)
    session = load_tflite(tmp_path / "model.tflite")
    given, taken = session.inputs[0], session.outputs[0]
    assert (given.name, given.dtype, given.shape) == ("input", "int8", (1, 8, 8, 1))
    assert (taken.name, taken.dtype) == ("logits", "int8")
    # Full range of min-max over all samples; an average would clip the extremes.
    assert given.scale is not None and taken.scale is not None
    low, high = min(0.0, calibration.min()), calibration.max()
    assert given.scale == pytest.approx((high - low) / 255, rel=1e-5)
    logits = prepared.predict({"input": calibration})[0]
    assert taken.scale == pytest.approx((logits.max() - logits.min()) / 255, rel=1e-4)


def test_int8_tflite_keeps_dense_layers_at_one_scale_and_names_short(
    prepared: Prepared, calibration: np.ndarray, tmp_path: Path
) -> None:
    exported = make("tflite", prepared, tmp_path, INT8, calibration)
    assert "every operator computes in 8-bit integers" in exported.notes[0]
    graph = read(exported.path.read_bytes()).subgraphs[0]
    dense = [t for t in graph.tensors if list(t.shape) == [10, 16]]
    assert [len(t.quantization.scale) for t in dense] == [1]
    convolutions = [t for t in graph.tensors if list(t.shape) == [16, 3, 3, 16]]
    assert [len(t.quantization.scale) for t in convolutions] == [16]
    assert sum(bool(t.name) for t in graph.tensors) == 2


def test_sizes_of_a_student_of_twenty_thousand_parameters(
    dataset: Dataset, calibration: np.ndarray, tmp_path: Path
) -> None:
    from edgekd.models.build import build

    model = build("resnet8", {"width": 0.5}, num_classes=10, input_shape=(1, 8, 8))
    prepared = prepared_with(model, dataset.normalised("validation", [0, 1]))
    sizes = {}
    for scheme in (NONE, FP16, INT8, INT8_DYNAMIC):
        folder = tmp_path / scheme.name
        folder.mkdir()
        make("tflite", prepared, folder, scheme, calibration)
        sizes[scheme.name] = (folder / "model.tflite").stat().st_size
    assert sizes["int8"] <= 0.40 * sizes["none"]
    assert sizes["int8-dynamic"] <= 0.40 * sizes["none"]
    assert sizes["fp16"] <= 0.60 * sizes["none"]
    # 19,714 parameters: what is no weight is at most a tenth of the float file.
    assert sizes["none"] <= 1.1 * 4 * 19_714


@pytest.mark.parametrize("scheme", [FP16, INT8_DYNAMIC])
def test_other_tflite_schemes_keep_float_inputs(
    prepared: Prepared, tmp_path: Path, dataset: Dataset, scheme: object
) -> None:
    make("tflite", prepared, tmp_path, scheme)
    session = load_tflite(tmp_path / "model.tflite")
    assert {s.dtype for s in (*session.inputs, *session.outputs)} == {"float32"}
    x = dataset.normalised("validation")
    given = session.inputs[0].model_copy(update={"layout": "nhwc"})
    y = decode(session.run([encode(x, given)])[0], session.outputs[0])
    reference = prepared.predict({"input": x})[0]
    assert (y.argmax(1) == reference.argmax(1)).mean() >= 0.98


def test_onnx_files_tell_nothing_of_this_machine(prepared: Prepared, tmp_path: Path) -> None:
    path = make("onnx", prepared, tmp_path).path
    assert [p.name for p in tmp_path.iterdir()] == ["model.onnx"]
    data = path.read_bytes()
    for secret in (b"stack_trace", b"/edgekd/", b"site-packages"):
        assert secret not in data
    graph = onnx.load(path).graph
    assert [i.name for i in graph.input] == ["input"]
    assert [o.name for o in graph.output] == ["logits"]
    assert load_onnx(path).inputs[0].shape == (None, 1, 8, 8)


@pytest.mark.parametrize("scheme", [FP16, INT8])
def test_quantized_onnx(
    prepared: Prepared, calibration: np.ndarray, dataset: Dataset, tmp_path: Path, scheme: object
) -> None:
    exported = make("onnx", prepared, tmp_path, scheme, calibration)
    assert {p.name for p in tmp_path.iterdir()} == {"model.onnx", "float.onnx"}
    assert exported.floats == tmp_path / "float.onnx"
    assert exported.notes
    operators = {node.op_type for node in onnx.load(exported.path).graph.node}
    assert ("QuantizeLinear" in operators) == (scheme == INT8)
    x = dataset.normalised("validation")
    y = load_onnx(exported.path).run([x])[0]
    assert y.dtype == np.float32
    assert (y.argmax(1) == prepared.predict({"input": x})[0].argmax(1)).mean() >= 0.98


def test_dynamic_int8_onnx_is_for_networks_without_convolutions(
    prepared: Prepared, tmp_path: Path
) -> None:
    with pytest.raises(ExportError, match="convolutions 6 to 15 times slower") as caught:
        make("onnx", prepared, tmp_path, INT8_DYNAMIC)
    assert caught.value.hint is not None and "--quantize int8" in caught.value.hint
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 4))
    x = np.random.default_rng(0).standard_normal((50, 16), dtype=np.float32)
    dense = prepared_with(model, x[:2])
    path = make("onnx", dense, tmp_path, INT8_DYNAMIC).path
    y = load_onnx(path).run([x])[0]
    reference = dense.predict({"input": x})[0]
    assert np.abs(y - reference).max() < 0.1 * np.abs(reference).max()


def test_a_batch_through_a_graph_that_holds_its_batch_of_one(
    dataset: Dataset, tmp_path: Path
) -> None:
    """ResNet's padded shortcut ends up as a slice with the batch of 1 in it.

    Resizing the file's input would run, and give other results from the second sample on.
    """
    from edgekd.models.build import build

    torch.manual_seed(0)
    model = build("resnet20", {"width": 0.25}, num_classes=10, input_shape=(1, 8, 8))
    x = dataset.normalised("validation", range(6))
    prepared = prepared_with(model, x[:2])
    path = make("tflite", prepared, tmp_path).path
    (y,) = load_tflite(path).run([np.ascontiguousarray(np.moveaxis(x, 1, -1))])
    assert np.abs(y - prepared.predict({"input": x})[0]).max() < 1e-4


class Attention(nn.Module):
    """Two layers of a vision transformer's kind; onnxruntime's own float16 crashes on it."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(1, 16, 2, 2)
        self.encoder = nn.TransformerEncoderLayer(16, 2, 32, 0.0, batch_first=True, norm_first=True)
        self.head = nn.Linear(16, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.encoder(self.patches(x).flatten(2).transpose(1, 2)).mean(1))


@pytest.mark.parametrize("scheme", [FP16, INT8])
def test_attention_in_onnx(dataset: Dataset, tmp_path: Path, scheme: object) -> None:
    torch.manual_seed(0)
    x = dataset.normalised("validation")
    prepared = prepared_with(Attention(), x[:2])
    exported = make("onnx", prepared, tmp_path, scheme, x)
    onnx.checker.check_model(onnx.load(exported.path), full_check=True)
    y, reference = load_onnx(exported.path).run([x])[0], prepared.predict({"input": x})[0]
    noise = float(((y - reference) ** 2).sum() / (reference**2).sum())
    assert noise < (1e-5 if scheme == FP16 else 1e-2)


def test_weights_too_large_for_float16_stay(tmp_path: Path) -> None:
    model = nn.Linear(16, 8)
    with torch.no_grad():
        model.weight[0, 0] = 1e6
    prepared = prepared_with(model, np.ones((2, 16), np.float32))
    path = make("onnx", prepared, tmp_path, FP16).path
    x = np.eye(16, dtype=np.float32)
    assert np.allclose(load_onnx(path).run([x])[0], prepared.predict({"input": x})[0], rtol=1e-5)


@pytest.mark.parametrize("target", QUICK)
def test_the_same_export_gives_the_same_bytes(
    prepared: Prepared, calibration: np.ndarray, tmp_path: Path, target: str
) -> None:
    found = []
    for attempt in ("one", "two"):
        folder = tmp_path / attempt
        folder.mkdir()
        exported = make(target, prepared, folder, INT8, calibration)
        found.append(exported.path.read_bytes())
    assert found[0] == found[1]


class Branching(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.sum() > 0:
            return x * 2
        return x * 3


class Unsupported(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.linalg.eigvals(x.reshape(-1, 2, 2)).real


@pytest.mark.parametrize("target", QUICK)
@pytest.mark.parametrize(
    ("model", "hint"), [(Branching(), "torch.where"), (Unsupported(), "operator")]
)
def test_networks_that_cannot_be_converted_are_explained(
    tmp_path: Path, target: str, model: nn.Module, hint: str, capfd: pytest.CaptureFixture[str]
) -> None:
    prepared = prepared_with(model, np.ones((2, 4), np.float32))
    with pytest.raises(ExportError, match=r"conversion to .* failed") as caught:
        make(target, prepared, tmp_path)
    assert caught.value.hint is not None and hint in caught.value.hint
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("system", "machine"), [("win32", "AMD64"), ("linux", "aarch64"), ("linux", "ARMV7L")]
)
def test_platforms_without_the_converter_are_told_early(
    monkeypatch: pytest.MonkeyPatch, system: str, machine: str
) -> None:
    monkeypatch.setattr(tflite, "installed", lambda package: False)
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(tflite.platform, "machine", lambda: machine)
    with pytest.raises(ExportError, match="no wheel") as caught:
        TFLiteExporter().require(Plan("tflite"))
    assert caught.value.hint is not None and "--target onnx" in caught.value.hint


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from edgekd.export import exporter

    monkeypatch.setattr(exporter, "installed", lambda package: package != "litert_torch")
    with pytest.raises(MissingExtraError, match="litert_torch") as caught:
        TFLiteExporter().require(Plan("tflite"))
    assert caught.value.hint is not None and 'pip install "edgekd[tflite]"' in caught.value.hint
    monkeypatch.setattr(exporter, "installed", lambda package: False)
    with pytest.raises(MissingExtraError, match=r"'onnx'"):
        OnnxExporter().require(Plan("onnx"))
