"""The evidence: plans, trainings that are killed and go on, statistics, tables."""

from __future__ import annotations

import json
import sys
import time
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.evidence import page, recipes, train
from benchmarks.evidence.__main__ import main
from benchmarks.evidence.children import run_child, stoppable
from benchmarks.evidence.collect import collect, summarise
from benchmarks.evidence.places import Places
from benchmarks.evidence.plan import Plan, load_plan
from benchmarks.evidence.recipes import faults_of, recipe_of, teacher_marks
from benchmarks.evidence.rows import append_row, read_answers, read_rows, write_answers
from edgekd.errors import RecipeError, RunError
from edgekd.recipe import Recipe
from edgekd.storage import process_lock

PLAN = """
name = "tiny"
title = "Digits, tiny"
recipe = "digits"
goal = {what = "int8 accuracy", at_least = 0.9}
seeds = [0, 1, 2]
common = ["train.epochs=4"]
[[arm]]
name = "best"
[[arm]]
name = "no-teacher"
set = ["loss=[{name='cross-entropy'}]", "teacher=[]"]
why = "labels only"
[[arm]]
name = "slow"
seeds = [0]
set = ["train.learning_rate=1e-4", "train.mix.alpha=1.0"]
"""


@pytest.fixture
def places(tmp_path: Path) -> Places:
    """Folders of one test, with one plan."""
    places = Places(
        tmp_path,
        *(tmp_path / name for name in ("plans", "work", "results")),
        *(tmp_path / name for name in ("students", "docs")),
    )
    for folder in (places.plans, places.docs):
        folder.mkdir()
    (places.plans / "tiny.toml").write_text(PLAN)
    return places


def test_the_order_of_runs(places: Places) -> None:
    """Cut short after any seed, every arm that has that seed has been trained."""
    keys = [job.key for job in load_plan("tiny", places).jobs()]
    assert keys[:3] == ["best-0", "no-teacher-0", "slow-0"]
    assert keys[3:] == ["best-1", "no-teacher-1", "best-2", "no-teacher-2"]


def test_every_fault_of_a_plan_at_once(places: Places) -> None:
    wrong = PLAN.replace('name = "best"', 'name = "slow"').replace("at_least = 0.9", "over = 'x'")
    (places.plans / "tiny.toml").write_text(wrong)
    with pytest.raises(RecipeError) as raised:
        load_plan("tiny", places)
    for part in (
        "two are called 'slow'",
        "'best'",
        "at_least and at_most",
        "over goes with",
        "'x'",
    ):
        assert part in raised.value.message
    (places.plans / "tiny.toml").write_text(PLAN + "colour = 3\n" + 'oops = "x"\n')
    with pytest.raises(RecipeError, match=r"(?s)colour.*oops"):
        load_plan("tiny", places)
    with pytest.raises(RecipeError, match="no such plan"):
        load_plan("other", places)


def test_all_runs_share_the_teacher_of_the_recipe(places: Places) -> None:
    """Another learning rate for the student, or another seed, is no other teacher."""
    plan = load_plan("tiny", places)
    made = {job.key: recipe_of(plan, job, places) for job in plan.jobs()}
    plain = Recipe.load("digits", ["train.epochs=4"])
    marks = {key: teacher_marks(recipe) for key, recipe in made.items()}
    assert marks["best-0"] == marks["best-2"] == marks["slow-0"] == teacher_marks(plain)
    assert marks["no-teacher-0"] == []
    slow = made["slow-0"]
    assert slow.train.mix is not None and slow.teacher[0].train["mix"] is False
    assert (slow.train.learning_rate, slow.teacher[0].train["learning_rate"]) == (1e-4, 4e-3)
    assert made["best-2"].train.seeds == (2,) and made["best-2"].seed == plain.seed
    assert not any(recipe.train.baseline for recipe in made.values())
    assert faults_of(plan, places) == []


def test_another_teacher_must_be_meant(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    """A recipe of its own may bring another teacher; an override of train may not."""
    path = places.plans / "tiny.toml"
    (places.plans / "x.toml").write_text(
        Recipe.load("digits").to_toml().replace("depth = 10", "depth = 16")
    )
    path.write_text(
        PLAN.replace(
            'set = ["train.learning_rate=1e-4", "train.mix.alpha=1.0"]', 'recipe = "x.toml"'
        )
    )
    assert faults_of(load_plan("tiny", places), places) == []
    path.write_text(PLAN.replace("train.learning_rate=1e-4", "train.nothing=1"))
    (fault,) = faults_of(load_plan("tiny", places), places)
    assert "arm slow" in fault and "nothing" in fault
    # What a teacher cannot be kept from taking over makes another one of it.
    monkeypatch.setattr(recipes, "_can_be_off", lambda name: False)
    path.write_text(PLAN)
    (fault,) = faults_of(load_plan("tiny", places), places)
    assert "arm slow: would train 1 teacher" in fault
    path.write_text(PLAN + "own_teacher = true\n")
    assert faults_of(load_plan("tiny", places), places) == []


FAKE = '''
"""Stands in for `edgekd distill` and for scoring: it is killed after two of four epochs."""
import json, os, signal, sys
from pathlib import Path

words = sys.argv[1:]
if words[1] == "benchmarks.evidence.score":
    rows = Path("work") / words[2] / "rows.jsonl"
    with rows.open("a") as file:
        file.write(json.dumps({"job": words[3]}) + "\\n")
    sys.exit()
path = Path(words[words.index("--out" if "--out" in words else "--resume") + 1])
path.mkdir(parents=True, exist_ok=True)
if "--out" in words:
    assert not any(path.iterdir()), "edgekd refuses a folder that is not empty"
    (path / "recipe.toml").write_text(Path(words[3]).read_text())
    if (Path("work") / "early").exists():
        (Path("work") / "early").unlink()
        os.kill(os.getpid(), signal.SIGKILL)
manifest = {
    "status": "incomplete", "id": path.name, "name": "x", "recipe_sha256": "0" * 64,
    "provenance": {"created": "", "edgekd": "", "python": "", "platform": ""},
}
(path / "manifest.json").write_text(json.dumps(manifest))
log = path / "metrics.jsonl"
while True:
    done = len(log.read_text().splitlines()) if log.exists() else 0
    if done == 4:
        break
    if done == 2 and "--out" in words:
        os.kill(os.getpid(), signal.SIGKILL)
    with log.open("a") as file:
        file.write(json.dumps({"epoch": done, "pid": os.getpid()}) + "\\n")
(path / "manifest.json").write_text(json.dumps({**manifest, "status": "complete"}))
'''


@pytest.fixture
def fake(places: Places, monkeypatch: pytest.MonkeyPatch) -> Places:
    """Children are the stand-in."""
    script = places.root / "fake.py"
    script.write_text(FAKE)
    monkeypatch.setattr(train, "python", lambda *words: [sys.executable, str(script), *words])
    return places


def test_a_killed_training_goes_on(fake: Places, capsys: pytest.CaptureFixture[str]) -> None:
    plan = load_plan("tiny", fake)
    jobs = plan.jobs(seed=0)[:2]
    first = train.train(plan, jobs, fake, say=lambda text: None)
    assert set(first.failed) == {"best-0", "no-teacher-0"} and first.done == ()
    assert {train.state_of(plan, job, fake) for job in jobs} == {"unfinished"}
    second = train.train(plan, jobs, fake, say=lambda text: None)
    assert second.done == ("best-0", "no-teacher-0") and not second.failed and not second.left
    lines = (train.run_path(plan, jobs[0], fake) / "metrics.jsonl").read_text().splitlines()
    epochs = [json.loads(line) for line in lines]
    assert [one["epoch"] for one in epochs] == [0, 1, 2, 3]
    assert epochs[0]["pid"] == epochs[1]["pid"] != epochs[2]["pid"]
    # What is done is not done again, and says so.
    third = train.train(plan, jobs, fake, say=lambda text: None)
    assert third.done == () and third.left == ()
    assert main(["status", "tiny"], fake) == 0
    assert capsys.readouterr().out.count(" scored") == 2


def test_one_that_was_killed_before_its_manifest_begins_again(fake: Places) -> None:
    plan = load_plan("tiny", fake)
    fake.work.mkdir()
    (fake.work / "early").touch()
    jobs = plan.jobs(arm="best", seed=0)
    for _ in range(2):
        assert train.train(plan, jobs, fake, say=lambda text: None).failed
    assert train.train(plan, jobs, fake, say=lambda text: None).done == ("best-0",)


def test_runs_of_another_recipe_are_never_mixed_in(fake: Places) -> None:
    plan = load_plan("tiny", fake)
    jobs = plan.jobs(arm="best", seed=0)
    for _ in range(2):
        train.train(plan, jobs, fake, say=lambda text: None)
    text = PLAN.replace("train.epochs=4", "train.epochs=5")
    (fake.plans / "tiny.toml").write_text(text)
    plan = load_plan("tiny", fake)
    assert train.state_of(plan, jobs[0], fake) == "stale"
    assert "another recipe" in train.train(plan, jobs, fake, say=lambda text: None).failed["best-0"]
    train.train(plan, jobs, fake, again=True, say=lambda text: None)
    assert len(list(fake.runs.glob(".tiny--best-0.*"))) == 1


def test_two_trainers_do_not_collide(fake: Places) -> None:
    plan = load_plan("tiny", fake)
    with process_lock(fake.work / ".lock", wait=False), pytest.raises(RunError, match="another"):
        train.train(plan, plan.jobs(), fake)


def test_no_time_is_left(fake: Places) -> None:
    plan = load_plan("tiny", fake)
    outcome = train.train(plan, plan.jobs(), fake, minutes=0, say=lambda text: None)
    assert len(outcome.left) == 7 and not fake.runs.exists()


def test_a_child_is_interrupted_at_the_deadline(tmp_path: Path) -> None:
    """As by Ctrl-C, and it may still keep what it has."""
    script = "trap 'echo kept; exit 130' INT; while :; do sleep 0.05; done"
    log = tmp_path / "logs" / "child.log"
    with stoppable():  # in the background, shells leave SIGINT ignored, which a child inherits
        ended = run_child(
            ["sh", "-c", script],
            cwd=tmp_path,
            environment={},
            log=log,
            deadline=time.monotonic() + 0.7,
        )
    assert ended.stopped and ended.code == 130
    assert log.read_text().splitlines()[-1] == "kept"
    assert run_child(["true"], cwd=tmp_path, environment={}, log=log).code == 0


def row(arm: str, seed: int, int8: float, **changes: Any) -> dict[str, Any]:
    """Make up a row."""
    teacher = {"name": "t", "accuracy": 0.97, "sha256": "a" * 64}
    files = {
        "tflite-int8": {"accuracy": int8, "agreement": 0.9, "size_bytes": 90_000, "sha256": "b"},
        "tflite-fp32": {"accuracy": int8 + 0.002, "agreement": 0.9, "size_bytes": 300_000},
    }
    found = {
        "plan": "tiny",
        "job": f"{arm}-{seed}",
        "arm": arm,
        "fold": "",
        "seed": seed,
        "epochs": 4,
        "seconds": 5400.0,
        "validation": 0.9,
        "accuracy": int8,
        "agreement": 0.9,
        "qat_accuracy": None,
        "files": files,
        "teachers": [] if arm == "no-teacher" else [teacher],
        "recipe_sha256": "0" * 64,
        "data_sha256": "1" * 64,
        "splits": {"train": 1000, "validation": 100, "test": 16},
        "parameters": 78_000,
        "macs": 12_500_000,
        "commit": None,
        "dirty": None,
        "provenance": {"cpu": "x", "cores": 2, "packages": {"torch": "2.13.0"}},
    }
    return {**found, **changes}


def rows() -> list[dict[str, Any]]:
    best = zip(range(3), (0.95, 0.96, 0.97), strict=True)
    alone = zip(range(3), (0.94, 0.93, 0.95), strict=True)
    return [row("best", *one) for one in best] + [row("no-teacher", *one) for one in alone]


def answers_with(wrong: range) -> dict[str, np.ndarray]:
    """Return classes of 16 samples of class 0, of which some are wrong."""
    classes = np.zeros(16, dtype=int)
    classes[list(wrong)] = 1
    return {"targets": np.zeros(16, dtype=int), "tflite-int8": classes}


def test_the_statistics(places: Places) -> None:
    plan = load_plan("tiny", places)
    answers = {"best-0": answers_with(range(1)), "no-teacher-0": answers_with(range(1, 8))}
    result = summarise(plan, rows(), answers)
    best = next(arm for arm in result["arms"] if arm["name"] == "best")
    mean = best["mean"]["tflite-int8 accuracy"]
    assert mean["mean"] == pytest.approx(0.96) and mean["sd"] == pytest.approx(0.01)
    assert mean["n"] == 3 and best["missing"] == []
    # 0.01, 0.03 and 0.02: t = 0.02 / (0.01 / sqrt(3)); with 2 degrees of freedom p is elementary.
    test = next(one for one in result["tests"] if one["file"] == "tflite-int8")
    t = 0.02 / (0.01 / sqrt(3))
    assert test["difference"] == pytest.approx(0.02)
    assert test["t_p"] == pytest.approx(1 - t / sqrt(2 + t * t))
    assert test["wilcoxon_p"] is None
    # One sample only the other gets right, seven only ours: the table of Fagerland et al. 2013.
    (samples,) = test["samples"]
    assert (samples["only_a"], samples["only_b"]) == (7, 1)
    assert samples["exact_p"] == pytest.approx(0.0703, abs=5e-5)
    (slow,) = (arm for arm in result["arms"] if arm["name"] == "slow")
    assert slow["missing"] == ["slow-0"] and slow["mean"] == {}
    (goal,) = result["goals"]
    assert goal["value"] == pytest.approx(0.96) and goal["met"] and goal["runs"] == 3


@pytest.mark.parametrize(
    ("goal", "value", "met"),
    [
        ({"what": "int8 accuracy", "at_least": 0.961}, 0.96, False),
        ({"what": "int8 accuracy", "at_least": 0.96}, 0.96, True),
        ({"what": "int8 gain", "over": "no-teacher", "at_least": 0.02}, 0.02, True),
        ({"what": "int8 drop", "at_most": 0.003}, 0.002, True),
        ({"what": "int8 size", "at_most": 80_000}, 90_000, False),
        ({"what": "int8 accuracy", "file": "onnx-int8", "at_least": 0.1}, None, None),
    ],
)
def test_goals(places: Places, goal: dict[str, Any], value: float | None, met: bool | None) -> None:
    plan = Plan.model_validate({**load_plan("tiny", places).model_dump(), "goal": goal})
    (found,) = summarise(plan, rows(), {})["goals"]
    assert found["met"] is met
    assert found["value"] is None if value is None else found["value"] == pytest.approx(value)


def test_folds_are_paired_with_themselves(places: Places) -> None:
    """A speaker left out is a pair of runs of its own."""
    raw = load_plan("tiny", places).model_dump()
    folds = [{"name": name, "set": [f"data.split.seed={n}"]} for n, name in enumerate("ab")]
    plan = Plan.model_validate({**raw, "fold": folds, "seeds": [0]})
    jobs = [job.key for job in plan.jobs(arm="best")]
    assert jobs == ["best-a-0", "best-b-0"]
    cut = [recipe_of(plan, job, places) for job in plan.jobs(arm="best")]
    assert [recipe.data.split.seed for recipe in cut] == [0, 1]
    made = [
        row(arm, 0, accuracy, fold=fold, job=f"{arm}-{fold}-0")
        for arm, fold, accuracy in (
            ("best", "a", 0.9),
            ("best", "b", 0.8),
            ("no-teacher", "b", 0.7),
            ("no-teacher", "a", 0.85),
        )
    ]
    test = next(t for t in summarise(plan, made, {})["tests"] if t["file"] == "tflite-int8")
    assert test["pairs"] == ["a 0", "b 0"]
    assert test["difference"] == pytest.approx((0.05 + 0.1) / 2)


def test_the_pages(places: Places) -> None:
    """Nothing is made up before there are results; then every figure is the JSON's."""
    one = "before\n<!-- begin: evidence tiny -->\nold\n<!-- end: evidence tiny -->\nafter\n"
    all_ = "<!-- begin: evidence all -->\n<!-- end: evidence all -->\n"
    short = "<!-- begin: evidence summary -->\n<!-- end: evidence summary -->\n"
    recipe, docs = places.docs / "recipes" / "tiny.md", places.docs / "evidence.md"
    recipe.parent.mkdir()
    recipe.write_text(one)
    docs.write_text(short + all_)
    assert page.write_pages(places) == [docs, recipe]
    assert "Not measured yet. Planned: 7 runs" in recipe.read_text()
    assert "No recipe was measured yet" in docs.read_text()
    assert page.write_pages(places) == []
    for made in rows():
        append_row(places.rows("tiny"), made)
    collect(load_plan("tiny", places), places)
    page.write_pages(places)
    text = recipe.read_text()
    assert text.startswith("before\n") and text.endswith("after\n") and "old" not in text
    assert (
        "| `best` | 3 | 97.00% | 90.00% ± 0.00 | 96.20% ± 1.00 | 96.00% ± 1.00 | 90.00% ± 0.00 |"
        in text
    )
    assert "| `no-teacher` | 3 | none |" in text and "90 min" in text
    assert "**met**, 96.00% over 3 runs" in text and "Not trained yet: slow-0" in text
    assert "| `no-teacher` | 3 | +2.00 | 0.074 |" in text
    assert "## Digits, tiny" in docs.read_text() and "| Digits, tiny | 78,000 | 97.00% |" in (
        docs.read_text()
    )
    recipe.write_text(one.replace("evidence tiny", "evidence other"))
    with pytest.raises(RunError, match="other"):
        page.write_pages(places)


def test_rows_and_answers_survive(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    append_row(path, {"job": "a-0", "x": 1})
    append_row(path, {"job": "b-0", "x": 2})
    append_row(path, {"job": "a-0", "x": 3})
    with path.open("a") as file:
        file.write('{"job": "c-0", "x"')
    assert {one["job"]: one["x"] for one in read_rows(path)} == {"a-0": 3, "b-0": 2}
    wide = np.array([0, 300, 2])
    write_answers(tmp_path / "a.npz", {"targets": np.array([1, 255]), "wide": wide})
    found = read_answers(tmp_path / "a.npz")
    assert found["targets"].tolist() == [1, 255] and found["wide"].tolist() == wide.tolist()


def test_the_plans_of_this_project() -> None:
    """Every committed plan and every arm's recipe is sound."""
    places = Places.of()
    for name in places.plan_names():
        assert faults_of(load_plan(name, places), places) == [], name
