"""Budgets: every fault at once, the most specific limit wins."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekd.bench.duel import DuelSettings
from edgekd.check.budgets import DEFAULT_RELATIVE, Budget, faults_in
from edgekd.check.quantities import LATENCY_FLOOR_MS
from edgekd.errors import RecipeError
from edgekd.recipe import Recipe

NESTED: dict[str, Any] = {
    "accuracy": 0.90,
    "latency_ms_p50": 20,
    "device": {"pi4": {"accuracy": 0.80, "latency_ms_p50": 60.0}},
    "artifact": {
        "tflite-int8": {
            "accuracy": 0.70,
            "size_bytes": 60_000,
            "device": {"pi4": {"accuracy": 0.60}},
            "relative": {"accuracy_drop": 0.02},
        }
    },
    "relative": {"accuracy_drop": 0.005, "size_bytes": 1.05},
}


@pytest.mark.parametrize(
    ("artifact", "device", "expected"),
    [
        ("tflite-int8", "pi4", 0.60),
        ("tflite-int8", "cpu", 0.70),
        ("onnx-int8", "pi4", 0.80),
        ("onnx-int8", "cpu", 0.90),
        ("onnx-int8", None, 0.90),
    ],
)
def test_the_most_specific_limit_holds(artifact: str, device: str | None, expected: float) -> None:
    limit = Budget.from_dict(NESTED).find("accuracy", artifact, device)
    assert limit is not None
    assert limit.value == expected


def test_each_number_is_inherited_by_itself() -> None:
    budget = Budget.from_dict(NESTED)
    limit = budget.find("latency_ms_p50", "tflite-int8", "pi4")
    assert limit is not None
    assert (limit.value, limit.device, limit.artifact) == (60.0, "pi4", None)
    assert budget.find("size_bytes", "onnx-int8", None) is None
    assert budget.find("peak_rss_bytes", "tflite-int8", "pi4") is None


def test_relative_limits_are_their_own() -> None:
    budget = Budget.from_dict(NESTED)
    special = budget.find("accuracy", "tflite-int8", None, relative=True)
    general = budget.find("accuracy", "onnx-int8", None, relative=True)
    assert special is not None
    assert general is not None
    assert (special.value, general.value) == (0.02, 0.005)
    assert len(budget.relative) == 3
    assert len(budget.absolute) == 7
    assert budget.with_defaults() == budget


def test_defaults_only_where_nothing_relative_is_written() -> None:
    budget = Budget.from_dict({"accuracy": 0.9}).with_defaults()
    assert budget.relative == DEFAULT_RELATIVE
    assert all(limit.default for limit in budget.relative)


def test_a_floor_is_no_limit_of_its_own() -> None:
    budget = Budget.from_dict({"relative": {"latency_floor_ms": 0.2}}).with_defaults()
    assert budget.relative[1:] == DEFAULT_RELATIVE
    floor = budget.find("latency_floor_ms", "any.tflite", None, relative=True)
    assert floor is not None and floor.value == 0.2
    assert Budget.from_dict({"relative": {"latency_floor_ms": None}}).limits == ()
    assert "did you mean 'latency_floor_ms'?" in faults_in({"relative": {"latency_floor": 1}})[0]
    (fault,) = faults_in({"latency_floor_ms": 0.2})
    assert fault.startswith(".latency_floor_ms: ")


def test_the_floor_by_default_is_that_of_the_duel() -> None:
    assert DuelSettings().floor_ms == LATENCY_FLOOR_MS


def test_names_that_look_like_keys() -> None:
    raw = {"artifact": {"device": {"device": {"relative": {"accuracy": 0.5}}}}}
    (limit,) = Budget.from_dict(raw).limits
    assert (limit.artifact, limit.device, limit.relative) == ("device", "relative", False)


def test_every_fault_at_once() -> None:
    raw = {
        "size_byte": 3,
        "accuracy": 95,
        "device": {"cpu": {"size_bytes": 3, "latency_ms_p90": 2}},
        "artifact": {"a": 3, "b": {"aggreement": 0.5, "relative": {"accuracy": 0.1}}},
        "relative": {"size_bytes": 0, "latency_ms": 1.1},
    }
    faults = faults_in(raw)
    expected = {
        ".size_byte": "did you mean 'size_bytes'?",
        ".accuracy": "write 95% as 0.95",
        ".device.cpu.size_bytes": "unknown key",
        ".device.cpu.latency_ms_p90": "did you mean 'latency_ms_p50'?",
        ".artifact.a": "should be a table",
        ".artifact.b.aggreement": "did you mean 'agreement'?",
        ".artifact.b.relative.accuracy": "did you mean 'accuracy_drop'?",
        ".relative.size_bytes": "greater than 0",
        ".relative.latency_ms": "did you mean 'latency_ms_p50'?",
    }
    for where, what in expected.items():
        assert any(f.startswith(f"{where}:") and what in f for f in faults), (where, faults)
    assert len(faults) == len(expected)
    with pytest.raises(RecipeError) as caught:
        Budget.from_dict(raw, source="gate.toml")
    assert len(caught.value.faults) == len(expected)
    assert str(caught.value).startswith("gate.toml")


@pytest.mark.parametrize("key", ["size_bytes", "latency_ms_p50", "peak_rss_bytes", "accuracy"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -1, -0.5, True, "5", [5]])
def test_what_is_no_limit(key: str, value: Any) -> None:
    (fault,) = faults_in({key: value})
    assert fault.startswith(f".{key}: ")
    relative = {"accuracy": "accuracy_drop"}.get(key, key)
    (fault,) = faults_in({"relative": {relative: value}})
    assert fault.startswith(f".relative.{relative}: ")


class TestFiles:
    def test_a_budget(self, tmp_path: Path) -> None:
        path = tmp_path / "budget.toml"
        path.write_text('size_bytes = 500_000\n[artifact."tflite-int8"]\naccuracy = 0.9\n')
        budget = Budget.load(path)
        assert [(limit.metric, limit.artifact) for limit in budget.limits] == [
            ("size_bytes", None),
            ("accuracy", "tflite-int8"),
        ]
        assert budget.source == str(path)

    def test_under_its_heading(self, tmp_path: Path) -> None:
        path = tmp_path / "budget.toml"
        path.write_text("[budget]\nsize_bytes = 500_000\n")
        assert Budget.load(path).limits[0].value == 500_000

    def test_a_recipe(self) -> None:
        metrics = {limit.metric for limit in Budget.load("edgekd/recipes/digits.toml").limits}
        assert metrics >= {"accuracy", "agreement"}

    def test_not_toml(self, tmp_path: Path) -> None:
        path = tmp_path / "budget.toml"
        path.write_text("size_bytes = 500 KB\n")
        with pytest.raises(RecipeError, match="not valid TOML"):
            Budget.load(path)

    def test_missing(self, tmp_path: Path) -> None:
        with pytest.raises(RecipeError, match="cannot read"):
            Budget.load(tmp_path / "nowhere.toml")


def test_the_recipe_reports_the_budgets_faults(tiny: dict[str, Any]) -> None:
    tiny["budget"] = {"size_byte": 3, "artifact": {"a": {"accuracy": 2}}}
    with pytest.raises(RecipeError) as caught:
        Recipe.from_dict(tiny)
    wheres = {fault.partition(":")[0] for fault in caught.value.faults}
    assert wheres == {"budget.size_byte", "budget.artifact.a.accuracy"}


KEYS = st.sampled_from(
    ["accuracy", "size_bytes", "device", "artifact", "relative", "accuracy_drop", "cpu", "x.y", ""]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(KEYS, VALUES, max_size=5))
@settings(max_examples=200, deadline=None)
def test_any_tables_give_a_budget_or_faults(raw: dict[str, Any]) -> None:
    if faults_in(raw):
        with pytest.raises(RecipeError):
            Budget.from_dict(raw)
    else:
        limits = Budget.from_dict(raw).limits
        assert all(math.isfinite(limit.value) and limit.value >= 0 for limit in limits)
