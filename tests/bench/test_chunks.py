"""Samples in pieces: which, how many, and how much memory they take."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekd.bench.chunks import Answers, Samples
from edgekd.bench.options import Options
from edgekd.bench.scores import judge
from edgekd.bench.testset import TestSet as Split
from edgekd.bench.testset import choose
from edgekd.errors import MeasurementError
from edgekd.records import TensorSpec


def generated(n: int, shape: tuple[int, ...]) -> Split:
    """A split that is made when it is read, as one on a disk is."""

    def read(indices: np.ndarray) -> np.ndarray:
        values = indices.astype(np.float32).reshape(-1, *[1] * len(shape))
        return np.broadcast_to(values, (len(indices), *shape)).astype(np.float32)

    return Split(
        read=read,
        sample_shape=shape,
        targets=np.arange(n) % 10,
        teacher=None,
        no_teacher="none",
        classes=10,
        sha256="made up",
    )


def test_pieces_are_coded_as_the_file_wants_them(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    inputs = rng.standard_normal((4, 2, 3, 3)).astype(np.float32)
    test = Split(lambda i: inputs[i], (2, 3, 3), np.zeros(4, np.int64), None, "none", 3)
    spec = TensorSpec(
        name="x", shape=(1, 3, 3, 2), dtype="int8", layout="nhwc", scale=0.05, zero_point=3
    )
    samples = Samples(test, np.arange(4), spec)
    samples.write(np.array([1, 3]), tmp_path / "in.npz")
    samples.write_one(tmp_path / "one.npz")
    wanted = np.clip(np.rint(inputs.transpose(0, 2, 3, 1) / 0.05) + 3, -128, 127)
    with np.load(tmp_path / "in.npz") as found:
        np.testing.assert_allclose(found["input_0"], wanted[[1, 3]], atol=1)  # float32 ties
        assert found["input_0"].dtype == np.int8
    with np.load(tmp_path / "one.npz") as found:
        assert found["sample_0"].shape == (1, 3, 3, 2)


def test_a_file_of_a_fixed_batch_is_timed_on_it(tmp_path: Path) -> None:
    spec = TensorSpec(name="x", shape=(6, 2), dtype="float32")
    samples = Samples(generated(4, (2,)), np.arange(4), spec)
    samples.write_one(tmp_path / "one.npz")
    with np.load(tmp_path / "one.npz") as found:
        assert found["sample_0"][:, 0].tolist() == [0, 1, 2, 3, 3, 3]


@given(
    n=st.integers(1, 500),
    values=st.integers(1, 5000),
    batch=st.one_of(st.none(), st.integers(1, 40)),
    kind=st.sampled_from(["float32", "int8"]),
)
def test_pieces_hold_every_sample_once(n: int, values: int, batch: int | None, kind: str) -> None:
    spec = TensorSpec(name="x", shape=(batch, values), dtype=kind, scale=0.1, zero_point=0)
    samples = Samples(
        generated(n, (values,)), np.arange(n), spec, piece_bytes=40_000, group_bytes=100_000
    )
    assert np.array_equal(np.concatenate(samples.pieces), np.arange(n))
    whole = samples.at_once
    assert all(len(piece) == whole for piece in samples.pieces[:-1])
    assert whole % (batch or 1) == 0
    assert whole * values * 4 <= 40_000 or whole == (batch or 1)
    size = 4 if kind == "float32" else 1
    in_group = samples.pieces_in_group * whole * values * size
    assert in_group <= 100_000 or samples.pieces_in_group == 1


@given(
    counts=st.lists(st.integers(1, 60), min_size=1, max_size=6),
    share=st.floats(0.01, 0.99),
    seed=st.integers(0, 9),
)
def test_a_choice_has_every_class_as_often_as_the_whole(
    counts: list[int], share: float, seed: int
) -> None:
    targets = np.repeat(np.arange(len(counts)), counts)
    wanted = max(1, round(share * len(targets)))
    chosen = choose(targets, wanted, seed)
    assert len(chosen) == len(set(chosen.tolist())) == wanted
    assert (np.diff(chosen) > 0).all()
    for label, count in enumerate(counts):
        exact = count * wanted / len(targets)
        assert abs((targets[chosen] == label).sum() - exact) <= len(counts) / 2 + 1
    larger = choose(targets, min(wanted + 5, len(targets)), seed)
    assert set(chosen.tolist()) <= set(larger.tolist())


def test_choices_by_seed() -> None:
    targets = np.arange(1000) % 10
    assert np.array_equal(choose(targets, 50, 1), choose(targets, 50, 1))
    assert not np.array_equal(choose(targets, 50, 1), choose(targets, 50, 2))
    assert np.bincount(targets[choose(targets, 50, 1)]).tolist() == [5] * 10
    for count in (None, 1000, 5000):
        assert np.array_equal(choose(targets, count), np.arange(1000))


@pytest.mark.parametrize(
    ("given_samples", "emulated", "macs", "wanted"),
    [
        (None, False, 10, None),
        (None, True, None, 200),
        (None, True, 10_000_000, 100),
        (None, True, 1_000_000, 1000),
        (0, True, 10_000_000, None),
        (30, True, 1, 30),
        (30, False, 1, 30),
    ],
)
def test_how_many_samples(
    given_samples: int | None, emulated: bool, macs: int | None, wanted: int | None
) -> None:
    assert Options(samples=given_samples).samples_for(emulated=emulated, macs=macs) == wanted


def test_a_large_split_takes_little_memory(tmp_path: Path) -> None:
    """120 MB of samples, written and answered piece by piece."""
    test = generated(600, (3, 128, 128))
    spec = TensorSpec(name="x", shape=(None, 128, 128, 3), dtype="float32", layout="nhwc")
    samples = Samples(test, np.arange(600), spec)
    answers = Answers(tmp_path / "answers", samples)
    logits = np.eye(10, dtype=np.float32)[np.arange(600) % 10]
    tracemalloc.start()
    for number in answers.missing():
        samples.write(answers.pieces[number], tmp_path / "in.npz")
        np.savez(tmp_path / "out.npz", output_0=logits[answers.pieces[number]])
        answers.add(number, tmp_path / "out.npz")
    output = TensorSpec(name="y", shape=(None, 10), dtype="float32")
    found = judge(answers, [output], test, tmp_path / "kept")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found.accuracy == 1.0 and found.samples == 600
    assert peak < 40_000_000  # 5 times a piece of 8 MB


def test_answers_that_make_no_sense(tmp_path: Path) -> None:
    spec = TensorSpec(name="x", shape=(None, 2), dtype="float32")
    answers = Answers(tmp_path / "answers", Samples(generated(4, (2,)), np.arange(4), spec))
    np.savez(tmp_path / "out.npz", output_0=np.zeros((3, 10)))
    with pytest.raises(MeasurementError, match="3 samples, not 4"):
        answers.add(0, tmp_path / "out.npz")
    (tmp_path / "out.npz").write_bytes(b"PK\x03\x04 cut")
    with pytest.raises(MeasurementError, match="cannot be read"):
        answers.add(0, tmp_path / "out.npz")
    assert answers.missing() == [0]


def test_a_key_changes_with_all_that_decides_the_answers() -> None:
    spec = TensorSpec(name="x", shape=(None, 2), dtype="float32")
    test = generated(4, (2,))
    base = Samples(test, np.arange(4), spec)
    others = [
        Samples(test, np.arange(3), spec),
        Samples(test, np.arange(4), spec.model_copy(update={"dtype": "int8", "scale": 0.1})),
        Samples(test, np.arange(4), spec, piece_bytes=16),
        Samples(Split(**{**vars(test), "sha256": "other"}), np.arange(4), spec),
    ]
    assert base.key() == Samples(test, np.arange(4), spec).key()
    assert len({base.key(), *(other.key() for other in others)}) == 5
