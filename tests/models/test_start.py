from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from edgekd.errors import ModelError
from edgekd.models.build import build
from edgekd.models.slicing import leading
from edgekd.models.start import Rule, chosen, start_from

IMAGE = (1, 8, 8)


def network(name: str, seed: int = 0, **options: Any) -> nn.Module:
    torch.manual_seed(seed)
    model = build(name, options, num_classes=5, input_shape=IMAGE)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            module.running_mean.normal_()
    return model.eval()


def test_the_same_network_copied_whole_gives_the_same_logits() -> None:
    x = torch.randn(4, *IMAGE)
    for name in ("resnet8", "vit", "gru", "mlp", "ds-cnn"):
        teacher, student = network(name, 0), network(name, 1)
        assert not torch.equal(student(x), teacher(x))
        started = start_from(student, teacher.state_dict())
        assert torch.equal(student(x), teacher(x))
        assert started.copied.parameters == sum(p.numel() for p in teacher.parameters())
        assert started.sliced.tensors == started.random.tensors == 0


def test_every_second_block_of_a_transformer() -> None:
    teacher, student = network("vit", 0, depth=6, dim=16), network("vit", 1, depth=3, dim=16)
    started = start_from(student, teacher.state_dict(), layers="every-second")
    ours, theirs = student.state_dict(), teacher.state_dict()
    assert started.left == ()
    for name, value in ours.items():
        for block in range(3):
            name = name.replace(f"blocks.{block}.", f"BLOCKS.{2 * block}.", 1)
        assert torch.equal(value, theirs[name.replace("BLOCKS", "blocks")]), name


@pytest.mark.parametrize(
    ("rule", "picked"), [("first", [0, 1]), ("last", [3, 4]), ("uniform", [0, 4])]
)
def test_the_other_rules(rule: Rule, picked: list[int]) -> None:
    teacher, student = network("vit", 0, depth=5, dim=16), network("vit", 1, depth=2, dim=16)
    start_from(student, teacher.state_dict(), layers=rule)
    for ours, theirs in enumerate(picked):
        for name in ("attention.query.weight", "mlp.2.bias", "norm1.weight"):
            assert torch.equal(
                student.get_parameter(f"blocks.{ours}.{name}"),
                teacher.get_parameter(f"blocks.{theirs}.{name}"),
            )


def test_rules_run_over_the_blocks_of_every_stage() -> None:
    teacher, student = network("resnet56", 0, width=0.25), network("resnet20", 1, width=0.25)
    started = start_from(student, teacher.state_dict(), layers="uniform")
    assert started.left == ()
    for stage in (1, 2, 3):
        for ours, theirs in enumerate((0, 4, 8)):
            assert torch.equal(
                student.get_buffer(f"layer{stage}.{ours}.bn2.running_mean"),
                teacher.get_buffer(f"layer{stage}.{theirs}.bn2.running_mean"),
            )


@pytest.mark.parametrize(
    ("rule", "ours", "theirs", "expected"),
    [
        ("every-second", 6, 12, [0, 2, 4, 6, 8, 10]),
        ("every-second", 3, 5, [0, 2, 4]),
        ("every-second", 4, 4, [0, 1, 2, 3]),
        ("first", 2, 5, [0, 1]),
        ("last", 2, 5, [3, 4]),
        ("uniform", 4, 12, [0, 4, 7, 11]),
        ("uniform", 1, 12, [0]),
        ("uniform", 5, 5, [0, 1, 2, 3, 4]),
    ],
)
def test_chosen(rule: Rule, ours: int, theirs: int, expected: list[int]) -> None:
    assert chosen(rule, ours, theirs) == expected


def test_uniform_never_takes_a_layer_twice() -> None:
    for theirs in range(1, 40):
        for ours in range(1, theirs + 1):
            found = chosen("uniform", ours, theirs)
            assert sorted(set(found)) == found
            assert found[-1] < theirs


@pytest.mark.parametrize(("rule", "ours", "theirs"), [("every-second", 4, 6), ("last", 3, 2)])
def test_more_layers_than_there_are(rule: Rule, ours: int, theirs: int) -> None:
    teacher = network("vit", 0, depth=theirs, dim=16)
    student = network("vit", 1, depth=ours, dim=16)
    with pytest.raises(
        ModelError, match=rf"'blocks' of t: {ours} layers .* from {theirs}"
    ) as caught:
        start_from(student, teacher.state_dict(), layers=rule, what="t")
    assert caught.value.hint


def test_a_table_copies_what_it_names_and_nothing_else() -> None:
    teacher, student = network("vit", 0, depth=4, dim=16), network("vit", 1, depth=2, dim=16)
    before = {name: value.clone() for name, value in student.state_dict().items()}
    table = {"blocks.0": "blocks.3", "blocks.0.norm1": "blocks.1.norm1", "norm.bias": "norm.bias"}
    with torch.no_grad():
        for number, parameter in enumerate(teacher.parameters()):
            parameter.add_(number)
    started = start_from(student, teacher.state_dict(), layers=table)
    theirs = teacher.state_dict()
    for name, value in student.state_dict().items():
        source = {
            "blocks.0.norm1.weight": "blocks.1.norm1.weight",
            "blocks.0.norm1.bias": "blocks.1.norm1.bias",
            "norm.bias": "norm.bias",
        }.get(name, name.replace("blocks.0", "blocks.3") if "blocks.0" in name else "")
        assert torch.equal(value, theirs[source] if source else before[name]), name
    assert "linear.weight" in started.left
    assert started.copied.tensors == sum("blocks.0" in name for name in before) + 1


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"block.0": "blocks.0"}, "the student has no weights at 'block.0'"),
        ({"blocks.0": "blocks.9"}, "the source has no weights at 'blocks.9'"),
    ],
)
def test_a_table_of_names_that_are_not_there(table: dict[str, str], message: str) -> None:
    model = network("vit", 0, depth=2, dim=16)
    with pytest.raises(ModelError, match=message) as caught:
        start_from(model, model.state_dict(), layers=table)
    assert "'blocks.0'" in (caught.value.hint or "")


def test_slices_take_the_leading_channels_and_statistics() -> None:
    teacher, student = network("resnet8", 0, width=1.0), network("resnet8", 1, width=0.5)
    plain = network("resnet8", 1, width=0.5)
    theirs = teacher.state_dict()
    started = start_from(student, theirs, slice=True)
    ours = student.state_dict()
    assert torch.equal(ours["layer2.0.conv1.weight"], theirs["layer2.0.conv1.weight"][:16, :8])
    assert torch.equal(ours["bn1.running_mean"], theirs["bn1.running_mean"][:8])
    assert torch.equal(ours["linear.weight"], theirs["linear.weight"][:, :32])
    assert torch.equal(ours["linear.bias"], theirs["linear.bias"])
    assert started.left == ()
    # Without slicing only what no width changes is copied: the counters and the last bias.
    started = start_from(plain, theirs)
    assert started.copied.parameters == 5
    assert started.sliced.tensors == 0
    total = sum(p.numel() for p in plain.parameters())
    assert started.random.parameters == total - 5


def test_a_chain_of_leading_slices_is_a_network_without_the_other_channels() -> None:
    """Silencing the channels that were cut gives the sliced network's outputs exactly."""
    teacher, student = network("resnet8", 0, width=1.0), network("resnet8", 1, width=0.5)
    start_from(student, teacher.state_dict(), slice=True)
    ours = student.state_dict()
    with torch.no_grad():
        for name, module in teacher.named_modules():
            if isinstance(module, nn.BatchNorm2d):
                kept = len(ours[f"{name}.weight"])
                module.weight[kept:] = 0.0
                module.bias[kept:] = 0.0
            elif isinstance(module, nn.Conv2d) and name.endswith("shortcut"):
                module.weight[len(ours[f"{name}.weight"]) :] = 0.0
    x = torch.randn(3, *IMAGE)
    torch.testing.assert_close(student(x), teacher(x))


def test_recurrent_weights_are_sliced_gate_by_gate() -> None:
    wide, narrow = nn.GRU(3, 6), nn.GRU(3, 4)
    start_from(narrow, wide.state_dict(), slice=True)
    for gate in range(3):
        ours, theirs = slice(4 * gate, 4 * gate + 4), slice(6 * gate, 6 * gate + 4)
        assert torch.equal(narrow.weight_hh_l0[ours], wide.weight_hh_l0[theirs, :4])
        assert torch.equal(narrow.bias_ih_l0[ours], wide.bias_ih_l0[theirs])


class Positioned(nn.Module):
    def __init__(self, tokens: int, dim: int) -> None:
        super().__init__()
        self.positions = nn.Parameter(torch.randn(tokens, dim))
        self.table = nn.Embedding(tokens, dim)


def test_only_channels_are_sliced() -> None:
    def cut(network: nn.Module, name: str, shape: tuple[int, ...]) -> Tensor | None:
        return leading(network, name, torch.randn(shape))

    model = Positioned(4, 6)
    assert cut(model, "positions", (4, 9)) is not None
    assert cut(model, "positions", (5, 6)) is None
    assert cut(model, "table.weight", (5, 6)) is None
    assert cut(model, "positions", (4, 5)) is None
    assert cut(model, "positions", (4, 6, 1)) is None
    grouped = nn.Conv2d(8, 8, 3, groups=2)
    assert cut(grouped, "weight", (16, 8, 3, 3)) is None
    assert cut(nn.Conv2d(8, 8, 3, groups=8), "weight", (16, 1, 3, 3)) is not None
    assert cut(nn.Conv2d(8, 8, 3), "weight", (16, 8, 5, 5)) is None


def test_nothing_fits() -> None:
    with pytest.raises(ModelError, match="nothing of the teacher fits the student") as caught:
        start_from(network("mlp", hidden=[7]), network("gru").state_dict(), what="the teacher")
    assert "slice = true" in (caught.value.hint or "")


def test_the_report_is_a_line() -> None:
    teacher, student = network("mlp", hidden=[16, 8]), network("mlp", hidden=[12, 8])
    started = start_from(student, teacher.state_dict(), slice=True)
    # 64x12 and 12x8 weights and 12 biases are sliced; the rest has the same shape.
    assert str(started) == (
        "3 tensors (53 parameters) copied, 3 tensors (876 parameters) sliced, "
        "0 tensors (0 parameters) stay random"
    )
