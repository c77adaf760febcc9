"""The evidence: files that are scored, kept, and measured again."""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from benchmarks.evidence.__main__ import main
from benchmarks.evidence.collect import collect
from benchmarks.evidence.measure import measure
from benchmarks.evidence.places import Places
from benchmarks.evidence.plan import load_plan
from benchmarks.evidence.rows import append_row, read_answers, read_rows, write_answers
from benchmarks.evidence.score import score
from benchmarks.evidence.students import keep, write_measured
from benchmarks.evidence.train import run_path
from benchmarks.evidence.verify import compare, verify
from edgekd.errors import RunError
from edgekd.recipe import Recipe
from tests.fixtures_tiny import TINY

PLAN = """
name = "tiny"
title = "Digits, tiny"
recipe = "tiny-recipe.toml"
seeds = [0]
files = ["tflite-int8", "onnx-int8"]
[[arm]]
name = "best"
"""


def quiet(text: str) -> None:
    """Say nothing."""


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Places:
    """A tiny run, scored, collected and kept; do not change it."""
    from edgekd.distill.stage import distill

    root = tmp_path_factory.mktemp("evidence")
    names = ("plans", "work", "results", "students", "docs")
    places = Places(root, *(root / name for name in names))
    places.plans.mkdir()
    recipe = Recipe.from_dict(copy.deepcopy(TINY))
    (places.plans / "tiny-recipe.toml").write_text(recipe.to_toml())
    (places.plans / "tiny.toml").write_text(PLAN)
    plan = load_plan("tiny", places)
    (job,) = plan.jobs()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGEKD_RUNS", str(places.runs))
        patch.setattr("sys.argv", ["edgekd"])  # manifests note it
        run = distill(recipe, out=run_path(plan, job, places))
        row, answers = score(plan, job, run.path)
        append_row(places.rows("tiny"), row)
        write_answers(places.answers("tiny", job.key), answers)
        collect(plan, places)
        folder = keep(plan, places)
        write_measured(plan, measure(folder, None, instructions=False, say=quiet), places)
    return places


@pytest.fixture
def places(chain: Places, tmp_path: Path) -> Places:
    """A copy that a test may damage."""
    for name in ("students", "results"):
        shutil.copytree(chain.root / name, tmp_path / name)
    return Places(
        tmp_path, *(tmp_path / n for n in ("plans", "work", "results", "students", "docs"))
    )


def test_the_row_is_what_the_files_answer(chain: Places) -> None:
    """Accuracy and agreement of the ONNX file by onnxruntime and NumPy alone."""
    (row,) = read_rows(chain.rows("tiny"))
    stored = read_answers(chain.answers("tiny", "best-0"))
    folder = chain.runs / "tiny--best-0"
    with np.load(folder / "predictions.npz") as predictions:
        ids, targets = predictions["ids"], predictions["targets"]
        teacher = predictions["teacher_logits"].argmax(1)
    np.testing.assert_array_equal(stored["teacher"], teacher)
    np.testing.assert_array_equal(stored["targets"], targets)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert row["accuracy"] == manifest["student_scores"][0]["test_accuracy"]
    assert np.mean(stored["student"] == targets) == row["accuracy"]
    from sklearn.datasets import load_digits

    how = manifest["preprocess"]
    raw = load_digits().images[[int(name.split("/")[-1]) for name in ids]]
    inputs = ((raw * how["scale"] - how["mean"][0]) / how["std"][0]).astype(np.float32)[:, None]
    session = onnxruntime.InferenceSession(folder / "artifacts" / "onnx-int8" / "model.onnx")
    (spec,) = session.get_inputs()
    classes = np.concatenate(
        [session.run(None, {spec.name: one[None]})[0].argmax(1) for one in inputs]
    )
    figures = row["files"]["onnx-int8"]
    assert figures["accuracy"] == pytest.approx(np.mean(classes == targets))
    assert figures["agreement"] == pytest.approx(np.mean(classes == teacher))


def test_what_is_kept(chain: Places) -> None:
    folder = chain.students / "tiny"
    names = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert names == {
        "README.md",
        "recipe.toml",
        "manifest.json",
        "student.safetensors",
        "teacher_top1.npz",
        "tflite-int8/model.tflite",
        "tflite-int8/manifest.json",
        "onnx-int8/model.onnx",
        "onnx-int8/manifest.json",
    }
    assert (folder / "teacher_top1.npz").stat().st_size < 10_000


def test_the_files_still_do_what_was_committed(
    places: Places, capsys: pytest.CaptureFixture[str]
) -> None:
    checks = verify("tiny", places, instructions=False, say=quiet)
    assert {check.status for check in checks} == {"same", "skipped"}
    assert sum(check.status == "skipped" for check in checks) == 2  # latency, instructions
    (row,) = json.loads(places.result("tiny").read_text())["arms"][0]["runs"]
    found = {check.what: check.text for check in checks}
    assert f"{row['files']['tflite-int8']['accuracy']:.2%}" in found["tflite-int8 accuracy"]
    assert main(["verify", "--no-instructions"], places) == 0
    assert "0 figures differ" in capsys.readouterr().out


def test_another_figure_or_another_file_is_found(places: Places) -> None:
    path = places.measured("tiny")
    told = json.loads(path.read_text())
    told["files"]["tflite-int8"]["accuracy"] += 0.002
    told["files"]["onnx-int8"]["sha256"] = "0" * 64
    path.write_text(json.dumps(told))
    differ = {
        c.what
        for c in verify("tiny", places, instructions=False, say=quiet)
        if c.status == "differs"
    }
    assert {"tflite-int8 accuracy", "onnx-int8 sha256"} <= differ
    model = places.students / "tiny" / "tflite-int8" / "model.tflite"
    data = bytearray(model.read_bytes())
    data[len(data) // 2] ^= 1
    model.write_bytes(data)
    (check,) = verify("tiny", places, instructions=False, say=quiet)
    assert check.status == "differs" and "hash differs" in check.text
    assert main(["verify", "--no-instructions"], places) == 1


def test_without_the_data_it_says_so(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = places.students / "tiny" / "recipe.toml"
    recipe.write_text(
        recipe.read_text().replace('source = "digits"', 'source = "idx"\nroot = "$NONE"')
    )
    manifest = places.students / "tiny" / "manifest.json"
    raw = json.loads(manifest.read_text())
    del raw["files"]["recipe.toml"]
    manifest.write_text(json.dumps(raw))
    monkeypatch.delenv("NONE", raising=False)
    checks = verify("tiny", places, instructions=False, say=quiet)
    skipped = [check for check in checks if check.status == "skipped"]
    assert any("NONE" in check.text for check in skipped)
    assert not any(check.status == "differs" for check in checks)


def figures(**changes: Any) -> dict[str, Any]:
    found = {
        "files": {
            "tflite-int8": {"sha256": "a", "size_bytes": 1, "accuracy": 0.9, "runtime": "r 1"}
        },
        "student": {"sha256": "b", "accuracy": 0.91, "runtime": "torch 2"},
        "latency": {"ratio": 1.0, "low": 0.9, "high": 1.1},
        "instructions": {"per_inference": 1_000_000, "runtime": "r 1"},
        "provenance": {"cpu": "x"},
    }
    return {**found, **changes}


def told(new: dict[str, Any]) -> dict[str, str]:
    return {check.what: check.status for check in compare(figures(), new)}


def test_tolerances() -> None:
    assert set(told(figures()).values()) == {"same"}
    ratio, counted = "latency over the reference's", "instructions of an inference"
    assert told(figures(latency={"ratio": 1.149}))[ratio] == "same"
    assert told(figures(latency={"ratio": 1.151}))[ratio] == "differs"
    assert told(figures(latency={"ratio": 2.0}, provenance={"cpu": "y"}))[ratio] == "skipped"
    assert told(figures(latency={"skipped": "no data"}))[ratio] == "skipped"
    for count, status in ((1_009_000, "same"), (1_011_000, "differs")):
        new = figures(instructions={"per_inference": count, "runtime": "r 1"})
        assert told(new)[counted] == status
    # A hundredth of a point: nothing on another runtime, too much on the same.
    for runtime, accuracy, status in (
        ("r 1", 0.9001, "differs"),
        ("r 2", 0.9001, "same"),
        ("r 2", 0.9011, "differs"),
    ):
        file = {"sha256": "a", "size_bytes": 1, "accuracy": accuracy, "runtime": runtime}
        new = figures(files={"tflite-int8": file})
        assert told(new)["tflite-int8 accuracy"] == status
    assert told(figures(files={}))["tflite-int8"] == "differs"


def test_folders_of_one_machine_are_not_committed(chain: Places, tmp_path: Path) -> None:
    root = tmp_path / "copy"
    shutil.copytree(chain.root, root)
    places = Places(
        root, *(root / name for name in ("plans", "work", "results", "students", "docs"))
    )
    path = places.runs / "tiny--best-0" / "artifacts" / "tflite-int8" / "manifest.json"
    raw = json.loads(path.read_text())
    raw["provenance"]["command"] = ["edgekd", "/home/somebody/recipe.toml"]
    path.write_text(json.dumps(raw))
    with pytest.raises(RunError, match="names a folder of this machine"):
        keep(load_plan("tiny", places), places)
    assert (places.students / "tiny" / "manifest.json").is_file(), "the old one stays"
