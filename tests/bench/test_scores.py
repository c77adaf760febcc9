"""Accuracy and agreement: coding of inputs and outputs, and matching by id."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgekd.bench.scores import TestSet as Split
from edgekd.bench.scores import judge, load_test_set, why_not, write_inputs
from edgekd.errors import DataError, MeasurementError
from edgekd.records import TensorSpec
from edgekd.rundir import Run


def split(n: int = 4, shape: tuple[int, ...] = (2, 3, 3), classes: int = 3) -> Split:
    rng = np.random.default_rng(0)
    return Split(
        inputs=rng.standard_normal((n, *shape)).astype(np.float32),
        targets=np.arange(n) % classes,
        teacher=np.eye(classes)[np.zeros(n, int)],
        no_teacher=None,
        classes=classes,
    )


def test_inputs_are_coded_as_the_file_wants_them(tmp_path: Path) -> None:
    test = split()
    spec = TensorSpec(
        name="x", shape=(1, 3, 3, 2), dtype="int8", layout="nhwc", scale=0.05, zero_point=3
    )
    write_inputs(test, spec, tmp_path / "in.npz")
    wanted = np.clip(np.rint(test.inputs.transpose(0, 2, 3, 1) / 0.05) + 3, -128, 127)
    with np.load(tmp_path / "in.npz") as found:
        np.testing.assert_allclose(found["input_0"], wanted, atol=1)  # float32 and float64 ties
        assert found["input_0"].dtype == np.int8
        assert found["sample_0"].shape == (1, 3, 3, 2)
        assert np.array_equal(found["sample_0"], found["input_0"][:1])


def test_a_file_of_a_fixed_batch_is_timed_on_it(tmp_path: Path) -> None:
    spec = TensorSpec(name="x", shape=(6, 2, 3, 3), dtype="float32")
    write_inputs(split(n=4), spec, tmp_path / "in.npz")
    with np.load(tmp_path / "in.npz") as found:
        assert found["sample_0"].shape == (6, 2, 3, 3)


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
    np.savez(tmp_path / "out.npz", output_0=np.zeros((4, 7)), output_1=scores)
    specs = [
        TensorSpec(name="features", shape=(None, 7), dtype="float32"),
        TensorSpec(name="logits", shape=(None, 3), dtype="int8", scale=0.5, zero_point=-3),
    ]
    found = judge(tmp_path / "out.npz", specs, split())
    assert (found.accuracy, found.agreement, found.samples) == (0.75, 0.25, 4)
    assert found.unknown == {}


def test_what_cannot_be_scored_has_a_reason(tmp_path: Path) -> None:
    spec = [TensorSpec(name="y", shape=(None, 3), dtype="float32")]
    np.savez(tmp_path / "out.npz", output_0=np.zeros((4, 7)))
    assert (
        "no output of shape (N, 3)"
        in judge(tmp_path / "out.npz", spec, split()).unknown["accuracy"]
    )
    np.savez(tmp_path / "out.npz", output_0=np.full((4, 3), np.nan))
    found = judge(tmp_path / "out.npz", spec, split())
    assert found.accuracy is None and "NaN" in found.unknown["agreement"]
    (tmp_path / "out.npz").write_bytes(b"PK\x03\x04 cut")
    with pytest.raises(MeasurementError, match="cannot be read"):
        judge(tmp_path / "out.npz", spec, split())


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
    assert len(found.targets) == len(found.inputs) > 0


def test_data_that_has_changed_is_not_used(run: Run) -> None:
    manifest = run.manifest.model_copy(update={"data_sha256": "0" * 64})
    with pytest.raises(DataError, match="has changed"):
        load_test_set(Run(run.path, manifest))
