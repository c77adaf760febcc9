"""Suggested pairs for networks of many kinds, and the command that lists layers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner, Result

from edgekd.cli.app import app
from edgekd.distill.suggest import overview, suggest_pairs
from edgekd.errors import EdgekdError
from edgekd.losses.adapters import make_adapter
from edgekd.models.build import build
from edgekd.models.layers import block_ends, capturable, without_idle
from edgekd.recipe import Recipe
from edgekd.toml import dump_toml

NETWORKS: dict[str, tuple[str, dict[str, Any]]] = {
    "cnn": ("resnet8", {}),
    "deep": ("resnet20", {"width": 0.5}),
    "wide": ("wideresnet", {"depth": 16}),
    "mobile": ("mobilenetv2", {"width": 0.5}),
    "keywords": ("ds-cnn", {}),
    "vit": ("vit", {"patch": 4, "depth": 4}),
    "small vit": ("vit", {"patch": 4, "depth": 2, "dim": 32}),
    "gru": ("gru", {"layers": 3}),
    "mlp": ("mlp", {"hidden": [32, 16]}),
}


def layers(kind: str) -> dict[str, tuple[int, ...]]:
    name, options = NETWORKS[kind]
    model = build(name, options, num_classes=10, input_shape=(1, 16, 16))
    return without_idle(model, capturable(model, torch.zeros(2, 1, 16, 16)))


@pytest.mark.parametrize(
    ("student", "teacher", "expected"),
    [
        ("cnn", "wide", [("layer1", "stages.0"), ("layer2", "stages.1"), ("layer3", "stages.2")]),
        ("cnn", "deep", [(f"layer{i}", f"layer{i}") for i in (1, 2, 3)]),
        ("small vit", "vit", [("blocks.0", "blocks.1"), ("blocks.1", "blocks.3")]),
        ("gru", "gru", [(f"layers.{i}", f"layers.{i}") for i in range(3)]),
        ("mlp", "mlp", [("2", "2"), ("4", "4")]),
        ("mlp", "cnn", []),
        (
            "mobile",
            "wide",
            [("features.8", "stages.0"), ("features.15", "stages.1"), ("features.19", "stages.2")],
        ),
    ],
)
def test_suggestions(student: str, teacher: str, expected: list[tuple[str, str]]) -> None:
    assert suggest_pairs(layers(student), layers(teacher)) == expected


@pytest.mark.parametrize("student", NETWORKS)
@pytest.mark.parametrize("teacher", NETWORKS)
def test_whatever_is_suggested_fits(student: str, teacher: str) -> None:
    ours, theirs = layers(student), layers(teacher)
    pairs = suggest_pairs(ours, theirs)
    assert len({there for _, there in pairs}) == len(pairs)
    for here, there in pairs:
        adapter = make_adapter(ours[here], theirs[there], where="x")
        assert adapter(torch.zeros(2, *ours[here])).shape == (2, *theirs[there])


def test_blocks_of_published_names() -> None:
    bert = {
        "bert.embeddings": (6, 8),
        **{
            f"bert.encoder.layer.{i}{part}": (6, 8)
            for i in range(2)
            for part in (".attention.self.query", ".attention.self", ".attention", "")
        },
        "bert.encoder": (6, 8),
        "bert.pooler.dense": (8,),
        "bert.pooler": (8,),
        "classifier": (2,),
    }
    assert block_ends(bert) == ["bert.encoder.layer.0", "bert.encoder.layer.1"]
    wrapped = {f"0.{name}": shape for name, shape in bert.items()} | {"0": (2,)}
    assert block_ends(wrapped) == ["0.bert.encoder.layer.0", "0.bert.encoder.layer.1"]
    assert block_ends({}) == []


def test_overview_is_of_the_recipes_data(tiny: dict[str, Any]) -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    tiny["student"] = {"model": "gru", "hidden": 8}
    tiny["teacher"] = [{"model": "gru", "hidden": 16}]
    found = overview(Recipe.from_dict(tiny))
    assert found.student.shapes["layers.0"] == (8, 8)
    assert found.teacher.shapes["layers.1"] == (8, 16)
    assert found.pairs == (("layers.0", "layers.0"), ("layers.1", "layers.1"))
    assert torch.equal(torch.rand(2), expected)
    with pytest.raises(EdgekdError, match="overrides go with"):
        overview(Recipe.from_dict(tiny), overrides=["seed=1"])


def edgekd(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def test_the_command_prints_both_networks_and_lines_to_paste(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    tiny["student"] = {"model": "resnet8", "width": 0.25}
    tiny["teacher"] = [{"model": "resnet20"}]
    path = tmp_path / "r.toml"
    path.write_text(dump_toml(tiny))
    done = edgekd("layers", str(path))
    assert done.exit_code == 0, done.output
    assert "student (resnet8)" in done.stdout and "teacher (resnet20)" in done.stdout
    assert (
        'layers = [["layer1", "layer1"], ["layer2", "layer2"], ["layer3", "layer3"]]' in done.stdout
    )
    found = json.loads(edgekd("layers", str(path), "--json").stdout)
    assert found["student"]["layers"]["layer2"] == [8, 4, 4]
    assert found["pairs"][0] == ["layer1", "layer1"]
    # What it prints is what a recipe takes.
    tiny["loss"].append({"name": "hint", "layers": found["pairs"]})
    Recipe.from_dict(tiny)


def test_the_command_says_where_nothing_fits(tiny: dict[str, Any], tmp_path: Path) -> None:
    tiny["teacher"] = [{"model": "resnet8"}]
    path = tmp_path / "r.toml"
    path.write_text(dump_toml(tiny))
    done = edgekd("layers", str(path))
    assert done.exit_code == 0, done.output
    assert "No layers of the two networks fit each other." in done.stdout
    assert edgekd("layers", "nowhere.toml").exit_code == 2
