"""The recipe: every fault at once, each with its key path and the closest right name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekd.errors import RecipeError
from edgekd.recipe import BUILTIN, Recipe, builtin_recipes, find_recipe
from edgekd.toml import apply_overrides, dump_toml, parse_value, read_toml


def faults_of(raw: dict[str, Any], **kwargs: Any) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        Recipe.from_dict(raw, **kwargs)
    return list(caught.value.faults)


def test_several_faults_are_reported_in_one_go(tiny: dict[str, Any]) -> None:
    tiny["train"]["epocs"] = 3
    tiny["train"]["batch_size"] = "many"
    tiny["loss"][1]["name"] = "kdd"
    tiny["student"]["model"] = "resnet9"
    tiny["teacher"][0]["hiden"] = [3]
    tiny["data"]["source"] = "digit"
    tiny["surprise"] = 1
    faults = faults_of(tiny)
    expected = {
        "train.epocs": "did you mean 'epochs'?",
        "train.batch_size": "not 'many'",
        "loss[1].name": "Did you mean 'kd'",
        "student.model": "'resnet8'",
        "teacher[0].hiden": "did you mean 'hidden'?",
        "data.source": "Did you mean 'digits'?",
        "surprise": "unknown key",
    }
    for where, what in expected.items():
        assert any(f.startswith(f"{where}:") and what in f for f in faults), (where, faults)
    assert len(faults) == len(expected)


@pytest.mark.parametrize(
    ("key", "value", "where"),
    [
        ("train.epochs", 0, "train.epochs"),
        ("train.epochs", 2.5, "train.epochs"),
        ("train.learning_rate", "fast", "train.learning_rate"),
        ("train.learning_rate", float("nan"), "train.learning_rate"),
        ("train.select", "worst", "train.select"),
        ("train.optimizer", "adan", "train.optimizer"),
        ("train.schedule", "cosin", "train.schedule"),
        ("seed", -1, "seed"),
        ("seed", True, "seed"),
        ("loss.1.temperature", "hot", "loss[1].temperature"),
        ("loss.0.weight", -1.0, "loss[0].weight"),
        ("teacher", [{"model": "mlp", "copies": 0}], "teacher[0].copies"),
        ("teacher", [{"model": "mlp", "view": "theirs"}], "teacher[0].view"),
        ("ensemble", {"average": "votes"}, "ensemble.average"),
        ("loss", [], "loss"),
        ("loss", "kd", "loss"),
        ("data", 3, "data"),
        ("train.augment", ["flop"], "train.augment[0]"),
        ("export", [{"target": "tflight"}], "export[0].target"),
        ("export", [{"target": "tflite", "quantize": "int7"}], "export[0].quantize"),
        ("budget", {"size_byte": 3}, "budget"),
        ("benchmark.devices", ["cpuu"], "benchmark.devices"),
        ("student.hidden", "wide", "student.hidden"),
        ("data.split.test", -0.1, "data.split.test"),
    ],
)
def test_one_fault(tiny: dict[str, Any], key: str, value: Any, where: str) -> None:
    node: Any = tiny
    *parents, last = key.split(".")
    for part in parents:
        node = node[int(part)] if isinstance(node, list) else node.setdefault(part, {})
    node[int(last) if isinstance(node, list) else last] = value
    faults = faults_of(tiny)
    assert any(fault.startswith(where) for fault in faults), faults


def test_a_missing_table_is_named(tiny: dict[str, Any]) -> None:
    del tiny["student"]
    assert "student: missing" in faults_of(tiny)


def test_import_paths_are_checked(tiny: dict[str, Any]) -> None:
    tiny["student"] = {"model": "collections:OrderedDictt"}
    tiny["loss"][0]["name"] = "no_such_package.losses:Mine"
    faults = faults_of(tiny)
    assert any("student" in f and "OrderedDict" in f for f in faults), faults
    assert any("loss[0]" in f and "no_such_package" in f for f in faults), faults


def test_overrides(tiny: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "tiny.toml"
    path.write_text(dump_toml(tiny))
    recipe = Recipe.load(path, ["train.epochs=7", "loss.1.temperature=2.5", "name=other"])
    assert (recipe.train.epochs, recipe.loss[1].options, recipe.name) == (
        7,
        {"temperature": 2.5},
        "other",
    )
    with pytest.raises(RecipeError) as caught:
        Recipe.load(path, ["train.epoch=7", "epochs", "loss.9.weight=1"])
    assert len(caught.value.faults) == 3


@pytest.mark.parametrize("name", builtin_recipes())
def test_builtin_recipes_are_valid_and_round_trip(name: str, tmp_path: Path) -> None:
    recipe = Recipe.load(name, options=True)
    path = tmp_path / "again.toml"
    path.write_text(recipe.to_toml())
    again = Recipe.load(path, options=True)
    assert again == recipe
    assert again.to_toml() == recipe.to_toml()


def test_the_starter_names_only_keys_that_exist() -> None:
    raw = read_toml(BUILTIN / "starter.toml.txt")
    raw["teacher"][0] = {"model": "wideresnet"}  # its import path is the user's to fill in
    Recipe.from_dict(raw)


def test_recipes_are_frozen(tiny: dict[str, Any]) -> None:
    recipe = Recipe.from_dict(tiny)
    with pytest.raises(ValueError, match="frozen"):
        recipe.train.epochs = 1  # type: ignore[misc]


class TestFiles:
    def test_missing(self) -> None:
        with pytest.raises(RecipeError, match="no such file"):
            Recipe.load("nowhere.toml")

    def test_close_name(self) -> None:
        with pytest.raises(RecipeError, match="Did you mean 'digits'"):
            find_recipe("digit")

    def test_not_toml(self, tmp_path: Path) -> None:
        path = tmp_path / "bad.toml"
        path.write_text("name = digits\n")
        with pytest.raises(RecipeError, match=r"not valid TOML.*line 1"):
            Recipe.load(path)

    def test_not_text(self, tmp_path: Path) -> None:
        path = tmp_path / "bad.toml"
        path.write_bytes(b"\xff\xfe\x00")
        with pytest.raises(RecipeError, match="cannot read"):
            Recipe.load(path)

    def test_a_folder(self, tmp_path: Path) -> None:
        with pytest.raises(RecipeError, match="no such file"):
            Recipe.load(tmp_path)


KEYS = st.text("abcdefgh_", min_size=1, max_size=6)
VALUES = st.recursive(
    st.booleans() | st.integers(-1000, 1000) | st.text("abc \"'\\#=\n", max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(KEYS, VALUES, max_size=4))
@settings(max_examples=80, deadline=None)
def test_any_tables_give_faults_and_never_a_crash(raw: dict[str, Any]) -> None:
    with pytest.raises(RecipeError):
        Recipe.from_dict(raw, options=False)


@given(st.integers(-(2**40), 2**40) | st.booleans() | st.text("abc \"'\\#=\n", max_size=12))
@settings(max_examples=80, deadline=None)
def test_overrides_of_toml_values(value: Any) -> None:
    text = dump_toml({"value": value}).partition("=")[2].strip()
    raw: dict[str, Any] = {}
    assert apply_overrides(raw, [f"a.b={text}"]) == []
    assert raw == {"a": {"b": value}}


def test_bare_words_are_strings() -> None:
    assert parse_value("a=b") == "a=b"


def test_copies_of_a_teacher_count_one_by_one(tiny: dict[str, Any]) -> None:
    """The place of a table here is the number by which a run calls its teacher."""
    several = [{"model": "mlp", "copies": 2}, {"model": "gru", "weight": 3.0}]
    recipe = Recipe.from_dict({**tiny, "teacher": several}, options=False)
    assert [spec.model for spec in recipe.every_teacher] == ["mlp", "mlp", "gru"]
    assert [spec.weight for spec in recipe.every_teacher] == [1.0, 1.0, 3.0]
