from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekd.data.cut import allocate, cut
from edgekd.data.split import SPLITS, Part
from edgekd.errors import DataError
from edgekd.recipe import SplitSpec


def part(targets: list[int] | np.ndarray, prefix: str = "s") -> Part:
    """A part whose samples are their own index."""
    targets = np.asarray(targets, dtype=np.int64)
    return Part(
        ids=tuple(f"{prefix}{i}" for i in range(len(targets))),
        targets=targets,
        reader=lambda indices: indices.astype(np.float32)[:, None],
    )


def names(classes: int) -> tuple[str, ...]:
    return tuple("abcdefghij"[:classes])


@st.composite
def problems(draw: st.DrawFn) -> tuple[Part, SplitSpec, int]:
    counts = draw(st.lists(st.integers(12, 40), min_size=2, max_size=6))
    targets = [label for label, count in enumerate(counts) for _ in range(count)]
    order = draw(st.permutations(range(len(targets)))) if len(targets) < 60 else range(len(targets))
    most = len(targets) // 4
    spec = SplitSpec(
        calibration=draw(st.integers(0, most // 2)),
        validation=draw(st.one_of(st.integers(len(counts), most), st.floats(0.15, 0.25))),
        test=draw(st.one_of(st.integers(len(counts), most), st.floats(0.15, 0.25))),
        seed=draw(st.integers(0, 2**32)),
    )
    return part([targets[i] for i in order]), spec, len(counts)


@given(problems())
def test_splits_are_disjoint_complete_stratified_and_deterministic(
    problem: tuple[Part, SplitSpec, int],
) -> None:
    train, spec, classes = problem
    splits = cut({"train": train}, spec, names(classes))

    assert set(splits) == set(SPLITS)
    ids = [sample for split in splits.values() for sample in split.ids]
    assert len(ids) == len(set(ids)) == len(train)
    assert set(ids) == set(train.ids)

    for name, size in (("test", spec.test), ("validation", spec.validation)):
        wanted = size if isinstance(size, int) else round(size * len(train))
        assert len(splits[name]) == wanted
        assert len(np.unique(splits[name].targets)) == classes
    assert len(splits["calibration"]) == spec.calibration
    assert len(np.unique(splits["train"].targets)) == classes

    quota = np.bincount(train.targets) / len(train) * len(splits["test"])
    found = np.bincount(splits["test"].targets, minlength=classes)
    if quota.min() >= 1:  # below 1 a rare class gets its one at the cost of the others
        assert np.abs(found - quota).max() < 1.0

    again = cut({"train": train}, spec, names(classes))
    assert all(again[name].ids == splits[name].ids for name in SPLITS)


@given(problems())
def test_a_subset_keeps_ids_targets_and_samples_together(
    problem: tuple[Part, SplitSpec, int],
) -> None:
    train, spec, classes = problem
    for split in cut({"train": train}, spec, names(classes)).values():
        values = split.read(range(len(split)))[:, 0]
        assert split.ids == tuple(f"s{int(value)}" for value in values)
        assert np.array_equal(split.targets, train.targets[values.astype(int)])


@given(
    st.lists(st.integers(3, 60), min_size=1, max_size=8),
    st.floats(0, 1),
    st.integers(0, 1),
    st.integers(0, 2),
)
def test_shares_keep_to_their_bounds_and_to_the_proportion(
    counts: list[int], fraction: float, low: int, leave: int
) -> None:
    array = np.array(counts, dtype=np.int64)
    least, most = low * len(counts), int((array - leave).sum())
    size = least + round(fraction * (most - least))
    shares = allocate(array, size, low=low, leave=leave)
    assert shares.sum() == size
    assert (shares >= low).all()
    assert (array - shares >= leave).all()


def test_shares_by_largest_remainder_worked_out_by_hand() -> None:
    # Quotas 3.5, 2.1, 1.4: the floors give 6, the largest remainder is the first.
    assert allocate(np.array([50, 30, 20]), 7, low=0, leave=0).tolist() == [4, 2, 1]
    # Quotas 9.7, 0.2, 0.1: the rare classes get their one.
    assert allocate(np.array([970, 20, 10]), 10, low=1, leave=1).tolist() == [8, 1, 1]


def test_another_seed_gives_other_splits() -> None:
    train = part(np.arange(100) % 2)
    one, two = (cut({"train": train}, SplitSpec(seed=s, calibration=5), names(2)) for s in (0, 1))
    assert one["test"].ids != two["test"].ids


def test_the_test_split_does_not_depend_on_the_other_sizes() -> None:
    train = part(np.arange(100) % 2)
    sizes = (SplitSpec(calibration=5), SplitSpec(calibration=9, validation=30))
    one, two = (cut({"train": train}, size, names(2)) for size in sizes)
    assert one["test"].ids == two["test"].ids


def test_parts_of_the_source_stay_whole() -> None:
    parts = {"train": part(np.arange(100) % 2), "test": part([0, 1, 1], prefix="t")}
    splits = cut(parts, SplitSpec(calibration=10, validation=0.1), names(2))
    assert splits["test"].ids == ("t0", "t1", "t2")
    assert len(splits["train"]) == 80


def test_calibration_may_be_smaller_than_the_number_of_classes() -> None:
    splits = cut({"train": part(np.arange(100) % 10)}, SplitSpec(calibration=3), names(10))
    assert len(splits["calibration"]) == 3


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"test": 99, "calibration": 0}, "data.split.test asks for 99"),
        ({"test": 0}, "data.split.test asks for 0 samples; 2 to 96"),
        ({"test": 1}, "data.split.test asks for 1"),
        ({"test": 50, "validation": 49}, "data.split.validation asks for 49"),
        ({"calibration": 128}, "data.split.calibration asks for 128"),
        ({"test": 1.5}, "leaves nothing to train on"),
    ],
)
def test_sizes_that_cannot_be_had(sizes: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        cut({"train": part(np.arange(100) % 2)}, SplitSpec(**sizes), names(2))
    assert caught.value.hint


def test_a_class_too_rare_to_be_in_every_split_is_named() -> None:
    with pytest.raises(DataError, match="class 'b' has 2 samples"):
        cut({"train": part([0] * 50 + [1] * 2)}, SplitSpec(calibration=1), names(2))


def test_train_can_be_kept_small_and_stratified() -> None:
    """Only train shrinks; the other splits keep their samples."""
    targets = np.arange(1000) % 4
    part = Part(
        ids=tuple(f"s/{i}" for i in range(1000)),
        targets=targets,
        reader=lambda indices: np.zeros((len(indices), 1, 2, 2), np.uint8),
    )
    classes = ("a", "b", "c", "d")
    spec = SplitSpec(calibration=40, validation=0.1, test=0.2)
    whole = cut({"train": part}, spec, classes)
    few = cut({"train": part}, spec.model_copy(update={"train": 80}), classes)
    assert np.bincount(few["train"].targets).tolist() == [20, 20, 20, 20]
    assert set(few["train"].ids) < set(whole["train"].ids)
    for name in ("calibration", "validation", "test"):
        assert few[name].ids == whole[name].ids
    with pytest.raises(DataError, match=r"data\.split\.train asks for 2000"):
        cut({"train": part}, spec.model_copy(update={"train": 2000}), classes)
    with pytest.raises(DataError, match=r"data\.split\.train asks for 3"):
        cut({"train": part}, spec.model_copy(update={"train": 3}), classes)
