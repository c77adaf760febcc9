"""The charts: drawn by Vega itself, they show the labels and numbers that they should."""

from __future__ import annotations

import pytest
import vl_convert

from edgekd.report import charts, curves
from edgekd.report.labels import Box, place
from edgekd.report.style import Spec
from edgekd.rundir import Run
from edgekd.summary import rows
from tests.synthetic_runs import make_run, metric_lines


def svg(spec: Spec | None) -> str:
    assert spec is not None
    return vl_convert.vegalite_to_svg(spec)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return make_run(tmp_path_factory.mktemp("charts") / "run", devices=("cpu", "pi4"))


def test_bars_keep_their_order() -> None:
    picture = svg(charts.bars({"b": (1.0, "one"), "a": (3.0, "three"), "zero": (0.0, "none")}))
    at = [picture.index(f">{text}</text>") for text in ("one", "three", "none")]
    assert at == sorted(at)


def test_the_students_of_several_runs() -> None:
    spec = curves.of_runs(
        {"first": metric_lines(2, baseline=True), "second": metric_lines(1, True)}
    )
    picture = svg(spec)
    assert ">first</text>" in picture
    assert ">second</text>" in picture
    assert spec is not None
    (values,) = spec["datasets"].values() if "datasets" in spec else (spec["data"]["values"],)
    assert len(values) == 3 * 30  # students alone: no teacher, no twin
    assert curves.of_runs({"nobody": []}) is None


def test_sizes_are_in_the_order_of_the_table(run: Run) -> None:
    picture = svg(charts.sizes(rows(run)))
    expected = ["1.20 MB", "82.0 KB", "90.0 KB", "41.0 KB", "84.0 KB", "30.0 KB"]
    at = [picture.index(f">{size}</text>") for size in expected]
    assert at == sorted(at)
    assert charts.sizes([]) is None


def test_a_line_of_one_epoch_is_seen_as_a_point() -> None:
    lines = metric_lines(1, baseline=False)
    hidden = 'opacity="0"'
    assert hidden in svg(curves.validation_accuracy(lines))
    assert hidden not in svg(
        curves.validation_accuracy([line for line in lines if line["epoch"] == 1])
    )


def test_loss_by_term() -> None:
    spec = curves.loss_by_term(metric_lines(2, baseline=True))
    picture = svg(spec)
    for name in ("total", "cross-entropy", "kd"):
        assert f">{name}</text>" in picture
    assert spec is not None
    (values,) = spec["datasets"].values() if "datasets" in spec else (spec["data"]["values"],)
    assert len(values) == 2 * 30 * 3
    by_key = {(v["series"], v["seed"], v["epoch"]): v["value"] for v in values}
    assert by_key["total", 1, 7] == by_key["kd", 1, 7] + by_key["cross-entropy", 1, 7]


def test_one_term_has_no_total() -> None:
    lines = [{**line, "phase": "student"} for line in metric_lines(0, baseline=False)]
    assert ">total</text>" not in svg(curves.loss_by_term(lines))


def test_a_term_named_total() -> None:
    lines = [
        {"phase": "student", "seed": 0, "epoch": e, "loss": 2.0, "terms": {"total": 1.0, "kd": 1.0}}
        for e in (1, 2)
    ]
    assert ">sum of all terms</text>" in svg(curves.loss_by_term(lines))


def test_other_curves() -> None:
    lines = metric_lines(2, baseline=True)
    accuracy = svg(curves.validation_accuracy(lines))
    for name in ("student", "student, no teacher", "teacher"):
        assert f">{name}</text>" in accuracy
    others = svg(curves.loss_of_others(lines))
    assert ">student</text>" not in others
    assert curves.loss_by_term([]) is None
    assert curves.loss_of_others([]) is None
    assert curves.validation_accuracy([]) is None


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_curves_that_do_not_move(value: float) -> None:
    lines = [
        {"phase": "student", "seed": 0, "epoch": e, "loss": 0.0, "terms": {"kd": 0.0},
         "validation_accuracy": value}
        for e in (1, 2, 3)
    ]  # fmt: skip
    svg(curves.validation_accuracy(lines))
    svg(curves.loss_by_term(lines))


class TestLabels:
    def test_apart(self) -> None:
        far = [Box(9.0, 0.1, "far"), Box(0.1, 0.9, "away")]
        places = place([*far, *[Box(4.5, 0.5, "the same place")] * 4], log=False)
        assert set(places[2:]) == {"above", "below", "left", "right"}

    def test_too_many_are_left_to_their_tooltips(self) -> None:
        places = place([Box(1.0, 0.5, "the same place")] * 6, log=True)
        assert places.count("none") == 2
        assert set(places) == {"above", "below", "left", "right", "none"}
