"""The verb, on a run that was really trained; every number is computed again from its logits."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import binomtest, ttest_rel

import edgekd
from edgekd.data.load import load_dataset
from edgekd.errors import DataError, ModelFileError, RunError, UnknownNameError
from edgekd.recipe import Recipe
from edgekd.records_evaluation import Evaluation, SubjectScores
from edgekd.rundir import Run, read_record
from edgekd.runtimes.torch import restore


@pytest.fixture(scope="module")
def found(whole: Run) -> Evaluation:
    return edgekd.evaluate(whole, slices=["writer"])


def of(record: Evaluation, name: str) -> SubjectScores:
    return next(one for one in record.subjects if one.name == name)


def test_everything_is_evaluated_and_kept(found: Evaluation, whole: Run) -> None:
    names = [one.name for one in found.subjects]
    assert names == ["teacher", "student", "baseline", "onnx-fp32", "onnx-int8"]
    assert found.skipped == {}
    assert found.samples == sum(found.class_samples) == whole.manifest.splits["test"]
    assert whole.evaluations() == [found]
    assert read_record(whole.evaluations_dir / "test.json", Evaluation) == found
    assert found.parents == {"run": whole.manifest_sha256}
    assert whole.verify() == []


@pytest.mark.parametrize("name", ["teacher", "student", "baseline"])
def test_networks_are_those_that_the_run_scored(
    name: str, found: Evaluation, whole: Run, stored: dict[str, np.ndarray]
) -> None:
    logits, targets = stored[f"{name}_logits"], stored["targets"]
    theirs = stored["teacher_logits"]
    scores = {
        "teacher": whole.manifest.teacher_scores,
        "student": whole.manifest.student_scores,
        "baseline": whole.manifest.baseline_scores,
    }[name]
    one = of(found, name)
    assert one.accuracy == scores[0].test_accuracy == (logits.argmax(1) == targets).mean()
    assert one.agreement == (logits.argmax(1) == theirs.argmax(1)).mean()
    for label in range(10):
        here = targets == label
        assert one.classes[label] == pytest.approx((logits[here].argmax(1) == label).mean())
    log_p = torch.log_softmax(torch.from_numpy(theirs).double(), 1)
    log_q = torch.log_softmax(torch.from_numpy(logits).double(), 1)
    kl = torch.nn.functional.kl_div(log_q, log_p, log_target=True, reduction="batchmean")
    assert one.kl == pytest.approx(float(kl), abs=1e-5)
    nll = torch.nn.functional.nll_loss(log_q, torch.from_numpy(targets))
    assert one.calibration.nll == pytest.approx(float(nll), abs=1e-5)
    assert one.unknown == {}


def test_the_temperature_fits_validation_and_mends_test(found: Evaluation, whole: Run) -> None:
    dataset = load_dataset(whole.recipe.data)
    x = torch.from_numpy(dataset.normalised("validation"))
    y = torch.from_numpy(dataset.splits["validation"].targets)
    with torch.no_grad():
        logits = restore(whole, whole.student_path).eval()(x)
    one = of(found, "student")
    assert one.calibrated is not None
    assert one.fitted_on == "validation"
    best = one.calibrated.temperature

    def nll(t: float) -> float:
        return float(torch.nn.functional.cross_entropy(logits.double() / t, y))

    assert nll(best) < min(nll(best * 1.02), nll(best / 1.02))
    assert one.calibration.ece > one.calibrated.ece
    assert one.calibration.temperature == 1.0
    assert sum(found_bin.samples for found_bin in one.calibrated.bins) == found.samples


def test_files_are_run_themselves(found: Evaluation) -> None:
    student, plain, small = (of(found, n) for n in ("student", "onnx-fp32", "onnx-int8"))
    assert plain.accuracy == student.accuracy
    assert plain.kl == pytest.approx(student.kl, abs=1e-5)
    assert plain.runtime is not None
    assert plain.runtime.startswith("onnxruntime")
    assert small.kl != plain.kl, "int8 rounds"
    assert abs(small.accuracy - student.accuracy) < 0.05


def test_pairs_are_counted_and_tested(found: Evaluation, stored: dict[str, np.ndarray]) -> None:
    pairs = {(one.a, one.b): one for one in found.paired}
    assert set(pairs) == {
        ("student", "teacher"),
        ("student", "baseline"),
        ("onnx-fp32", "student"),
        ("onnx-int8", "student"),
    }
    one = pairs["student", "baseline"]
    targets = stored["targets"]
    ours = stored["student_logits"].argmax(1) == targets
    theirs = stored["baseline_logits"].argmax(1) == targets
    assert one.only_a == (ours & ~theirs).sum()
    assert one.only_b == (~ours & theirs).sum()
    assert one.n == one.both + one.only_a + one.only_b + one.neither == found.samples
    assert one.difference == pytest.approx(ours.mean() - theirs.mean())
    expected = binomtest(one.only_a, one.only_a + one.only_b).pvalue
    assert one.mcnemar_exact_p == pytest.approx(expected)
    assert one.mcnemar_midp_p < one.mcnemar_exact_p
    assert one.low <= one.difference <= one.high
    assert sum(gain.won for gain in one.classes) == one.only_a
    assert sum(gain.lost for gain in one.classes) == one.only_b
    ratios = [(gain.won - gain.lost) / gain.samples for gain in one.classes]
    assert ratios == sorted(ratios, reverse=True)
    assert pairs["onnx-fp32", "student"].mcnemar_exact_p == 1.0


def test_seeds_are_compared_with_their_twins(found: Evaluation, whole: Run) -> None:
    (seeds,) = found.seeds
    ours = [score.test_accuracy for score in whole.manifest.student_scores]
    theirs = [score.test_accuracy for score in whole.manifest.baseline_scores]
    assert (seeds.n, seeds.seeds) == (3, (0, 1, 2))
    assert seeds.t_p == pytest.approx(ttest_rel(ours, theirs).pvalue)
    assert seeds.wilcoxon_p is None, "three seeds cannot show anything by it"


def test_disagreements_are_all_there(found: Evaluation, stored: dict[str, np.ndarray]) -> None:
    first = found.disagreements[0]
    assert (first.a, first.b) == ("student", "teacher")
    ours, theirs = stored["student_logits"].argmax(1), stored["teacher_logits"].argmax(1)
    groups = (first.only_a_right, first.only_b_right, first.both_wrong)
    cases = [case for group in groups for case in group]
    assert {case.id for case in cases} == set(stored["ids"][ours != theirs].tolist())
    sure = torch.softmax(torch.from_numpy(stored["student_logits"]), 1).amax(1).numpy()
    for case in first.only_b_right:
        row = stored["ids"].tolist().index(case.id)
        assert case.target == case.b.label == stored["targets"][row] != case.a.label
        assert case.a.confidence == pytest.approx(sure[row], abs=1e-4)
    mistakes = [case.a.confidence for case in first.only_b_right]
    assert mistakes == sorted(mistakes, reverse=True)


def test_slices_add_up(found: Evaluation) -> None:
    assert [part.value for part in found.slices] == ["writer 0", "writer 1", "writer 2"]
    assert sum(part.samples for part in found.slices) == found.samples
    for name in ("student", "onnx-int8"):
        right = sum(part.samples * part.accuracies[name] for part in found.slices)
        assert right / found.samples == pytest.approx(of(found, name).accuracy)
        same = sum(part.samples * part.agreements[name] for part in found.slices)
        assert same / found.samples == pytest.approx(of(found, name).agreement)


def test_layers_are_compared(found: Evaluation, stored: dict[str, np.ndarray]) -> None:
    layers = found.layers
    assert layers is not None
    assert (layers.a, layers.b, layers.samples) == ("student", "teacher", 256)
    assert layers.a_layers[-1] == layers.b_layers[-1] == "output"
    chosen = np.unique(np.linspace(0, found.samples - 1, 256).round().astype(int))
    x, y = (stored[f"{n}_logits"][chosen].astype(float) for n in ("student", "teacher"))
    x, y = x - x.mean(0), y - y.mean(0)
    norms = np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y)
    expected = np.linalg.norm(y.T @ x) ** 2 / norms
    assert layers.values[-1][-1] == pytest.approx(expected, abs=1e-5)


def test_one_file_alone(run: Run) -> None:
    record = edgekd.evaluate(run, on=["onnx-int8"])
    assert [one.name for one in record.subjects] == ["onnx-int8"]
    assert of(record, "onnx-int8").agreement is not None, "the run knows what the teacher said"
    assert (record.paired, record.layers) == ((), None)
    assert (run.evaluations_dir / "test--onnx-int8.json").is_file()
    by_path = edgekd.evaluate(run.artifacts()[1].path)
    assert by_path.name == record.name
    assert by_path.subjects == record.subjects


def test_validation_is_calibrated_on_other_samples(run: Run) -> None:
    record = edgekd.evaluate(run, on=["student", "teacher"], split="validation", cka=False)
    assert record.samples == run.manifest.splits["validation"]
    one = of(record, "student")
    assert one.fitted_on == "calibration"
    assert one.agreement is not None, "the teacher answered, too"
    assert [(p.a, p.b) for p in record.paired] == [("student", "teacher")]
    alone = edgekd.evaluate(run, on=["student"], split="validation")
    assert alone.subjects[0].agreement is None
    assert "not known" in alone.subjects[0].unknown["agreement"]


def test_another_run(run: Run, other: Run) -> None:
    record = edgekd.evaluate(run, against=other.path, cka=False)
    assert record.against == "other"
    name = "student@other"
    assert of(record, name).accuracy == other.manifest.student_scores[0].test_accuracy
    pair = next(one for one in record.paired if one.b == name)
    assert pair.a == "student"
    assert pair.difference == pytest.approx(
        of(record, "student").accuracy - of(record, name).accuracy
    )
    assert record.name == "test--against-other"
    same = edgekd.evaluate(run, on=["student"], against=run, cka=False)
    assert next(one for one in same.paired).difference == 0.0


def test_a_run_of_other_data(run: Run, tmp_path: Path) -> None:
    from tests.evaluate.conftest import trained

    split = {"calibration": 64, "validation": 0.15, "test": 0.3, "seed": 9}
    elsewhere = trained(tmp_path / "elsewhere", data={"source": "digits", "split": split})
    with pytest.raises(DataError, match="other test samples"):
        edgekd.evaluate(run, against=elsewhere)


def test_a_bare_file(run: Run, tmp_path: Path) -> None:
    bare = tmp_path / "mine.onnx"
    bare.write_bytes(run.artifacts()[0].path.read_bytes())
    record = edgekd.evaluate(run, on=["student", bare])
    one = of(record, "mine.onnx")
    assert one.kind == "file"
    assert one.accuracy == of(record, "student").accuracy
    with pytest.raises(RunError, match="which data") as caught:
        edgekd.evaluate(bare)
    assert "--recipe" in str(caught.value.hint)
    recipe = Recipe.load(run.path / "recipe.toml")
    alone = edgekd.evaluate(bare, recipe=recipe, out=tmp_path / "mine.json")
    assert alone.subjects[0].accuracy == one.accuracy
    assert "no teacher" in alone.subjects[0].unknown["kl"]
    assert read_record(tmp_path / "mine.json", Evaluation) == alone


def test_files_that_cannot_be_run(run: Run, tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(run.artifacts()[0].path.read_bytes()[:-400])
    with pytest.raises(ModelFileError, match="ends too early"):
        edgekd.evaluate(run, on=[broken])
    with pytest.raises(UnknownNameError, match="'studnet'"):
        edgekd.evaluate(run, on=["studnet"])
    with pytest.raises(UnknownNameError, match="'speaker'"):
        edgekd.evaluate(run, slices=["speaker"])
    with pytest.raises(DataError, match="train"):
        edgekd.evaluate(run, split="train")  # type: ignore[arg-type]


def test_one_that_cannot_answer_does_not_stop_the_others(run: Run) -> None:
    run.teacher_path.unlink()
    record = edgekd.evaluate(Run(run.path, run.manifest), cka=True)
    one = of(record, "teacher")
    assert one.notes, "as the run wrote it down"
    assert one.calibrated is None
    assert "test split" in one.unknown["calibrated"]
    assert record.layers is None
    os.truncate(run.artifacts()[0].path, 100)
    with pytest.raises(RunError):
        edgekd.evaluate(Run(run.path, run.manifest))


def test_changed_data_is_refused(run: Run) -> None:
    manifest = run.manifest.model_copy(update={"data_sha256": "0" * 64})
    with pytest.raises(DataError, match="changed"):
        edgekd.evaluate(Run(run.path, manifest))


@pytest.mark.slow
def test_the_int8_tflite_file(run: Run) -> None:
    """The whole table of a run with its int8 TFLite file."""
    edgekd.export(run, target="tflite", quantize="int8")
    record = edgekd.evaluate(run)
    one = of(record, "tflite-int8")
    assert one.runtime is not None
    assert one.runtime.startswith("litert")
    assert one.agreement is not None
    assert one.calibrated is not None
    assert abs(one.accuracy - of(record, "student").accuracy) < 0.03
    assert ("tflite-int8", "student") in {(pair.a, pair.b) for pair in record.paired}


def test_teachers_with_label_orders_and_outputs_of_their_own(tmp_path: Path) -> None:
    from tests.evaluate.conftest import trained

    turned = [str(label) for label in reversed(range(10))]
    plain = {"model": "mlp", "hidden": [24], "train": {"epochs": 3}}
    teachers = [plain, {**plain, "name": "turned", "classes": turned}]
    made = trained(tmp_path / "several", teacher=teachers)
    record = edgekd.evaluate(made, cka=False)
    assert [one.name for one in record.subjects] == ["teacher", "teacher-2", "student"]
    scores = [score.test_accuracy for score in made.manifest.teacher_scores]
    assert [one.accuracy for one in record.subjects[:2]] == scores
    student = of(record, "student")
    assert student.agreement == made.manifest.student_scores[0].test_agreement
    assert {(p.a, p.b) for p in record.paired} == {("student", "teacher"), ("student", "teacher-2")}


def test_a_run_of_before_twins_were_kept(run: Run, stored: dict[str, np.ndarray]) -> None:
    """Its predictions stand in for the network."""
    run.baseline_path.unlink()
    record = edgekd.evaluate(Run(run.path, run.manifest), on=["baseline", "student"], cka=False)
    one = of(record, "baseline")
    logits, targets = stored["baseline_logits"], stored["targets"]
    assert one.accuracy == (logits.argmax(1) == targets).mean()
    assert one.calibrated is None
    rest = {name: stored[name] for name in stored if name != "baseline_logits"}
    np.savez(run.predictions_path, **rest)
    assert "baseline" not in [s.name for s in edgekd.evaluate(Run(run.path, run.manifest)).subjects]
