"""The verb and the command: who is asked, what is written, what is refused, what is printed."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgekd
from edgekd.cli.app import app
from edgekd.data.load import load_dataset
from edgekd.errors import DataError, EdgekdError, MissingExtraError, RunError, UnknownNameError
from edgekd.evaluate.answers import NetworkAnswers
from edgekd.evaluate.corruptions.samples import fitting
from edgekd.evaluate.robustness import evaluate_corruptions
from edgekd.evaluate.together import Together
from edgekd.metrics.classification import accuracy
from edgekd.recordfile import read_record
from edgekd.records_robustness import Robustness
from edgekd.rundir import Run
from edgekd.toml import read_toml

REPOSITORY = Path(__file__).parents[2]

FEW = {"corruptions": ["shot-noise", "rotate"], "severities": (1, 5)}


@pytest.fixture(scope="module")
def few(whole: Run, tmp_path_factory: pytest.TempPathFactory) -> Robustness:
    """Everything of the run, two corruptions; the run itself is left alone."""
    out = tmp_path_factory.mktemp("robustness") / "few.json"
    record = evaluate_corruptions(whole, out=out, **FEW)
    assert read_record(out, Robustness) == record
    assert not whole.robustness_dir.exists()
    return record


def test_networks_and_files_are_asked(few: Robustness, whole: Run) -> None:
    names = [found.name for found in few.subjects]
    assert {"teacher", "student", "onnx-fp32", "onnx-int8"} <= set(names)
    assert (few.corruptions, few.severities) == (("shot-noise", "rotate"), (1, 5))
    assert few.samples == whole.manifest.splits["test"]
    assert set(few.sample_kinds.values()) == {"image"}
    assert few.data_sha256 == whole.manifest.data_sha256
    assert few.parents["student"] == whole.manifest.files["student.safetensors"].sha256
    for found in few.subjects:
        assert [(s.corruption, s.severity) for s in found.scores] == [
            ("shot-noise", 1),
            ("shot-noise", 5),
            ("rotate", 1),
            ("rotate", 5),
        ]


def test_clean_numbers_are_those_of_the_run(few: Robustness, whole: Run) -> None:
    by_name = {found.name: found for found in few.subjects}
    score = whole.manifest.student_scores[0]
    assert by_name["student"].clean_accuracy == pytest.approx(score.test_accuracy)
    assert by_name["student"].clean_agreement == pytest.approx(score.test_agreement)
    assert by_name["teacher"].clean_agreement == 1.0


def test_a_float_file_does_what_its_network_does(few: Robustness) -> None:
    by_name = {found.name: found for found in few.subjects}
    network, file = by_name["student"], by_name["onnx-fp32"]
    assert file.model_copy(update={"name": "student"}) == network
    assert by_name["onnx-int8"].mean_corruption_error == pytest.approx(
        network.mean_corruption_error, abs=0.05
    )


def test_the_record_of_everything_is_not_overwritten_by_one_of_less(run: Run) -> None:
    evaluate_corruptions(run, corruptions=["jpeg"], severities=[1, 1, 0], on=["student"])
    evaluate_corruptions(run, corruptions=["shift"], on=["teacher"], split="validation", seed=4)
    names = sorted(path.name for path in run.robustness_dir.iterdir())
    assert names == ["test--student--jpeg--severity-1.json", "validation--teacher--shift.json"]
    first, second = run.robustness()
    assert (first.severities, first.seed, first.split) == ((1,), 0, "test")
    assert (second.severities, second.seed, second.split) == ((1, 3, 5), 4, "validation")
    assert run.verify() == []


def test_agreement_needs_no_teacher_among_the_subjects(
    few: Robustness, whole: Run, tmp_path: Path
) -> None:
    alone = evaluate_corruptions(whole, on=["student"], out=tmp_path / "o.json", **FEW)
    (found,) = alone.subjects
    assert found == next(each for each in few.subjects if each.name == "student")


def test_a_teacher_that_was_not_kept(run: Run) -> None:
    run.teacher_path.unlink()
    record = evaluate_corruptions(run, **FEW)
    assert "teacher" in record.skipped
    assert "only its answers were kept" in record.skipped["teacher"]
    assert "agreement" in record.unknown
    assert all(found.mean_agreement is None for found in record.subjects)
    assert all(found.error_over_teacher is None for found in record.subjects)
    with pytest.raises(RunError, match="only its answers were kept"):
        evaluate_corruptions(run, on=["teacher"], **FEW)


def test_bare_files_run_on_the_data_of_a_recipe(
    few: Robustness, whole: Run, tmp_path: Path
) -> None:
    path = tmp_path / "theirs.onnx"
    shutil.copy(whole.artifacts_dir / "onnx-fp32" / "model.onnx", path)
    with pytest.raises(RunError, match="belongs to no run"):
        evaluate_corruptions(path)
    record = evaluate_corruptions(path, recipe=whole.recipe, **FEW)
    expected = next(each for each in few.subjects if each.name == "onnx-fp32")
    (found,) = record.subjects
    assert record.run is None
    assert [s.accuracy for s in found.scores] == [s.accuracy for s in expected.scores]
    assert found.mean_agreement is None
    assert record.unknown == {"agreement": "there is no teacher"}


def test_bad_requests(whole: Run, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="'pitch' is for waveforms"):
        evaluate_corruptions(whole, corruptions=["pitch"])
    with pytest.raises(UnknownNameError, match="unknown corruption 'blurr'"):
        evaluate_corruptions(whole, corruptions=["blurr"])
    with pytest.raises(UnknownNameError, match="'techer'"):
        evaluate_corruptions(whole, on=["techer"])
    with pytest.raises(EdgekdError, match="no severity 7"):
        evaluate_corruptions(whole, severities=[7])
    with pytest.raises(EdgekdError, match="no severity to measure"):
        evaluate_corruptions(whole, severities=[0])
    with pytest.raises(DataError, match="are no vectors"):
        evaluate_corruptions(whole, samples="vector")


def test_data_that_changed_is_refused(run: Run) -> None:
    manifest = run.manifest.model_copy(update={"data_sha256": "0" * 64})
    with pytest.raises(DataError, match="the data has changed"):
        evaluate_corruptions(Run(run.path, manifest), **FEW)


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from edgekd.evaluate.corruptions import CORRUPTIONS

    monkeypatch.delitem(sys.modules, "edgekd.evaluate.corruptions.stretching", raising=False)
    monkeypatch.setitem(sys.modules, "python_stretch", None)
    with pytest.raises(MissingExtraError) as caught:
        CORRUPTIONS.resolve("time-stretch")
    assert caught.value.hint == 'Install it: pip install "edgekd[audio]"'
    extras = read_toml(REPOSITORY / "pyproject.toml")["project"]["optional-dependencies"]
    assert any(each.startswith("python-stretch") for each in extras["audio"])


def test_teachers_together_are_the_mean_they_say(whole: Run) -> None:
    import torch

    class Fixed(torch.nn.Module):
        def __init__(self, logits: np.ndarray) -> None:
            super().__init__()
            self.values = torch.from_numpy(logits)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.values[: len(x)]

    dataset = load_dataset(whole.recipe.data)
    random = np.random.default_rng(0)
    pair = [random.standard_normal((256, 10)).astype(np.float32) * 3 for _ in range(2)]
    members = [NetworkAnswers(Fixed(each), lambda data: data) for each in pair]
    part = dataset.splits["test"].subset(np.arange(200))
    small = type(dataset)(**{**vars(dataset), "splits": {"test": part}})

    mean = Together(members, [3.0, 1.0]).logits(small, "test")
    soft = [np.exp(x[:200]) / np.exp(x[:200]).sum(1, keepdims=True) for x in pair]
    np.testing.assert_allclose(np.exp(mean), 0.75 * soft[0] + 0.25 * soft[1], rtol=1e-4)
    plain = Together(members, [3.0, 1.0], "logits").logits(small, "test")
    np.testing.assert_allclose(plain, 0.75 * pair[0][:200] + 0.25 * pair[1][:200], rtol=1e-4)
    assert accuracy(mean, part.targets) < 0.5


Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    def run(*arguments: str, width: int = 80) -> tuple[int, str, str]:
        monkeypatch.setenv("COLUMNS", str(width))
        with pytest.raises(SystemExit) as ended:
            app(["evaluate", *arguments])
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return run


@pytest.mark.parametrize("width", [60, 80])
def test_the_table_fits(run: Run, command: Command, width: int) -> None:
    code, out, err = command(str(run.path), "--corruptions", "--severity", "3", width=width)
    assert code == 0, err
    assert max(len(line.rstrip()) for line in out.splitlines()) <= width
    assert "11 corruptions at severity 3" in " ".join(out.split())
    for name in (*fitting("image"), "student", "onnx-int8"):
        assert name in out, name
    assert ("errors / teacher's" in out) == (width == 80)
    assert "gaussian-noise" in err
    assert "…" not in out


def test_json_is_the_record(run: Run, command: Command) -> None:
    code, out, _ = command(
        str(run.path), "--corruption", "jpeg", "--on", "student", "--seed", "2", "--json"
    )
    assert code == 0
    assert Robustness.model_validate(json.loads(out)) == run.robustness()[0]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--severity", "2"], "--severity has no meaning without --corruptions"),
        (["--samples", "image"], "--samples has no meaning without --corruptions"),
        (["--corruptions", "--slices", "x"], "--slices has no meaning with --corruptions"),
        (["--corruptions", "--severity", "9"], "there is no severity 9"),
        (["--corruption", "jpg"], "unknown corruption 'jpg'"),
    ],
)
def test_options_that_do_nothing_are_refused(
    run: Run, command: Command, arguments: list[str], said: str
) -> None:
    code, out, err = command(str(run.path), *arguments)
    assert (code, out) == (2, "")
    assert said in err


def test_public_function() -> None:
    found: Any = edgekd.evaluate_corruptions
    assert found is evaluate_corruptions
    assert edgekd.Robustness is Robustness
