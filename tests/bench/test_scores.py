"""Accuracy and agreement: coding of inputs and outputs, and matching by id."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekd.bench.scores import judge, why_not
from edgekd.bench.testset import TestSet as Split
from edgekd.bench.testset import load_test_set
from edgekd.errors import DataError
from edgekd.records import TensorSpec
from edgekd.rundir import Run


def split(n: int = 4, shape: tuple[int, ...] = (2, 3, 3), classes: int = 3) -> Split:
    rng = np.random.default_rng(0)
    inputs = rng.standard_normal((n, *shape)).astype(np.float32)
    return Split(
        read=lambda indices: inputs[indices],
        sample_shape=shape,
        targets=np.arange(n) % classes,
        teacher=np.eye(classes)[np.zeros(n, int)],
        no_teacher=None,
        classes=classes,
        sha256="data",
    )


def pieces(**outputs: np.ndarray) -> list[tuple[np.ndarray, dict[str, np.ndarray]]]:
    """Answers in two pieces."""
    n = len(next(iter(outputs.values())))
    cuts = np.arange(n)[: n - 1], np.arange(n)[n - 1 :]
    return [(cut, {name: y[cut] for name, y in outputs.items()}) for cut in cuts]


@pytest.mark.parametrize(
    ("specs", "reason"),
    [
        ([TensorSpec(name="x", shape=(None, 2, 3, 3), dtype="float32", layout="nchw")], None),
        ([TensorSpec(name="x", shape=(1, 3, 3, 2), dtype="int8", layout="nhwc")], None),
        ([TensorSpec(name="x", shape=(1, None, None, None), dtype="float32")], None),
        ([TensorSpec(name="x", shape=(1, 2, 4, 3), dtype="float32")], "shape (2, 4, 3)"),
        ([TensorSpec(name="x", shape=(1, 18), dtype="float32")], "shape (18,)"),
        ([], "0 inputs"),
        ([TensorSpec(name=n, shape=(1,), dtype="float32") for n in "ab"], "2 inputs"),
    ],
)
def test_says_why_samples_do_not_fit(specs: list[TensorSpec], reason: str | None) -> None:
    said = why_not(specs, split())
    assert said is None if reason is None else reason in str(said)


def test_the_output_of_the_classes_is_scored(tmp_path: Path) -> None:
    """Coded int8: the classes are 0, 1, 2, 2 for the targets 0, 1, 2, 0 and the teacher's 0s."""
    scores = np.array([[9, 1, 1], [0, 5, 4], [-3, -2, -1], [0, 0, 1]], np.int8)
    specs = [
        TensorSpec(name="features", shape=(None, 7), dtype="float32"),
        TensorSpec(name="logits", shape=(None, 3), dtype="int8", scale=0.5, zero_point=-3),
    ]
    answers = pieces(output_0=np.zeros((4, 7)), output_1=scores)
    found = judge(answers, specs, split(), tmp_path / "kept")
    assert (found.accuracy, found.agreement, found.samples, found.of) == (0.75, 0.25, 4, 4)
    assert found.unknown == {}
    assert found.kept is not None and found.kept.spec is specs[1]
    assert np.array_equal(found.kept.rows(np.array([1, 3])), scores[[1, 3]])
    assert judge(answers, specs, split()).kept is None


def test_what_cannot_be_scored_has_a_reason() -> None:
    spec = [TensorSpec(name="y", shape=(None, 3), dtype="float32")]
    found = judge(pieces(output_0=np.zeros((4, 7))), spec, split())
    assert "no output of shape (N, 3)" in found.unknown["accuracy"]
    found = judge(pieces(output_0=np.full((4, 3), np.nan)), spec, split())
    assert found.accuracy is None and "NaN" in found.unknown["agreement"]
    assert "no test sample" in judge([], spec, split()).unknown["accuracy"]


@given(
    n=st.integers(1, 60),
    cut=st.lists(st.integers(1, 59), max_size=4),
    seed=st.integers(0, 2**32 - 1),
)
def test_pieces_score_as_the_whole_does(n: int, cut: list[int], seed: int) -> None:
    """The shares are counts of samples, whatever the pieces."""
    rng = np.random.default_rng(seed)
    logits = rng.standard_normal((n, 3)).astype(np.float32)
    test = split(n, (1,))
    parts = [part for part in np.split(np.arange(n), sorted({c for c in cut if c < n}))]
    answers = [(part, {"output_0": logits[part]}) for part in parts]
    found = judge(answers, [TensorSpec(name="y", shape=(None, 3), dtype="float32")], test)
    top = logits.argmax(1)
    assert found.accuracy == (top == test.targets).sum() / n
    assert found.agreement == (top == 0).sum() / n


def test_the_teachers_answers_are_matched_by_id(run: Run) -> None:
    before = load_test_set(run)
    with np.load(run.predictions_path) as stored:
        kept = dict(stored)
    assert before.teacher is not None
    assert np.array_equal(before.teacher, kept["teacher_logits"])
    order = np.random.default_rng(0).permutation(len(kept["ids"]))
    np.savez(run.predictions_path, **{name: value[order] for name, value in kept.items()})
    after = load_test_set(run)
    assert after.teacher is not None
    assert np.array_equal(after.teacher, before.teacher)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda path, kept: path.unlink(), "FileNotFoundError"),
        (lambda path, kept: path.write_bytes(path.read_bytes()[:99]), "BadZipFile"),
        (lambda path, kept: np.savez(path, ids=kept["ids"]), "KeyError"),
        (lambda path, kept: np.savez(path, **{k: v[3:] for k, v in kept.items()}), "lack 3 of"),
    ],
)
def test_lost_predictions_cost_the_agreement_alone(run: Run, damage: object, reason: str) -> None:
    with np.load(run.predictions_path) as stored:
        kept = dict(stored)
    damage(run.predictions_path, kept)  # type: ignore[operator]
    found = load_test_set(run)
    assert found.teacher is None and reason in str(found.no_teacher)
    assert len(found) == len(found.read(np.arange(len(found)))) > 0


def test_data_that_has_changed_is_not_used(run: Run) -> None:
    manifest = run.manifest.model_copy(update={"data_sha256": "0" * 64})
    with pytest.raises(DataError, match="has changed"):
        load_test_set(Run(run.path, manifest))
