"""Recorded teachers: files whole and partial, by id, against the teacher that was recorded."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from typer.testing import CliRunner

from edgekd.cli.app import app
from edgekd.data.load import load_dataset
from edgekd.data.split import Dataset
from edgekd.distill.answers_file import Answers, read_answers, write_answers
from edgekd.distill.named import build_tutor, named_teachers
from edgekd.distill.recorded import Recorded
from edgekd.distill.recording import record
from edgekd.distill.stage import distill, examine
from edgekd.errors import DataError, ModelError, OutputExistsError, RecipeError, UnknownNameError
from edgekd.recipe import DataSpec, Recipe
from edgekd.rundir import Run

FORMATS = [
    ".npz",
    pytest.param(
        ".parquet",
        marks=pytest.mark.skipif(find_spec("pyarrow") is None, reason="pyarrow is not installed"),
    ),
]


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return load_dataset(DataSpec(source="digits"))


@pytest.fixture(scope="module")
def everything(dataset: Dataset) -> dict[str, np.ndarray]:
    """Ids of all samples, and logits that know the label."""
    random = np.random.default_rng(0)
    parts = dataset.splits.values()
    targets = np.concatenate([part.targets for part in parts])
    logits = random.standard_normal((len(targets), 10)).astype(np.float32)
    logits += 4 * np.eye(10, dtype=np.float32)[targets]
    ids = np.asarray([name for part in parts for name in part.ids])
    order = random.permutation(len(ids))  # a file need not be in the split's order
    return {"ids": ids[order], "logits": logits[order]}


def recipe(path: Path, teacher: dict[str, Any] | None = None, **train: Any) -> Recipe:
    return Recipe.from_dict(
        {
            "name": "recorded",
            "teacher": [{"outputs": str(path), **(teacher or {})}],
            "student": {"model": "mlp", "hidden": [16]},
            "loss": [{"name": "kd"}],
            "train": {"epochs": 1, "batch_size": 64, "threads": 1, **train},
        }
    )


def teacher(path: Path, dataset: Dataset, **keys: Any) -> Recorded:
    model = build_tutor(named_teachers(recipe(path, keys))[0], dataset).model
    assert isinstance(model, Recorded)
    return model


def save(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


def softmax(logits: np.ndarray) -> np.ndarray:
    exp = np.exp(logits.astype(np.float64))
    found: np.ndarray = exp / exp.sum(-1, keepdims=True)
    return found


def test_answers_are_found_by_id(
    dataset: Dataset, everything: dict[str, np.ndarray], tmp_path: Path
) -> None:
    model = teacher(save(tmp_path / "a.npz", **everything), dataset)
    rows = {name: row for row, name in enumerate(everything["ids"])}
    part = dataset.splits["train"]
    chosen = np.array([5, 0, 17])
    wanted = everything["logits"][[rows[part.ids[index]] for index in chosen]]
    np.testing.assert_array_equal(model.logits("train", chosen), wanted)
    with pytest.raises(ModelError, match="can only be asked for samples"):
        model(torch.zeros(2, 1, 8, 8))


def test_top_k_spreads_what_is_missing(
    dataset: Dataset, everything: dict[str, np.ndarray], tmp_path: Path
) -> None:
    soft = softmax(everything["logits"])
    top = np.argsort(-soft, axis=-1)[:, :3]
    kept = np.take_along_axis(soft, top, -1)
    path = save(
        tmp_path / "a.npz", ids=everything["ids"], classes=top, log_probabilities=np.log(kept)
    )
    found = softmax(teacher(path, dataset).logits("test"))
    rows = {name: row for row, name in enumerate(everything["ids"])}
    chosen = [rows[name] for name in dataset.splits["test"].ids]
    wanted = np.repeat((1 - kept[chosen].sum(-1, keepdims=True)) / 7, 10, axis=-1)
    np.put_along_axis(wanted, top[chosen], kept[chosen], -1)
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_its_classes_may_be_more_and_in_another_order(
    dataset: Dataset, everything: dict[str, np.ndarray], tmp_path: Path
) -> None:
    more = np.concatenate([np.zeros((len(everything["ids"]), 1)), everything["logits"]], axis=-1)
    theirs = ["none", *dataset.classes]
    arrays = {"ids": everything["ids"], "logits": more[:, ::-1].astype(np.float32)}
    path = save(tmp_path / "a.npz", **arrays)
    with pytest.raises(ModelError, match="has 11 classes, the data has 10"):
        teacher(path, dataset)
    plain = teacher(save(tmp_path / "b.npz", **everything), dataset).logits("test")
    declared = teacher(path, dataset, classes=theirs[::-1]).logits("test")
    np.testing.assert_array_equal(declared, plain)
    named = save(tmp_path / "c.npz", **arrays, class_names=np.asarray(theirs[::-1]))
    np.testing.assert_array_equal(teacher(named, dataset).logits("test"), plain)


def test_the_training_samples_alone_are_enough(
    dataset: Dataset, everything: dict[str, np.ndarray], tmp_path: Path
) -> None:
    mine = np.isin(everything["ids"], dataset.splits["train"].ids)
    path = save(tmp_path / "a.npz", **{name: rows[mine] for name, rows in everything.items()})
    found = {finding.check: finding for finding in examine(recipe(path))}
    assert found["labels aligned"].status == "ok"
    assert "on train" in found["labels aligned"].message
    run = distill(recipe(path), out=tmp_path / "run")
    assert run.manifest.teacher_scores == (None,)
    assert run.manifest.student_scores[0].test_agreement is None
    assert run.manifest.teachers[0].parameters is None
    with np.load(run.predictions_path) as stored:
        assert "teacher_logits" not in stored.files
    shown = CliRunner().invoke(app, ["runs", "show", str(run.path)])
    assert shown.exit_code == 0, shown.output


def test_ids_that_do_not_match_are_named(
    dataset: Dataset, everything: dict[str, np.ndarray], tmp_path: Path
) -> None:
    ids = np.asarray([f"other/{name}" for name in everything["ids"]])
    path = save(tmp_path / "a.npz", ids=ids, logits=everything["logits"])
    first = dataset.splits["train"].ids[0]
    with pytest.raises(DataError, match="training samples") as caught:
        teacher(path, dataset)
    count = len(dataset.splits["train"])
    assert f"lacks {count} of {count} training samples, e.g. {first!r}" in caught.value.message
    assert repr(str(ids[0])) in caught.value.message


def test_augmentation_must_be_owned_up_to(
    everything: dict[str, np.ndarray], tmp_path: Path
) -> None:
    path = save(tmp_path / "a.npz", **everything)
    with pytest.raises(RecipeError, match=r'teacher\[0\]\.view = "plain"'):
        examine(recipe(path, augment=["crop"]))
    assert examine(recipe(path, {"view": "plain"}, augment=["crop"]))
    for view in ("same", "plain"):
        with pytest.raises(RecipeError, match="no answers are recorded for mixtures"):
            examine(recipe(path, {"view": view}, mix={"kind": "cutmix"}))
    with pytest.raises(RecipeError, match="recorded answers have one view"):
        examine(recipe(path, {"view": "other"}))
    layers = recipe(path).model_copy(
        update={
            "loss": Recipe.from_dict(
                {
                    "student": {"model": "mlp"},
                    "teacher": [{"outputs": str(path)}],
                    "loss": [{"name": "hint", "layers": [["1", "1"]]}],
                }
            ).loss
        }
    )
    with pytest.raises(RecipeError, match="recorded answers shows its outputs only"):
        examine(layers)


@pytest.mark.parametrize(
    ("arrays", "fault"),
    [
        ({"ids": ["a"]}, "It needs ids and logits"),
        ({"logits": np.zeros((1, 2), np.float32)}, "It needs ids and logits"),
        ({"ids": ["a"], "logits": np.zeros((2, 2), np.float32)}, "1 ids, but logits of shape"),
        ({"ids": ["a"], "logits": np.full((1, 2), np.nan, np.float32)}, "no numbers"),
        ({"ids": ["a", "a"], "logits": np.zeros((2, 2), np.float32)}, "1 ids stand twice"),
        (
            {"ids": ["a"], "classes": [[0, 0]], "log_probabilities": np.log([[0.1, 0.1]])},
            "names a class twice",
        ),
        ({"ids": ["a"], "classes": [[0]], "log_probabilities": np.log([[2.0]])}, "sum to 2"),
        ({"ids": ["a"], "log_probabilities": np.log([[0.5]])}, "classes must be whole numbers"),
        (
            {"ids": ["a"], "logits": np.zeros((1, 2), np.float32), "class_names": ["x"]},
            "1 class_names for 2 columns",
        ),
    ],
)
def test_files_that_contradict_themselves(
    arrays: dict[str, Any], fault: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=fault):
        read_answers(save(tmp_path / "a.npz", **arrays))


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        read_answers(tmp_path / "nothing.npz")
    for name in ("a.npz", "a.parquet") if find_spec("pyarrow") else ("a.npz",):
        (tmp_path / name).write_bytes(b"PK\x03\x04 and no more")
        with pytest.raises(DataError, match="cannot read"):
            read_answers(tmp_path / name)
    with pytest.raises(DataError, match=r"\.npz or \.parquet"):
        write_answers(tmp_path / "a.csv", Answers(("a",), np.zeros((1, 2), np.float32)))


def test_logits_that_are_probabilities_are_refused(
    dataset: Dataset, everything: dict[str, np.ndarray], tmp_path: Path
) -> None:
    soft = softmax(everything["logits"]).astype(np.float32)
    path = save(tmp_path / "a.npz", ids=everything["ids"], logits=soft)
    with pytest.raises(ModelError, match="gives probabilities") as caught:
        teacher(path, dataset)
    assert "'probabilities'" in str(caught.value.hint)
    right = save(tmp_path / "b.npz", ids=everything["ids"], probabilities=soft)
    logits = teacher(right, dataset).logits("test")
    plain = teacher(save(tmp_path / "c.npz", **everything), dataset).logits("test")
    np.testing.assert_allclose(softmax(logits), softmax(plain), atol=5e-4)


VALUES = arrays(np.float32, (3, 4), elements=st.floats(-30, 30, width=32))


@pytest.mark.parametrize("suffix", FORMATS)
@given(values=VALUES, names=st.lists(st.text(max_size=5), min_size=3, max_size=3, unique=True))
def test_written_and_read_again(
    suffix: str, values: np.ndarray, names: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    # NumPy's strings cannot end in NUL, and Parquet's are UTF-8.
    ids = tuple(f"{number}-{name}.".replace("\0", "") for number, name in enumerate(names))
    if any("\ud800" <= character <= "\udfff" for name in ids for character in name):
        return
    path = tmp_path_factory.mktemp("answers") / f"a{suffix}"
    write_answers(path, Answers(ids, values, names=("p", "q", "r", "s")))
    found = read_answers(path)
    assert (found.ids, found.names, found.top) == (ids, ("p", "q", "r", "s"), None)
    np.testing.assert_array_equal(found.values, values)


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_recorded_run_teaches_like_its_teacher(
    suffix: str, tiny_run: Run, tmp_path: Path
) -> None:
    made = record(tiny_run, out=tmp_path / f"a{suffix}")
    assert made.teacher == "mlp" and made.top_k == 0
    assert made.samples == sum(tiny_run.manifest.splits.values())
    raw = tiny_run.recipe.model_dump(mode="json", exclude_none=True)
    raw["teacher"] = [{"outputs": str(made.path)}]
    raw["train"] |= {"seeds": [], "baseline": False}
    run = distill(Recipe.from_dict(raw), out=tmp_path / "run")
    ours, theirs = run.manifest.student_scores[0], tiny_run.manifest.student_scores[0]
    assert ours.test_agreement == pytest.approx(theirs.test_agreement, abs=0.005)
    known = tiny_run.manifest.teacher_scores[0]
    assert known is not None and run.manifest.teacher_scores[0] is not None
    assert run.manifest.teacher_scores[0].test_accuracy == known.test_accuracy
    top = read_answers(record(tiny_run, out=tmp_path / f"t{suffix}", top_k=2).path)
    assert top.top is not None and top.top.shape == (made.samples, 2)
    assert (np.exp(top.values).sum(-1) <= 1.0 + 1e-5).all()


def test_the_command(tiny_run: Run, tmp_path: Path) -> None:
    out = tmp_path / "a.npz"
    done = CliRunner().invoke(app, ["record", str(tiny_run.path), "--out", str(out), "--json"])
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert said["path"] == str(out) and said["classes"] == list("0123456789")
    assert read_answers(out).names == tuple("0123456789")
    with pytest.raises(OutputExistsError):
        record(tiny_run, out=out)
    with pytest.raises(UnknownNameError, match="unknown teacher 'nobody'"):
        record(tiny_run, out=tmp_path / "b.npz", teacher="nobody")
    with pytest.raises(DataError, match=r"\.npz or \.parquet"):
        record(tiny_run, out=tmp_path / "b.csv")
