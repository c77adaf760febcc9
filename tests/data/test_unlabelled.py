"""Samples without a label: who keeps one, where others come from, and what must not leak."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekd.data.cut import cut
from edgekd.data.load import load_dataset
from edgekd.data.split import SPLITS, Dataset, Part
from edgekd.errors import DataError, RecipeError
from edgekd.recipe import DataSpec, Recipe, SplitSpec

HERE = __name__


def load(**given: Any) -> Dataset:
    return load_dataset(DataSpec.model_validate({"source": "digits", **given}))


def labels_of(part: Part) -> dict[str, int]:
    return {
        name: int(target)
        for name, target in zip(part.ids, part.targets, strict=True)
        if target > -1
    }


class TestLabelled:
    def test_only_labels_go(self) -> None:
        every, few = load(), load(split={"labelled": 300})
        for name in SPLITS:
            assert every.splits[name].ids == few.splits[name].ids
        for name in SPLITS[1:]:
            np.testing.assert_array_equal(every.splits[name].targets, few.splits[name].targets)
        part = few.splits["train"]
        assert part.labelled.sum() == 300
        counts = np.bincount(part.targets[part.labelled], minlength=10)
        assert counts.min() >= 28 and counts.max() <= 32
        assert labels_of(part).items() <= labels_of(every.splits["train"]).items()
        assert every.sha256 != few.sha256 and every.preprocess == few.preprocess

    def test_more_labels_include_fewer(self) -> None:
        few, more = (load(split={"labelled": n}).splits["train"] for n in (50, 0.5))
        assert labels_of(few).items() < labels_of(more).items()

    def test_whole(self) -> None:
        few = load(split={"train": 300, "labelled": 100})
        assert len(few.splits["train"]) == 300 and few.splits["train"].labelled.sum() == 100
        every = load().splits["train"]
        assert few.whole is not None and few.whole.ids == every.ids
        assert len(few.with_labels().splits["train"]) == 100
        whole = few.with_labels(whole=True).splits["train"]
        assert whole.ids == every.ids and whole.labelled.all()
        assert load().whole is None

    def test_too_many_or_too_few(self) -> None:
        for size in (9, 5000):
            with pytest.raises(DataError, match=rf"data\.split\.labelled asks for {size}"):
                load(split={"labelled": size})

    @given(st.lists(st.integers(-1, 3), min_size=120, max_size=200), st.integers(0, 50))
    def test_those_of_the_source_stay_in_train(self, targets: list[int], seed: int) -> None:
        array = np.array([*targets, *list(range(4)) * 6], dtype=np.int64)
        part = Part(
            ids=tuple(map(str, range(len(array)))),
            targets=array,
            reader=lambda chosen: chosen.astype(np.float32)[:, None],
        )
        spec = SplitSpec(calibration=2, validation=0.2, test=0.2, seed=seed)
        found = cut({"train": part}, spec, tuple("abcd"))
        assert sum(len(split) for split in found.values()) == len(array)
        assert all(found[name].labelled.all() for name in SPLITS[1:])
        unlabelled = {str(i) for i in np.flatnonzero(array < 0)}
        assert unlabelled <= set(found["train"].ids)

    def test_only_train_may_lack_them(self) -> None:
        assert load(source=f"{HERE}:half").splits["train"].labelled.mean() < 0.5
        with pytest.raises(DataError, match=r"'test/00000' has the label -1"):
            load(source=f"{HERE}:untested")


class TestMore:
    def test_they_join_train_without_labels(self) -> None:
        found = load(unlabelled={"source": f"{HERE}:shapes", "count": 40})
        every = load()
        part = found.splits["train"]
        assert part.ids[:-40] == every.splits["train"].ids
        assert part.ids[-40] == "unlabelled/train/00000"
        assert (part.targets[-40:] == -1).all() and part.labelled[:-40].all()
        for name in SPLITS[1:]:
            assert found.splits[name].ids == every.splits[name].ids
        assert found.duplicates == every.duplicates

    def test_values_are_brought_to_the_datas_scale(self) -> None:
        """The digits are 0 to 16, scaled by 1/16; pixels of 0 to 255 by 1/255."""
        found = load(unlabelled={"source": f"{HERE}:shapes", "count": 40})
        last = len(found.splits["train"]) - 1
        raw = found.raw("train", [0, last])
        np.testing.assert_array_equal(raw[0], load().raw("train", [0])[0])
        expected = shapes(40)["x_train"][39].astype(np.float32) * (16 / 255)
        np.testing.assert_allclose(raw[1], expected, rtol=1e-6)
        np.testing.assert_array_equal(found.raw("train", [last, 0])[::-1], raw)

    def test_so_many_at_most(self) -> None:
        given = {"source": f"{HERE}:shapes", "count": 40, "samples": 15}
        first, again = load(unlabelled=given), load(unlabelled=given)
        names = first.splits["train"].ids[-15:]
        assert first.splits["train"].labelled[-15:].sum() == 0
        assert names == again.splits["train"].ids[-15:] == tuple(sorted(names))
        other = load(unlabelled=given, split={"seed": 1})
        assert names != other.splits["train"].ids[-15:]

    def test_copies_of_test_samples_are_caught(self) -> None:
        with pytest.raises(DataError, match=r"of the 359 samples of .* stand among them"):
            load(unlabelled={"source": "digits"})

    def test_another_shape(self) -> None:
        with pytest.raises(DataError, match=r"the data has input \(1, 8, 8\)"):
            load(unlabelled={"source": f"{HERE}:half"})

    def test_options_are_checked(self, tiny: dict[str, Any]) -> None:
        for unlabelled, message in (
            ({"source": "digit"}, r"data\.unlabelled\.source"),
            ({"source": "npz"}, r"data\.unlabelled\.path: missing"),
            ({"source": "digits", "sample": 3}, r"data\.unlabelled\.sample: unknown"),
        ):
            tiny["data"]["unlabelled"] = unlabelled
            with pytest.raises(RecipeError, match=message):
                Recipe.from_dict(tiny)


def shapes(count: int = 40) -> dict[str, np.ndarray]:
    """Pixels that are no digits; what they are labelled as is nobody's business."""
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (count, 1, 8, 8), dtype=np.uint8)
    return {"x_train": images, "y_train": np.arange(count) % 3}


def half() -> dict[str, np.ndarray]:
    """Two thirds of the samples have no label."""
    random = np.random.default_rng(0)
    targets = np.where(np.arange(600) % 3, -1, np.arange(600) % 2)
    return {"x_train": random.normal(size=(600, 4)), "y_train": targets}


def untested() -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    return {
        "x_train": random.normal(size=(60, 4)),
        "y_train": np.arange(60) % 2,
        "x_test": random.normal(size=(8, 4)),
        "y_test": np.full(8, -1),
    }
