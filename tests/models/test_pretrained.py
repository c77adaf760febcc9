"""Folders of transformers: tiny networks of each kind, saved here and read back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from edgekd.data.load import load_dataset
from edgekd.distill.named import build_tutor, named_teachers
from edgekd.distill.stage import examine
from edgekd.distill.suggest import overview
from edgekd.errors import ModelError, ModelFileError, RecipeError
from edgekd.models.pretrained import load_pretrained
from edgekd.recipe import DataSpec, Recipe

transformers = pytest.importorskip("transformers")

VIT = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "image_size": 8,
    "patch_size": 4,
    "num_channels": 1,
    "num_labels": 10,
}


def images(path: Path, **changes: Any) -> Path:
    """Save a tiny vision transformer for the digits."""
    torch.manual_seed(0)
    config = transformers.ViTConfig(**{**VIT, **changes})
    transformers.ViTForImageClassification(config).save_pretrained(path)
    return path


def named(path: Path, names: list[str]) -> Path:
    file = path / "config.json"
    config = json.loads(file.read_text())
    config["id2label"] = {str(number): name for number, name in enumerate(names)}
    config["label2id"] = {name: number for number, name in enumerate(names)}
    file.write_text(json.dumps(config))
    return path


def recipe(path: Path, **keys: Any) -> Recipe:
    loss = keys.pop("loss", {"name": "kd"})
    return Recipe.from_dict(
        {
            "teacher": [{"file": str(path), **keys}],
            "student": {"model": "vit", "dim": 8, "depth": 2, "heads": 2},
            "loss": [loss],
            "train": {"doctor": "warn", "threads": 1},
        }
    )


def test_its_layers_can_be_captured_and_no_gradient_reaches_it(tmp_path: Path) -> None:
    path = images(tmp_path / "vit")
    pairs = overview(recipe(path)).pairs
    assert len(pairs) == 2 and pairs[0][1].startswith("vit.")
    layers = {"name": "hint", "layers": [list(pairs[0])]}
    found = {finding.check: finding.status for finding in examine(recipe(path, loss=layers))}
    assert found["teacher at rest"] == "ok"
    assert found["balance of terms"] == "ok"


def test_its_own_label_order_is_used(tmp_path: Path) -> None:
    dataset = load_dataset(DataSpec())
    x = torch.from_numpy(dataset.normalised("test", range(4)))
    plain = images(tmp_path / "plain")
    logits = build_tutor(named_teachers(recipe(plain))[0], dataset).model.eval()(x)
    reverse = named(images(tmp_path / "reverse"), list("9876543210"))
    assert load_pretrained(reverse).classes == tuple("9876543210")
    found = build_tutor(named_teachers(recipe(reverse))[0], dataset).model.eval()(x)
    torch.testing.assert_close(found, logits.flip(-1))


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    dataset = load_dataset(DataSpec())

    def refused(path: Path, **keys: Any) -> ModelError:
        with pytest.raises(ModelError) as caught:
            build_tutor(named_teachers(recipe(path, **keys))[0], dataset)
        return caught.value

    other = named(images(tmp_path / "other"), [f"digit {n}" for n in range(10)])
    assert "none of them is '0'" in refused(other).message
    twelve = images(tmp_path / "twelve", num_labels=12)
    assert "has 12 classes, the data has 10" in refused(twelve).message
    with pytest.raises(RecipeError, match="no output for the class '9'"):
        names = [*"012345678", "x", "y", "z"]
        build_tutor(named_teachers(recipe(twelve, classes=names))[0], dataset)
    scaled = images(tmp_path / "scaled")
    said = {"image_mean": [0.5], "image_std": [0.5], "rescale_factor": 1 / 255}
    (scaled / "preprocessor_config.json").write_text(json.dumps(said))
    assert "input = {mean = [0.5], std = [0.5]}" in str(refused(scaled).hint)
    build_tutor(named_teachers(recipe(scaled, input={"mean": [0.5], "std": [0.5]}))[0], dataset)


def test_folders_that_are_no_classifier(tmp_path: Path) -> None:
    config = transformers.ViTConfig(**VIT)
    transformers.ViTModel(config).save_pretrained(tmp_path / "body")
    with pytest.raises(ModelFileError, match="holds ViTModel, not a classifier"):
        load_pretrained(tmp_path / "body")
    file = tmp_path / "body" / "config.json"
    said = json.loads(file.read_text()) | {"architectures": ["ViTForImageClassification"]}
    file.write_text(json.dumps(said))
    with pytest.raises(ModelError, match=r"lacks 2 of the network's tensors: classifier\.bias"):
        load_pretrained(tmp_path / "body")
    (images(tmp_path / "empty") / "model.safetensors").unlink()
    with pytest.raises(ModelFileError, match="transformers cannot load"):
        load_pretrained(tmp_path / "empty")
    (tmp_path / "empty" / "config.json").write_text("{")
    with pytest.raises(ModelFileError, match="cannot read"):
        load_pretrained(tmp_path / "empty")


def test_sounds_have_no_channel_axis_and_texts_are_whole_numbers(tmp_path: Path) -> None:
    config = transformers.ASTConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_length=32,
        num_mel_bins=16,
        num_labels=3,
    )
    transformers.ASTForAudioClassification(config).save_pretrained(tmp_path / "ast")
    network = load_pretrained(tmp_path / "ast").network
    with torch.no_grad():
        assert network(torch.zeros(2, 1, 32, 16)).logits.shape == (2, 3)
    bert = transformers.BertConfig(
        vocab_size=20,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        num_labels=2,
    )
    transformers.BertForSequenceClassification(bert).save_pretrained(tmp_path / "bert")
    network = load_pretrained(tmp_path / "bert").network
    with torch.no_grad():
        floats = network(torch.full((2, 1, 6), 3.0)).logits
        assert torch.equal(floats, network(torch.full((2, 6), 3)).logits)
