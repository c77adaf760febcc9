from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgekd.data import SOURCES
from edgekd.data.load import load_dataset
from edgekd.data.split import SPLITS, Part, RawData
from edgekd.errors import DataError, EdgekdError, UnknownNameError
from edgekd.recipe import DataSpec, SplitSpec
from edgekd.records import Preprocess

SPLIT = SplitSpec(calibration=6, validation=10, test=10)


def raw(count: int = 60, classes: int = 3, seed: int = 0, **parts: Part) -> RawData:
    return RawData(
        parts={"train": part(count, classes, seed=seed, prefix="train"), **parts},
        classes=tuple("abcdefghij"[:classes]),
        sample_shape=(2, 4),
    )


def part(count: int, classes: int = 3, *, seed: int, prefix: str) -> Part:
    values = np.random.default_rng(seed).normal(size=(count, 2, 4)).astype(np.float32)
    return over(values, np.arange(count) % classes, prefix)


def over(values: np.ndarray, targets: np.ndarray, prefix: str) -> Part:
    ids = tuple(f"{prefix}/{i}" for i in range(len(values)))
    return Part(ids, targets.astype(np.int64), lambda indices: values[indices])


@pytest.fixture
def user(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A user's own module, importable by its name."""
    module = ModuleType("their_data")
    monkeypatch.setitem(sys.modules, "their_data", module)
    return module


def load(user: ModuleType, source: Any, **options: Any) -> Any:
    vars(user)["source"] = source
    return load_dataset(DataSpec(source="their_data:source", split=SPLIT, **options))


def test_digits() -> None:
    data = load_dataset(DataSpec(source="digits"))
    assert {name: len(part) for name, part in data.splits.items()} == {
        "train": 1130,
        "calibration": 128,
        "validation": 180,
        "test": 359,
    }
    assert list(data.splits) == list(SPLITS)
    assert data.classes == tuple("0123456789")
    assert data.sample_shape == (1, 8, 8)
    assert data.preprocess.scale == 1 / 16
    ids = {sample for split in data.splits.values() for sample in split.ids}
    assert "digits/0042" in ids
    assert len(ids) == 1797
    train = data.normalised("train")
    assert train.mean() == pytest.approx(0, abs=1e-6)
    assert train.std() == pytest.approx(1, abs=1e-6)
    # Statistics are the train split's own: another split is near, but not at, 0 and 1.
    assert data.normalised("test").mean() != pytest.approx(0, abs=1e-6)
    assert data.normalised("test", [3, 1]).shape == (2, 1, 8, 8)


def test_the_hash_is_the_same_again_and_changes_with_everything(user: ModuleType) -> None:
    def sha(source: RawData, split: SplitSpec = SPLIT) -> str:
        vars(user)["source"] = lambda: source
        return load_dataset(DataSpec(source="their_data:source", split=split)).sha256

    base = raw()
    values = base.parts["train"].read(range(60)).copy()
    values[59, 1, 3] += 1
    targets = base.parts["train"].targets.copy()
    targets[:2] = targets[:2][::-1]
    train = base.parts["train"]
    changed = {
        "again": sha(raw()),
        "content": sha(replace(base, parts={"train": over(values, train.targets, "train")})),
        "target": sha(replace(base, parts={"train": replace(train, targets=targets)})),
        "ids": sha(replace(base, parts={"train": over(values * 1, train.targets, "other")})),
        "classes": sha(replace(base, classes=("a", "b", "z"))),
        "seed": sha(base, SplitSpec(calibration=6, validation=10, test=10, seed=1)),
        "size": sha(base, SplitSpec(calibration=7, validation=10, test=10)),
        "preprocess": sha(replace(base, preprocess=Preprocess(mean=(0.5,)))),
    }
    assert changed.pop("again") == sha(base)
    assert len({sha(base), *changed.values()}) == len(changed) + 1


def test_a_users_source_as_a_dict_of_arrays(user: ModuleType) -> None:
    def source(count: int, *, scale: float = 1.0) -> dict[str, Any]:
        x = np.random.default_rng(0).normal(size=(count, 5)) * scale
        return {"x_train": x, "y_train": np.arange(count) % 3, "classes": ["x", "y", "z"]}

    data = load(user, source, count=50)
    assert data.classes == ("x", "y", "z")
    assert sum(len(split) for split in data.splits.values()) == 50
    assert len(data.preprocess.mean) == 5


def test_a_given_preprocess_is_kept(user: ModuleType) -> None:
    given = Preprocess(scale=2.0, mean=(1.0, 0.0), std=(3.0, 1.0))
    assert load(user, lambda: replace(raw(), preprocess=given)).preprocess == given


def broken(position: tuple[int, ...], value: float) -> RawData:
    values = np.ones((60, 2, 4), np.float32)
    values[position] = value
    return replace(raw(), parts={"train": over(values, np.arange(60) % 3, "train")})


def labelled(*changes: tuple[int, int], kind: str = "i8") -> RawData:
    base = raw()
    targets = base.parts["train"].targets.copy()
    for index, label in changes:
        targets[index] = label
    return replace(
        base, parts={"train": replace(base.parts["train"], targets=targets.astype(kind))}
    )


def reading(reader: Any) -> RawData:
    base = raw()
    return replace(base, parts={"train": replace(base.parts["train"], reader=reader)})


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (lambda: broken((17, 1, 2), np.nan), "sample 'train/17' holds NaN"),
        (lambda: broken((59, 0, 0), -np.inf), "sample 'train/59' holds infinity"),
        (lambda: labelled((7, 3)), "'train/7' has the label 3, outside 0 to 2"),
        (lambda: labelled((7, -2)), "'train/7' has the label -2"),
        (lambda: labelled(kind="f4"), "labels are float32"),
        (lambda: labelled(*[(i, 0) for i in range(60) if i % 3 == 1]), "train has no .* class b"),
        (lambda: replace(raw(), classes=("a",)), "1 class.*, at least 2"),
        (lambda: replace(raw(), classes=("a", "b", "a")), "'a' is named twice"),
        (lambda: replace(raw(), sample_shape=(8,)), r"have the shape \(1, 2, 4\)"),
        (lambda: replace(raw(), sample_shape=()), r"the shape \(\)"),
        (lambda: replace(raw(), preprocess=Preprocess(std=(0.0,))), "preprocess does not fit"),
        (lambda: replace(raw(), preprocess=Preprocess(mean=(0.0,) * 3)), "does not fit samples"),
        (lambda: raw(extra=part(9, seed=1, prefix="e")), "unknown part 'extra'"),
        (lambda: RawData({}, ("a", "b"), (1,)), "no part 'train'"),
        (lambda: raw(test=part(9, seed=1, prefix="train")), "'train/0' stands twice, in train and"),
        (lambda: reading(lambda i: np.zeros((len(i), 2, 4))), "float64, not uint8 or float32"),
        (lambda: reading(lambda i: np.zeros((1, 2, 4), "f4")), "have the shape"),
        (lambda: reading(lambda i: 1 / 0), "from 'train/.*' on failed: ZeroDivisionError"),
        (lambda: raw(count=20), "data.split.validation asks for 10"),
        (lambda: [1, 2], "returned a list"),
        (lambda: 1 / 0, "failed: ZeroDivisionError"),
        (lambda: {"x_train": np.zeros((4, 2))}, "no array 'y_train'"),
    ],
)
def test_faults_of_a_source(user: ModuleType, source: Any, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        load(user, source)
    assert caught.value.hint


def test_a_class_missing_from_a_given_split(user: ModuleType) -> None:
    given = part(30, 2, seed=1, prefix="test")
    with pytest.raises(DataError, match="the split test has no sample of class c"):
        load(user, lambda: raw(test=given))


def test_calibration_needs_no_class_in_particular(user: ModuleType) -> None:
    given = part(2, 2, seed=1, prefix="calibration")
    assert len(load(user, lambda: raw(calibration=given)).splits["calibration"]) == 2


def copies(count: int, of: RawData, size: int) -> Part:
    """A part whose first ``count`` samples stand in train too."""
    values = np.random.default_rng(9).normal(size=(size, 2, 4)).astype(np.float32)
    values[:count] = of.parts["train"].read(range(count))
    return over(values, np.arange(size) % 3, "test")


def test_splits_that_overlap_grossly_are_refused(user: ModuleType) -> None:
    base = raw(300)
    # What is cut out of train for validation takes some copies along; most stay in train.
    with pytest.raises(DataError, match=r"of the 60 samples of test also stand in train") as caught:
        load(user, lambda: replace(base, parts={**base.parts, "test": copies(40, base, 60)}))
    assert "test/" in caught.value.message
    assert " = train/" in caught.value.message


def test_a_few_true_duplicates_are_counted(user: ModuleType) -> None:
    base = raw(300)
    parts = {**base.parts, "test": copies(2, base, 200)}
    assert load(user, lambda: replace(base, parts=parts)).duplicates == 2
    assert load(user, lambda: base).duplicates == 0


def test_duplicates_between_cut_splits_are_counted(user: ModuleType) -> None:
    same = over(np.ones((60, 2, 4), np.float32), np.arange(60) % 3, "train")
    data = load(user, lambda: replace(raw(), parts={"train": same}))
    assert data.duplicates == 26  # all of calibration, validation and test


@pytest.mark.parametrize(
    ("options", "message"),
    [({"rot": "x"}, "data.rot: unknown option"), ({}, "needs the option 'root'")],
)
def test_options_of_a_source(options: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        load_dataset(DataSpec(source="idx", **options))
    assert "root" in str(caught.value.hint)


def test_sources_that_are_none(user: ModuleType) -> None:
    with pytest.raises(UnknownNameError, match="unknown source 'digit'"):
        load_dataset(DataSpec(source="digit"))
    with pytest.raises(EdgekdError, match="cannot import 'no_such_module'"):
        load_dataset(DataSpec(source="no_such_module:f"))
    with pytest.raises(DataError, match="is no function"):
        load(user, 3)


def test_every_row_of_the_table_loads() -> None:
    assert SOURCES.names == ("audio-folder", "digits", "fsdd", "idx", "image-folder", "npz")
    assert all(callable(row.load()) for row in SOURCES)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    for name in ("bird", "cat", "dog"):
        (tmp_path / "train" / name).mkdir(parents=True)
        for i in range(20):
            pixels = random.integers(0, 256, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "train" / name / f"{i}.png")
    return tmp_path


def test_an_image_folder_end_to_end(images: Path) -> None:
    data = load_dataset(DataSpec(source="image-folder", split=SPLIT, root=str(images)))
    assert data.preprocess.scale == 1 / 255
    train = data.normalised("train")
    assert train.mean(axis=(0, 2, 3)) == pytest.approx(np.zeros(3), abs=1e-5)
    assert train.std(axis=(0, 2, 3)) == pytest.approx(np.ones(3), abs=1e-5)
    grey = DataSpec(source="image-folder", split=SPLIT, root=str(images), channels=1)
    assert load_dataset(grey).sha256 != data.sha256


def test_a_corrupt_image_anywhere_is_found_before_anything_runs(images: Path) -> None:
    path = images / "train" / "dog" / "19.png"
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(DataError, match=r"dog/19\.png is not a readable image"):
        load_dataset(DataSpec(source="image-folder", split=SPLIT, root=str(images)))
