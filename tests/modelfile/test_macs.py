"""Counts against published figures, against counts by hand, and against PyTorch's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from edgekd.modelfile.macs import count
from edgekd.modelfile.reading import read
from edgekd.models import count as counting
from tests.modelfile.onnx_files import model, node


@pytest.mark.parametrize(
    ("name", "published", "digits"),
    [
        # MLPerf Tiny v0.5, Banbury et al. 2021: 12.5 M, 2.7 M; the autoencoder's layers by hand.
        ("mlperf_tiny/ic_pretrainedResnet_int8", 12.5e6, 3),
        ("mlperf_tiny/ic_pretrainedResnet_fp32", 12.5e6, 3),
        ("mlperf_tiny/kws_ref_model_int8", 2.7e6, 2),
        ("mlperf_tiny/ad01_int8", 2 * 640 * 128 + 6 * 128 * 128 + 2 * 128 * 8, 6),
        # Sandler et al. 2018, table 4: 300 M. Howard et al. 2017: 0.25 MobileNet-128, 14 M.
        ("coral/mobilenet_v2_1.0_224_quant", 300e6, 2),
        ("coral/mobilenet_v1_0.25_128_quant", 14e6, 2),
    ],
)
def test_published_figures(name: str, published: float, digits: int, data_root: Path) -> None:
    found = count(read(data_root / f"{name}.tflite"))
    assert float(f"{found.total:.{digits}g}") == float(f"{published:.{digits}g}")
    assert found.unknown == ()


def _weights(**shapes: tuple[int, ...]) -> dict[str, Any]:
    return {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}


BY_HAND = [
    # 4 outputs of 6x6, each from 2 of 4 channels and a 3x3 window.
    (
        [node("Conv", ["x", "w"], ["y"], group=2)],
        [1, 4, 8, 8],
        _weights(w=(4, 2, 3, 3)),
        4 * 36 * 2 * 9,
    ),
    # Every input value goes into 5 channels and a 2x2 window.
    (
        [node("ConvTranspose", ["x", "w"], ["y"], strides=[2, 2])],
        [1, 3, 4, 4],
        _weights(w=(3, 5, 2, 2)),
        3 * 16 * 5 * 4,
    ),
    ([node("Conv", ["x", "w"], ["y"])], [1, 3, 10], _weights(w=(4, 3, 3)), 4 * 8 * 9),
    (
        [node("Gemm", ["x", "w"], ["y"], transA=1, transB=1)],
        [7, 2],
        _weights(w=(5, 7)),
        2 * 5 * 7,
    ),
    ([node("MatMul", ["x", "w"], ["y"])], [2, 3, 4], _weights(w=(4, 5)), 2 * 3 * 4 * 5),
    (
        [node("Einsum", ["x", "w"], ["y"], equation="bij,jk->bik")],
        [2, 3, 4],
        _weights(w=(4, 5)),
        2 * 3 * 4 * 5,
    ),
    # 6 steps of 2 sequences, 3 gates of 4: inputs of 5 and states of 4.
    (
        [node("GRU", ["x", "w", "r"], ["y"], hidden_size=4)],
        [6, 2, 5],
        _weights(w=(1, 12, 5), r=(1, 12, 4)),
        12 * (12 * 5 + 12 * 4),
    ),
    (
        [node("LSTM", ["x", "w", "r"], ["y"], hidden_size=4, direction="bidirectional")],
        [6, 2, 5],
        _weights(w=(2, 16, 5), r=(2, 16, 4)),
        12 * 2 * (16 * 5 + 16 * 4),
    ),
    ([node("Relu", ["x"], ["y"])], [1, 4], {}, 0),
]


@pytest.mark.parametrize(
    ("nodes", "shape", "weights", "expected"), BY_HAND, ids=[n[0][0].op_type for n in BY_HAND]
)
def test_counts_by_hand(
    nodes: list[Any], shape: list[int], weights: dict[str, Any], expected: int
) -> None:
    made = model(nodes, {"x": shape}, {"y": []}, weights)
    made.graph.output[0].type.tensor_type.ClearField("shape")
    found = count(read(made.SerializeToString()))
    assert (found.total, found.unknown) == (expected, ())


def test_shapes_that_the_graph_computes() -> None:
    """A reshape by computed sizes, as exporters write it where the batch is free."""
    weights: dict[str, Any] = {
        **_weights(w=(8, 5)),
        "zero": np.array([0]), "one": np.array([1]), "two": np.array([2]), "three": np.array([3]),
    }  # fmt: skip
    nodes = [
        node("Shape", ["x"], ["s"]),
        node("Slice", ["s", "zero", "one"], ["n"]),
        node("Slice", ["s", "one", "two"], ["h"]),
        node("Slice", ["s", "two", "three"], ["c"]),
        node("Mul", ["h", "c"], ["hc"]),
        node("Concat", ["n", "hc"], ["flat"], axis=0),
        node("Reshape", ["x", "flat"], ["r"]),
        node("MatMul", ["r", "w"], ["y"]),
    ]
    made = model(nodes, {"x": ["n", 2, 4]}, {"y": ["n", 5]}, weights)
    graph = read(made.SerializeToString())
    assert count(graph).total == 40
    assert graph.outputs[0].shape == (None, 5)
    assert len(graph.main.operators) == 8


def test_what_cannot_be_known_is_said() -> None:
    nodes = [node("MatMul", ["x", "w"], ["y"]), node("Mystery", ["y"], ["z"], domain="com.x")]
    made = model(nodes, {"x": ["n", "length", 4]}, {"z": []}, _weights(w=(4, 5)))
    found = count(read(made.SerializeToString()))
    assert found.total == 0
    assert found.unknown == ("MatMul", "Mystery")


class Mixed(nn.Module):
    """A convolution in groups, a transposed one, a product and a dense layer."""

    def __init__(self) -> None:
        super().__init__()
        self.grouped = nn.Conv2d(4, 8, 3, stride=2, padding=1, groups=2)
        self.up = nn.ConvTranspose2d(8, 4, 2, stride=2)
        self.dense = nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.up(torch.relu(self.grouped(x))).flatten(2)
        y: torch.Tensor = self.dense((x @ x.transpose(1, 2)).repeat(1, 1, 2))
        return y


def _export(network: nn.Module, example: torch.Tensor, path: Path) -> None:
    torch.onnx.export(
        network.eval(), (example,), path, dynamo=True, external_data=False, verbose=False,
        dynamic_shapes=({0: "batch"},),
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_counts_of_pytorch(tmp_path: Path) -> None:
    network = Mixed()
    _export(network, torch.zeros(2, 4, 8, 8), tmp_path / "m.onnx")
    found = count(read(tmp_path / "m.onnx"))
    assert found.total == counting.macs(network, (4, 8, 8))
    assert found.unknown == ()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("resnet8", (3, 32, 32)),
        ("mobilenetv2", (3, 32, 32)),
        ("ds-cnn", (1, 49, 10)),
        ("conv1d", (3, 64)),
        ("vit", (3, 32, 32)),
        ("gru", (3, 64)),
    ],
)
def test_counts_of_the_zoo_in_both_formats(
    name: str, shape: tuple[int, ...], tmp_path: Path
) -> None:
    import litert_torch

    from edgekd.models.build import build

    network = build(name, num_classes=10, input_shape=shape).eval()
    expected = counting.macs(network, shape)
    _export(network, torch.zeros(2, *shape), tmp_path / "m.onnx")
    litert_torch.convert(network, (torch.zeros(1, *shape),)).export(str(tmp_path / "m.tflite"))
    assert count(read(tmp_path / "m.onnx")).total == expected
    # The first state of a GRU is zero: a converter may leave out what each of the two layers
    # multiplies with it, 64 x 3 * 64.
    spared = {0, 2 * 64 * 192} if name == "gru" else {0}
    assert expected - count(read(tmp_path / "m.tflite")).total in spared
