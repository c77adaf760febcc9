from __future__ import annotations

from typing import Any

import pytest
import torch

from edgekd.errors import ModelError
from edgekd.models import MODELS
from edgekd.models.build import build
from edgekd.models.count import macs, parameters

CIFAR = (3, 32, 32)

#: A tiny one of each, so that the tests of every network are quick.
TINY: dict[str, dict[str, Any]] = {
    "resnet8": {"width": 0.25},
    "resnet20": {"width": 0.25},
    "resnet56": {"width": 0.25},
    "wideresnet": {"depth": 10, "width": 0.25},
    "mobilenetv2": {"width": 0.25, "head": 64},
    "ds-cnn": {"width": 0.25},
    "mlp": {"hidden": [16, 8]},
    "vit": {"depth": 2, "dim": 16, "heads": 2},
    "gru": {"hidden": 16},
    "conv1d": {"width": 0.25},
}


def test_every_network_is_tested_here() -> None:
    assert set(TINY) == set(MODELS.names)


@pytest.mark.parametrize("name", MODELS.names)
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 9, 13), (1, 28, 28), (3, 32, 32)])
def test_networks_take_small_and_odd_images(name: str, shape: tuple[int, ...]) -> None:
    model = build(name, TINY[name], num_classes=5, input_shape=shape)
    for batch in (1, 3):
        assert model.eval()(torch.randn(batch, *shape)).shape == (batch, 5)


@pytest.mark.parametrize("name", MODELS.names)
def test_every_parameter_learns(name: str) -> None:
    torch.manual_seed(0)
    model = build(name, TINY[name], num_classes=5, input_shape=(1, 8, 8)).train()
    model(torch.randn(8, 1, 8, 8)).square().sum().backward()
    silent = [key for key, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert not silent


@pytest.mark.parametrize("name", MODELS.names)
def test_the_same_seed_gives_the_same_weights(name: str) -> None:
    states = []
    for _ in range(2):
        torch.manual_seed(7)
        states.append(build(name, TINY[name], num_classes=5, input_shape=(1, 8, 8)).state_dict())
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


@pytest.mark.parametrize(
    ("name", "options", "classes", "shape", "expected"),
    [
        # Published: the widely used CIFAR checkpoints (option A), He et al.'s 0.27M and 0.85M.
        ("resnet20", {}, 10, CIFAR, 269_722),
        ("resnet56", {}, 10, CIFAR, 853_018),
        # Option B adds, at 16 -> 32 and 32 -> 64, a 1x1 convolution and 2 BatchNorm vectors.
        ("resnet20", {"shortcut": "B"}, 10, CIFAR, 269_722 + 512 + 64 + 2048 + 128),
        # MLPerf Tiny's 78,666 less 480 BatchNorm statistics and 336 redundant biases.
        ("resnet8", {}, 10, CIFAR, 78_666 - 480 - 336),
        # Published implementations of Zagoruyko and Komodakis's networks.
        ("wideresnet", {"depth": 16, "width": 2}, 10, CIFAR, 691_674),
        ("wideresnet", {"depth": 40, "width": 1}, 10, CIFAR, 563_930),
        ("wideresnet", {"depth": 40, "width": 2}, 10, CIFAR, 2_243_546),
        # By hand from M5's table at 32, 32, 64 and 128 channels: filters, BatchNorm, classifier.
        (
            "conv1d",
            {},
            10,
            (1, 8000),
            32 * 80 + 64 + 32 * 32 * 3 + 64 + 64 * 32 * 3 + 128 + 128 * 64 * 3 + 256 + 1290,
        ),
        # The reference implementations for ImageNet.
        ("mobilenetv2", {}, 1000, (3, 224, 224), 3_504_872),
        ("mobilenetv2", {"width": 0.5}, 1000, (3, 224, 224), 1_968_680),
        # MLPerf Tiny's 24,908 less 1,152 BatchNorm statistics and 576 redundant biases.
        ("ds-cnn", {}, 12, (1, 49, 10), 24_908 - 1_152 - 576),
        ("mlp", {"hidden": [32, 16]}, 10, (1, 8, 8), 65 * 32 + 33 * 16 + 17 * 10),
        ("mlp", {"hidden": []}, 3, (7,), 8 * 3),
        # Patches and positions, then a block: norms, four projections, two linear layers.
        (
            "vit",
            {"depth": 3, "dim": 32, "heads": 4, "patch": 2, "expansion": 4},
            10,
            (1, 8, 8),
            5 * 32 + 16 * 32 + 3 * (4 * 32 + 4 * 33 * 32 + 33 * 128 + 129 * 32) + 64 + 330,
        ),
        # Three gates, each with weights for input and state and two biases.
        ("gru", {"hidden": 24}, 5, (1, 8, 8), 72 * (8 + 24 + 2) + 72 * (24 + 24 + 2) + 25 * 5),
        ("gru", {"hidden": 24, "layers": 1}, 5, (20, 3), 72 * (3 + 24 + 2) + 25 * 5),
    ],
)
def test_parameter_counts_are_the_published_ones(
    name: str, options: dict[str, Any], classes: int, shape: tuple[int, ...], expected: int
) -> None:
    with torch.device("cpu"):
        model = build(name, options, num_classes=classes, input_shape=shape)
    assert parameters(model) == expected


def test_macs_of_resnet8_worked_out_by_hand() -> None:
    stem = 32 * 32 * 3 * 16 * 9
    first = 32 * 32 * 2 * 16 * 16 * 9
    second = 16 * 16 * (16 * 32 * 9 + 32 * 32 * 9 + 16 * 32)
    third = 8 * 8 * (32 * 64 * 9 + 64 * 64 * 9 + 32 * 64)
    model = build("resnet8", num_classes=10, input_shape=CIFAR)
    assert macs(model, CIFAR) == stem + first + second + third + 640 == 12_501_632


def test_macs_of_dscnn_worked_out_by_hand() -> None:
    # 49x10 strides to 25x5.
    layers = 4 * 25 * 5 * (64 * 9 + 64 * 64)
    model = build("ds-cnn", num_classes=12, input_shape=(1, 49, 10))
    assert macs(model, (1, 49, 10)) == 25 * 5 * 40 * 64 + layers + 64 * 12


def test_mobilenetv2_halves_large_images_five_times_and_small_ones_less() -> None:
    for side, left in ((224, 7), (64, 4), (32, 4), (28, 4), (16, 4), (8, 4)):
        model = build(
            "mobilenetv2", TINY["mobilenetv2"], num_classes=2, input_shape=(1, side, side)
        )
        features = model.get_submodule("features").eval()
        assert features(torch.zeros(1, 1, side, side)).shape[2:] == (left, left)


@pytest.mark.parametrize(
    ("depth", "blocks"),
    [(1.0, [1, 2, 3, 4, 3, 3, 1]), (0.5, [1, 1, 2, 2, 2, 2, 1]), (1.4, [2, 3, 5, 6, 5, 5, 2])],
)
def test_depth_multiplies_the_blocks_of_every_stage(depth: float, blocks: list[int]) -> None:
    options = {**TINY["mobilenetv2"], "width": 1.0, "depth": depth}
    model = build("mobilenetv2", options, num_classes=2, input_shape=CIFAR)
    found = [m for m in model.modules() if type(m).__name__ == "InvertedResidual"]
    assert len(found) == sum(blocks)
    # A stage begins where the shortcut is missing.
    starts = [i for i, block in enumerate(found) if not block.residual]
    assert [b - a for a, b in zip(starts, [*starts[1:], len(found)], strict=True)] == blocks


@pytest.mark.parametrize(
    ("name", "options", "shape", "message"),
    [
        ("resnet8", {}, (64,), r"takes images \(C, H, W\)"),
        ("resnet8", {}, (1, 7, 8), "at least 8x8"),
        ("resnet8", {"width": 0}, CIFAR, "width is 0"),
        ("mobilenetv2", {"width": -1.0}, CIFAR, "width is -1.0"),
        ("mobilenetv2", {"depth": 0.0}, CIFAR, "depth is 0.0"),
        ("wideresnet", {"depth": 18}, CIFAR, "depth is 18"),
        ("ds-cnn", {"kernel": [3]}, CIFAR, "kernel is"),
        ("ds-cnn", {"layers": 0}, CIFAR, "layers is 0"),
        ("mlp", {"hidden": [0]}, CIFAR, "hidden is 0"),
        ("resnet20", {"shortcut": "C"}, CIFAR, "shortcut is 'C'"),
        ("vit", {"heads": 3}, CIFAR, "dim is 64, heads is 3"),
        ("vit", {"patch": 0}, CIFAR, "patch is 0"),
        ("vit", {}, (20, 3), r"takes images \(C, H, W\)"),
        ("gru", {}, (7,), r"takes sequences \(L, D\)"),
        ("gru", {"layers": 0}, CIFAR, "layers is 0"),
        ("conv1d", {}, (7,), r"takes waveforms \(C, L\)"),
        ("conv1d", {"kernel": 0}, (1, 400), "kernel is 0"),
    ],
)
def test_options_that_cannot_be(
    name: str, options: dict[str, Any], shape: tuple[int, ...], message: str
) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        build(name, options, num_classes=10, input_shape=shape, where="student")
    assert caught.value.message.startswith("student")
    assert caught.value.hint


# nn.GRU's list of weights, which torch.export sees assigned.
@pytest.mark.filterwarnings("ignore:The tensor attribute:UserWarning")
@pytest.mark.parametrize("name", MODELS.names)
def test_torch_export_keeps_the_batch_free_and_the_numbers(name: str) -> None:
    torch.manual_seed(0)
    model = build(name, TINY[name], num_classes=5, input_shape=(3, 9, 8)).eval()
    batch = torch.export.Dim("batch", min=1, max=64)
    program = torch.export.export(model, (torch.randn(2, 3, 9, 8),), dynamic_shapes=({0: batch},))
    for size in (1, 5):
        x = torch.randn(size, 3, 9, 8)
        torch.testing.assert_close(program.module()(x), model(x), rtol=0, atol=1e-6)
