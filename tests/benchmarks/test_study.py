"""The study of when distillation works: its plan, its tables, and one real network of each kind."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import binomtest, pearsonr, ttest_rel

from benchmarks import study
from benchmarks.study_parts import driver, page
from benchmarks.study_parts.cells import AUGMENT, Cell, Setting, plan
from benchmarks.study_parts.collect import collect, students
from benchmarks.study_parts.train import answers, recipe, train, weights
from edgekd.recipe import Recipe

SETTING = Setting()
ROOTED = replace(SETTING, data={"source": "idx", "root": "fashion_mnist"})
TINY = Setting(
    data={"source": "digits"},
    labels={"10%": 80, "100%": 800},
    passes=1,
    student={"model": "mlp", "hidden": [8]},
    teachers={"small": {"model": "mlp", "hidden": [16]}, "large": {"model": "mlp"}},
    temperatures=(1.0, 4.0),
    mean=0.3,
    std=0.37,
)


def test_all_fractions_take_as_many_steps() -> None:
    steps = {n: SETTING.epochs(n) * -(-n // SETTING.batch_size) for n in SETTING.labels.values()}
    assert steps == {590: 277 * 10, 5900: 30 * 93, 59000: 3 * 922}
    assert max(steps.values()) / min(steps.values()) < 1.02


def test_every_student_comes_after_its_teacher_and_has_a_twin() -> None:
    cells = plan(SETTING, "ABCDEF")
    assert len({cell.name for cell in cells}) == len(cells)
    for number, cell in enumerate(cells):
        teacher = cell.teacher_cell(SETTING)
        if teacher is not None:
            assert cells.index(teacher) < number and cell.twin in cells


def test_the_plan_holds_what_it_says() -> None:
    """3 fractions x (3 + 3 + 3 levels with the middle one shared) x 2 seeds; then all of few."""
    main = [cell for cell in plan(SETTING, "AB") if cell.kind == "student"]
    assert len(main) == 3 * 7 * 2
    few = {c for c in plan(SETTING, "AD") if c.kind == "student" and c.labels == "1%"}
    assert len(few) == 27
    arms = [cell for cell in plan(SETTING, "C") if cell.kind == "student"]
    assert {cell.arm for cell in arms} == {"all", "unlabelled"} and len(arms) == 2 * 2 * 2
    assert len(plan(SETTING)) == len(plan(SETTING, "ABCD"))


def test_recipes_are_valid(tmp_path: Path) -> None:
    for cell in plan(ROOTED, "AC"):
        found = Recipe.from_dict(recipe(cell, ROOTED, tmp_path))
        assert (not found.teacher) == (cell.kind != "student")
        assert found.train.select == "last" and found.seeds == (cell.seed,)
        assert (found.train.mix is not None) == (cell.augment == "strong")


def test_temperatures_and_seeds_share_a_cache_of_as_many_views_as_epochs(tmp_path: Path) -> None:
    cell = Cell("student", "1%", "basic", 0, "resnet8", 4.0)
    assert cell.cache == replace(cell, seed=1, temperature=1.0).cache
    assert cell.cache != replace(cell, augment="none").cache
    found = Recipe.from_dict(recipe(cell, ROOTED, tmp_path))
    assert found.teacher[0].cache is not None
    assert found.teacher[0].cache.views == found.train.epochs == 277


def test_a_student_waits_for_its_teacher_and_for_the_cache() -> None:
    one = Cell("student", "1%", "basic", 0, "resnet8", 4.0)
    other, elsewhere = replace(one, temperature=1.0), replace(one, augment="strong")
    teacher = one.teacher_cell(SETTING)
    assert teacher is not None
    assert driver.ready([one, one.twin], [teacher], [], SETTING) == one.twin
    assert driver.ready([one, other], [], [teacher.name], SETTING) == one
    assert driver.ready([other, elsewhere], [one], [teacher.name], SETTING) == elsewhere
    assert driver.ready([other], [one], [teacher.name], SETTING) is None


def test_another_root_is_the_same_setting_and_other_steps_are_not() -> None:
    assert replace(SETTING, data={"source": "idx", "root": "x"}).sha256 == SETTING.sha256
    assert replace(SETTING, passes=9).sha256 != SETTING.sha256
    assert Setting.from_json(SETTING.to_json()).sha256 == SETTING.sha256


@pytest.fixture
def synthetic(tmp_path: Path) -> Callable[[float], Path]:
    """Write rows and answers of a whole plan of which the accuracies are known."""

    def make(gain: float) -> Path:
        random = np.random.default_rng(0)
        lines = []
        for cell in plan(SETTING, "AB"):
            lift = gain * (1 + (cell.temperature == 10.0)) if cell.kind == "student" else 0.0
            count = round(1000 * (0.7 + lift)) + 3 * cell.seed
            right = random.permutation(np.arange(1000) < count)
            top = np.where(right, 0, 1 + random.integers(0, 9, 1000)).astype(np.uint8)
            path = answers(cell, tmp_path)
            path.parent.mkdir(exist_ok=True)
            np.savez(path, right=right, top=top)
            lines.append(_row(cell, right.mean()))
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (tmp_path / driver.ROWS).write_text(text + '{"cut')
        return tmp_path

    return make


def _row(cell: Cell, accuracy: float) -> dict[str, Any]:
    known = {"setting": SETTING.sha256, "cell": asdict(cell), "name": cell.name}
    numbers = {"epochs": 3, "train_seconds": 1.0, "wall_seconds": 2.0, "parameters": 10, "macs": 9}
    samples = {"train_samples": 590, "test_samples": 1000}
    return {**known, **numbers, **samples, "test_accuracy": float(accuracy)}


def test_gains_and_tests_are_those_of_other_libraries(synthetic: Callable[[float], Path]) -> None:
    folder = synthetic(0.05)
    result = collect(SETTING, folder)
    line = next(line for line in result["cells"] if line["temperature"] == 10.0)
    assert line["gain"] == pytest.approx(0.1) and line["seeds"] == [0, 1]
    one = next(one for one in students(SETTING, folder) if one.cell.temperature == 10.0)
    ours, theirs = (np.load(answers(c, folder))["right"] for c in (one.cell, one.cell.twin))
    only = int((ours & ~theirs).sum()), int((theirs & ~ours).sum())
    assert one.p == pytest.approx(binomtest(only[0], sum(only)).pvalue)
    effects = {(e["labels"], e["factor"], e["level"]): e for e in result["effects"]}
    hot = effects["1%", "temperature", 10.0]
    assert hot["pairs"] == 2 and hot["difference"] == pytest.approx(0.05)
    known = [one for one in students(SETTING, folder) if one.cell.labels == "1%"]
    r, _ = pearsonr([one.agreement for one in known], [one.accuracy for one in known])
    assert result["agreement"]["1%"]["r"] == pytest.approx(r)


def test_effects_are_paired_with_the_cell_that_differs_in_one_factor(
    synthetic: Callable[[float], Path],
) -> None:
    folder = synthetic(0.03)
    gains = {one.cell: one.gain for one in students(SETTING, folder)}
    middle = Cell("student", "10%", "basic", 0, "resnet20", 4.0)
    pairs = [
        [gains[replace(middle, seed=seed, teacher=name)] for seed in (0, 1)]
        for name in ("wrn-16-2", "resnet20")
    ]
    effect = next(
        effect
        for effect in collect(SETTING, folder)["effects"]
        if (effect["labels"], effect["level"]) == ("10%", "wrn-16-2")
    )
    assert effect["against"] == "resnet20"
    assert effect["difference"] == pytest.approx(np.mean(pairs[0]) - np.mean(pairs[1]))
    expected = ttest_rel(*pairs).pvalue
    assert effect["t_p"] is None or effect["t_p"] == pytest.approx(expected)


def test_the_page_says_where_it_failed(synthetic: Callable[[float], Path], tmp_path: Path) -> None:
    result = collect(SETTING, synthetic(-0.1))
    text = page.render(result)
    cells = len(result["cells"])
    worst = min(line["gain"] for line in result["cells"])
    assert f"in {cells} of {cells} cells the student with a teacher was worse" in text
    assert f"by up to {-100 * worst:.2f} points" in text and "beyond chance in" in text
    clear = sum(line["verdict"] == "worse" for line in result["cells"])
    assert clear and f"beyond chance in {clear}, " in text


def test_the_page_says_where_it_did_not_fail(synthetic: Callable[[float], Path]) -> None:
    text = page.render(collect(SETTING, synthetic(0.1)))
    assert "cells the student was worse." in text and "was worse than without" not in text
    assert "student is better beyond chance" in text


def test_plots_are_small_and_hold_every_fraction(synthetic: Callable[[float], Path]) -> None:
    plots = pytest.importorskip("benchmarks.study_parts.plots", exc_type=ImportError)
    drawn = plots.draw(collect(SETTING, synthetic(0.05)))
    assert set(drawn) == {"gain", "agreement"}
    for name, svg in drawn.items():
        assert len(svg) < 100_000 and svg.startswith("<svg"), name
        assert all(labels in svg for labels in SETTING.labels)
    assert all(name in drawn["gain"] for name in (*SETTING.teachers, *AUGMENT))


def test_a_real_teacher_student_and_twin(tmp_path: Path) -> None:
    student = Cell("student", "10%", "none", 0, "large", 4.0)
    teacher = student.teacher_cell(TINY)
    assert teacher is not None
    rows = {cell: train(cell, TINY, tmp_path) for cell in (teacher, student.twin, student)}
    assert weights(teacher, tmp_path).is_file() and not any((tmp_path / "runs").iterdir())
    for cell, row in rows.items():
        right = np.load(answers(cell, tmp_path))["right"]
        assert row["test_accuracy"] == pytest.approx(right.mean())
        assert row["train_samples"] == 80
    tops = [np.load(answers(cell, tmp_path))["top"] for cell in (student, teacher)]
    assert rows[student]["agreement"] == pytest.approx((tops[0] == tops[1]).mean())
    text = "".join(json.dumps(row) + "\n" for row in rows.values())
    (tmp_path / driver.ROWS).write_text(text)
    (found,) = students(TINY, tmp_path)
    assert found.gain == pytest.approx(
        rows[student]["test_accuracy"] - rows[student.twin]["test_accuracy"]
    )


def test_a_cell_that_was_killed_is_trained_by_the_next_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first call's time is up at once: nothing is left but what the second one needs."""
    cell = Cell("twin", "10%", "none")
    said: list[str] = []
    wanted = {"jobs": 1, "tell": said.append}
    assert not driver.train_missing([cell], TINY, tmp_path, seconds=-1.0, **wanted)  # type: ignore[arg-type]
    row = {"setting": TINY.sha256, "name": cell.name, "test_accuracy": 0.5, "wall_seconds": 1.0}
    monkeypatch.setattr(driver, "_start", lambda *_: _Ended(tmp_path, cell, row))
    assert driver.train_missing([cell], TINY, tmp_path, seconds=None, **wanted)  # type: ignore[arg-type]
    assert driver.read_rows(tmp_path, TINY) == {cell.name: row}
    assert driver.train_missing([cell], TINY, tmp_path, seconds=None, **wanted)  # type: ignore[arg-type]
    assert said[-1] == "1 of 1 cells are there"


class _Ended:
    """A process that has written its row."""

    returncode = 0

    def __init__(self, folder: Path, cell: Cell, row: dict[str, Any]) -> None:
        (folder / "logs").mkdir(exist_ok=True)
        (folder / "logs" / f"{cell.name}.row").write_text(json.dumps(row))

    def poll(self) -> int:
        return 0


@pytest.mark.skipif(not study.RESULT.exists(), reason="the study was not run yet")
def test_the_page_is_what_the_committed_result_says() -> None:
    result = json.loads(study.RESULT.read_text())
    assert page.render(result) in study.PAGE.read_text()
