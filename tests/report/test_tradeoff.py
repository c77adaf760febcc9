"""Quality against cost: the front, the choices, and who stands in which chart."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import vl_convert

from edgekd.report.axes import COSTS, QUALITIES
from edgekd.report.style import Spec
from edgekd.report.tradeoff import chooser, front, scatter
from edgekd.summary import Row, rows
from tests.synthetic_runs import make_run

COST = {axis.key: axis for axis in COSTS}
QUALITY = {axis.key: axis for axis in QUALITIES}


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> list[Row]:
    return rows(make_run(tmp_path_factory.mktemp("tradeoff") / "run", devices=("cpu", "pi4")))


def values(spec: Spec | None) -> dict[str, dict[str, object]]:
    assert spec is not None
    (found,) = spec["datasets"].values() if "datasets" in spec else (spec["data"]["values"],)
    return {value["name"]: value for value in found}


class TestFront:
    def test_by_hand(self) -> None:
        points = [(1.0, 0.90), (2.0, 0.95), (3.0, 0.94), (0.5, 0.80), (2.0, 0.91)]
        assert front(points) == {0, 1, 3}

    def test_where_more_of_both_is_better(self) -> None:
        assert front([(10.0, 0.9), (20.0, 0.8), (5.0, 0.85)], more=True) == {0, 1}

    def test_equal_points_beat_nobody(self) -> None:
        assert front([(1.0, 0.9), (1.0, 0.9), (1.0, 0.8)]) == {0, 1}


class TestScatter:
    def test_everybody_has_a_label(self, table: list[Row]) -> None:
        spec = scatter({"run": table}, "cpu", COST["latency"], QUALITY["accuracy"])
        assert spec is not None
        picture = vl_convert.vegalite_to_svg(spec)
        for name in ("teacher", "student", "tflite-fp32", "tflite-int8", "onnx-fp32", "onnx-int8"):
            assert picture.count(f">{name}</text>") == 1
        assert "log scale" in picture
        assert "less is better" in picture
        assert "var(--accent)" in picture

    def test_the_front(self, table: list[Row]) -> None:
        found = values(scatter({"run": table}, "cpu", COST["latency"], QUALITY["accuracy"]))
        # 0.032 ms at 96.8%, 0.06 ms at 97.0%, 1.9 ms at 98.3%; the rest is slower and no better.
        assert {name for name, value in found.items() if value["best"]} == {
            "tflite-int8",
            "tflite-fp32",
            "teacher",
        }

    def test_no_milliseconds_of_an_emulator(self, table: list[Row]) -> None:
        emulated = [
            replace(row, emulated=True, instructions=1000 + i) for i, row in enumerate(table)
        ]
        assert scatter({"run": emulated}, "cpu", COST["latency"], QUALITY["accuracy"]) is None
        assert scatter({"run": emulated}, "cpu", COST["memory"], QUALITY["accuracy"]) is None
        counted = scatter({"run": emulated}, "cpu", COST["instructions"], QUALITY["accuracy"])
        assert "tflite-int8" in values(counted)

    def test_what_was_measured_elsewhere_has_its_size_all_the_same(self, table: list[Row]) -> None:
        here = [row for row in table if row.kind == "artifact" or row.device != "pi4"]
        found = values(scatter({"run": here}, "pi4", COST["size"], QUALITY["accuracy"]))
        assert {"teacher", "student", "student, no teacher", "onnx-int8"} <= set(found)

    def test_stale_and_failed_rows_are_left_out(self, table: list[Row]) -> None:
        rows_now = [replace(r, status="stale") if r.name == "onnx-int8" else r for r in table]
        found = values(scatter({"run": rows_now}, "cpu", COST["size"], QUALITY["accuracy"]))
        assert "onnx-int8" not in found

    def test_one_point_is_no_comparison(self, table: list[Row]) -> None:
        alone = [row for row in table if row.name == "teacher"][:1]
        assert scatter({"run": alone}, "cpu", COST["latency"], QUALITY["accuracy"]) is None
        assert chooser({"run": alone}) is None
        assert chooser({"run": []}) is None


class TestChooser:
    def test_the_choices(self, table: list[Row]) -> None:
        found = chooser({"run": table})
        assert found is not None
        device, across, up = found.selects
        assert [*device.options] == ["cpu", "pi4"]
        # Nobody measured instructions, energy or batches.
        assert [*across.options] == ["latency", "memory", "size", "parameters", "macs"]
        assert [*up.options] == ["accuracy", "agreement"]
        assert next(iter(found.specs)) == ("cpu", "latency", "accuracy")
        assert len(found.specs) == 2 * 5 * 2

    def test_without_a_device_there_is_none_to_choose(self, tmp_path: Path) -> None:
        found = chooser({"run": rows(make_run(tmp_path / "run", devices=()))})
        assert found is not None
        assert [select.label for select in found.selects] == ["across", "up"]
        assert next(iter(found.specs)) == ("size", "accuracy")

    def test_points_of_several_runs_carry_their_names(self, table: list[Row]) -> None:
        found = chooser({"a": table, "b": table})
        assert found is not None
        picture = vl_convert.vegalite_to_svg(found.spec)
        assert ">a: tflite-int8</text>" in picture or ">b: tflite-int8</text>" in picture
        assert ">a</text>" in picture
        assert ">b</text>" in picture
