"""Files of which a part stays in float, or whose ends are other integers: looked at from inside."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from torch import Tensor, nn

from edgekd.data.split import Dataset
from edgekd.errors import ExportError
from edgekd.export import TARGETS, tflite
from edgekd.export import onnx as onnx_target
from edgekd.export.exporter import Exported
from edgekd.export.plan import Plan
from edgekd.export.prepare import Prepared, prepare
from edgekd.export.seam import converting
from edgekd.export.surface import Surface, surface
from edgekd.quantize.calibration import CalibrationPlan
from edgekd.quantize.flatbuffer import floats_in, read
from edgekd.quantize.profiles import CPU, MCU, PI_LEGACY
from edgekd.quantize.schemes import FP16, INT8, INT8_WEIGHT_ONLY, NONE
from edgekd.runtimes import RUNTIMES
from edgekd.runtimes.codec import decode, encode

_MODULES = {"tflite": tflite, "onnx": onnx_target}


@dataclass
class Bench:
    """Converts once, quantizes often."""

    target: str
    prepared: Prepared
    surface: Surface
    calibration: np.ndarray
    folder: Path
    made: int = 0

    def export(self, **plan: Any) -> Exported:
        self.made += 1
        directory = self.folder / str(self.made)
        directory.mkdir()
        return TARGETS.resolve(self.target)().export(
            self.surface,
            Plan(self.target, **plan),
            calibration={"input": self.calibration},
            directory=directory,
        )

    def outputs(self, path: Path, x: np.ndarray) -> np.ndarray:
        session = RUNTIMES.resolve(TARGETS.resolve(self.target)().runtime)(path)
        spec = session.inputs[0].model_copy(update={"layout": self.surface.layouts["input"]})
        return decode(session.run([encode(x, spec)])[0], session.outputs[0])

    def noise(self, path: Path, x: np.ndarray) -> float:
        reference = self.prepared.predict({"input": x})[0]
        return float(((self.outputs(path, x) - reference) ** 2).mean())


def bench(
    target: str, model: nn.Module, dataset: Dataset, folder: Path, patch: pytest.MonkeyPatch
) -> Bench:
    exporter = TARGETS.resolve(target)()
    prepared = prepare(model, {"input": dataset.normalised("validation", [0, 1])})
    shown = surface(prepared, layout=exporter.image_layout, batch=exporter.batch)
    with converting("the test's conversion"):
        found = _MODULES[target].convert(shown)
    patch.setattr(_MODULES[target], "convert", lambda surface: copy.deepcopy(found))
    return Bench(target, prepared, shown, dataset.normalised("calibration"), folder)


@pytest.fixture(scope="module", params=["tflite", "onnx"])
def both(
    request: pytest.FixtureRequest,
    student: nn.Module,
    dataset: Dataset,
    tmp_path_factory: pytest.TempPathFactory,
) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp(request.param)
        yield bench(request.param, student, dataset, folder, patch)


def float_kinds(made: Bench, path: Path) -> Counter[str]:
    """What computes on float weights: TFLite's operators, ONNX's nodes with float initializers."""
    if made.target == "tflite":
        return Counter(name for name, _ in floats_in(path.read_bytes()))
    graph = onnx.load(path).graph
    large = {one.name for one in graph.initializer if one.data_type == 1 and len(one.dims) > 1}
    return Counter(node.op_type for node in graph.node if large & set(node.input))


def test_a_layer_stays_in_float(both: Bench, dataset: Dataset) -> None:
    """ResNet's first convolution, and the block with three more."""
    exported = both.export(scheme=INT8, keep_float=("conv1", "layer2.*.conv*", "bn1"))
    found = float_kinds(both, exported.path)
    # The first one has one input channel: TFLite calls it depthwise.
    assert found["CONV_2D"] + found["DEPTHWISE_CONV_2D"] + found["Conv"] == 3
    assert any("bn1" in note for note in exported.notes)
    x = dataset.normalised("validation")
    assert both.noise(exported.path, x) < both.noise(both.export(scheme=INT8).path, x)


def test_the_last_layer_in_float_keeps_the_file_s_ends(both: Bench, dataset: Dataset) -> None:
    exported = both.export(scheme=INT8, keep_float=("linear",))
    kinds = float_kinds(both, exported.path)
    assert set(kinds) == {"FULLY_CONNECTED" if both.target == "tflite" else "Gemm"}
    session = RUNTIMES.resolve("litert" if both.target == "tflite" else "onnxruntime")
    output = session(exported.path).outputs[0]
    assert (output.name, output.dtype) == (
        "logits",
        "int8" if both.target == "tflite" else "float32",
    )


def test_layers_in_float16_files_can_stay_in_float32(both: Bench) -> None:
    half = both.export(scheme=FP16).path.stat().st_size
    mixed = both.export(scheme=FP16, keep_float=("layer3",)).path.stat().st_size
    # Its three convolutions hold 3,968 weights, two bytes each.
    assert mixed - half == pytest.approx(2 * 3968, rel=0.15)


def test_a_name_that_is_none(both: Bench) -> None:
    with pytest.raises(ExportError, match="no such layer"):
        both.export(scheme=INT8, keep_float=("layer9",))
    with pytest.raises(ExportError, match="nothing of it is an operator"):
        both.export(scheme=INT8, keep_float=("bn1",))


@pytest.mark.parametrize("io", ["int8", "uint8", "float32"])
def test_the_ends_of_a_file_can_be_other_numbers(both: Bench, dataset: Dataset, io: Any) -> None:
    exported = both.export(scheme=INT8, io=io)
    runtime = RUNTIMES.resolve("litert" if both.target == "tflite" else "onnxruntime")
    session = runtime(exported.path)
    specs = (session.inputs[0], session.outputs[0])
    assert [(spec.name, spec.dtype) for spec in specs] == [("input", io), ("logits", io)]
    assert all((spec.scale is None) == (io == "float32") for spec in specs)
    x = dataset.normalised("validation")
    reference = both.export(scheme=INT8, io="int8" if both.target == "tflite" else None)
    found, expected = both.outputs(exported.path, x), both.outputs(reference.path, x)
    if both.target == "tflite":
        assert np.array_equal(found, expected)
    else:
        # onnxruntime fuses graphs with uint8 and int8 ends into other kernels.
        assert np.abs(found - expected).max() <= 4 * (session.outputs[0].scale or 0.2)


def test_levels_of_uint8_are_those_of_int8(both: Bench) -> None:
    runtime = RUNTIMES.resolve("litert" if both.target == "tflite" else "onnxruntime")
    one, other = (runtime(both.export(scheme=INT8, io=io).path) for io in ("int8", "uint8"))
    for signed, unsigned in ((one.inputs, other.inputs), (one.outputs, other.outputs)):
        assert signed[0].scale == unsigned[0].scale
        assert (signed[0].zero_point or 0) + 128 == unsigned[0].zero_point


def test_ends_that_stay_float_in_onnx_are_named(both: Bench) -> None:
    if both.target == "tflite":
        pytest.skip("TFLite puts operators around whatever stands there")
    with pytest.raises(ExportError, match="the output 'logits' is not quantized"):
        both.export(scheme=INT8, io="int8", keep_float=("linear",))


def test_rare_values_far_away_spoil_min_max_and_not_the_percentile(
    both: Bench, dataset: Dataset
) -> None:
    """One pixel in 3,000 is ten times too bright, as in a sensor with faults."""
    clean, x = both.calibration, dataset.normalised("validation")
    generator = np.random.default_rng(0)
    both.calibration = np.concatenate([dataset.normalised("train")[:320]])
    for sample in generator.choice(320, 6, replace=False):
        both.calibration[sample, 0, 4, 4] = 10 * clean.max()
    try:
        noise = {
            method: both.noise(
                both.export(
                    scheme=INT8,
                    calibration=CalibrationPlan(method, percentile=99.9),  # type: ignore[arg-type]
                ).path,
                x,
            )
            for method in ("min-max", "percentile")
        }
    finally:
        both.calibration = clean
    assert noise["percentile"] < 0.6 * noise["min-max"]


def test_weights_alone_in_eight_bits(student: nn.Module, both: Bench, dataset: Dataset) -> None:
    if both.target != "tflite":
        pytest.skip("ONNX files have no such scheme")
    exported = both.export(scheme=INT8_WEIGHT_ONLY)
    x = dataset.normalised("validation")
    found = both.outputs(exported.path, x)
    reference = both.prepared.predict({"input": x})[0]
    assert (found.argmax(1) == reference.argmax(1)).mean() >= 0.99
    types = {int(tensor.type) for tensor in read(exported.path.read_bytes()).subgraphs[0].tensors}
    assert {0, 9} <= types  # float32 and int8


class Sine(nn.Module):
    """Has an operator without integer kernels between two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(64, 16)
        self.wave = Wave()
        self.last = nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.wave(self.first(x.flatten(1))))


class Wave(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.sin()


def test_integers_only_names_what_stays_float(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = bench("tflite", Sine(), dataset, tmp_path, monkeypatch)
    with pytest.raises(ExportError, match=r"stay in float: SIN \(wave\)"):
        made.export(scheme=INT8, profile=MCU)
    with pytest.raises(ExportError, match=r"FULLY_CONNECTED \(first\), SIN \(wave\)"):
        made.export(scheme=INT8, profile=MCU, keep_float=("first",))


_TWICE = """
import hashlib, pathlib, sys
import numpy as np, torch
from torch import nn
from edgekd.export import TARGETS
from edgekd.export.plan import Plan
from edgekd.export.prepare import prepare
from edgekd.export.surface import surface
from edgekd.quantize import SCHEMES
torch.manual_seed(0)
torch.set_num_threads(1)
x = np.random.default_rng(0).standard_normal((32, 1, 8, 8), dtype=np.float32)
net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(),
                    nn.Linear(144, 16), nn.GELU(), nn.Linear(16, 4))
dense = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 4))
for target in ("tflite", "onnx"):
    exporter = TARGETS.resolve(target)()
    for scheme in exporter.schemes:
        model = dense if scheme == "int8-dynamic" else net
        shown = surface(prepare(model, {"input": x[:2]}), layout=exporter.image_layout,
                        batch=exporter.batch)
        folder = pathlib.Path(sys.argv[1], target, scheme)
        folder.mkdir(parents=True)
        keep = () if scheme in ("none", "int8-dynamic") else ("4",)
        made = exporter.export(shown, Plan(target, SCHEMES.resolve(scheme), keep_float=keep),
                               calibration={"input": x}, directory=folder)
        print(target, scheme, hashlib.sha256(made.path.read_bytes()).hexdigest())
"""


@pytest.mark.slow
def test_every_target_and_scheme_gives_the_same_bytes_in_every_process(tmp_path: Path) -> None:
    answers = []
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", _TWICE, str(tmp_path / seed)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        answers.append(done.stdout.splitlines())
    assert len(answers[0]) == 9
    assert answers[0] == answers[1]


@pytest.mark.slow
def test_quantized_sizes_of_a_network_over_200_kb(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgekd.models.build import build

    model = build("resnet8", {}, num_classes=10, input_shape=(1, 8, 8))
    made = bench("tflite", model, dataset, tmp_path, monkeypatch)
    sizes = {
        scheme.name: made.export(scheme=scheme).path.stat().st_size
        for scheme in (NONE, INT8, INT8_WEIGHT_ONLY, FP16)
    }
    assert sizes["none"] > 200_000
    assert sizes["int8"] <= 0.30 * sizes["none"]
    assert sizes["int8-weight-only"] <= 0.30 * sizes["none"]
    assert sizes["fp16"] <= 0.55 * sizes["none"]


class Ratio(nn.Module):
    """Divides, which tflite-runtime 2.14 cannot in integers."""

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)
        return x[:, :10] / (x[:, 10:20] ** 2 + 1)


def test_the_profile_says_which_operators_stay_in_float(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = bench("tflite", Ratio(), dataset, tmp_path, monkeypatch)
    kinds = [
        {name for name, _ in floats_in(made.export(scheme=INT8, profile=profile).path.read_bytes())}
        for profile in (CPU, PI_LEGACY)
    ]
    assert kinds == [set(), {"DIV"}]
