"""Assistants between teachers and student: who hears whom, what is kept, what resumes."""

from __future__ import annotations

import copy
import re
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn

from edgekd.data.load import load_dataset
from edgekd.data.split import Dataset
from edgekd.distill.chain import Chain, named_assistants
from edgekd.distill.stage import distill, examine
from edgekd.distill.terms import student_terms
from edgekd.distill.tutor import Tutor
from edgekd.errors import RecipeError
from edgekd.lineage import lineage
from edgekd.recipe import DataSpec, LossSpec, Recipe, TrainSpec
from edgekd.report import curves
from edgekd.rundir import Run, runs_root, sha256_file
from edgekd.runtimes.torch import restore
from edgekd.toml import dump_toml
from tests.distill.test_stage import Recorder, start
from tests.fixtures_tiny import TINY


@pytest.fixture
def chained(tiny: dict[str, Any]) -> dict[str, Any]:
    tiny["assistant"] = [
        {"model": "mlp", "hidden": [32]},
        {"name": "small", "model": "mlp", "hidden": [20], "train": {"epochs": 2}},
    ]
    return tiny


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("chain")
    raw = copy.deepcopy(TINY)
    raw["assistant"] = [{"model": "mlp", "hidden": [32]}, {"model": "mlp", "hidden": [20]}]
    raw["chain"] = {"direct": True}
    raw["train"] |= {"seeds": [0, 1]}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGEKD_RUNS", str(folder / "runs"))
        return distill(Recipe.from_dict(raw), out=folder / "run")


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load_dataset(DataSpec(source="digits"))


def tutors(dataset: Dataset, *names: str) -> tuple[Tutor, ...]:
    return tuple(Tutor(name, nn.Identity(), dataset) for name in names)


def lesson(chain: Chain, *losses: dict[str, Any]) -> tuple[dict[str, str | None], list[str]]:
    """Return whom each term hears, and everybody that is listened to."""
    terms = student_terms([LossSpec(**loss) for loss in losses], TrainSpec())
    found = chain.lesson(terms)
    return {t.name: t.teacher for t in found.terms}, [t.name for t in found.tutors]


KD = {"name": "kd"}
HINT = {"name": "hint", "layers": [["a", "b"]]}


class TestWhoHearsWhom:
    def test_teachers_alone(self, digits: Dataset) -> None:
        chain = Chain(tutors(digits, "t", "u"))
        assert lesson(chain, KD) == ({"kd": None}, ["t", "u"])

    def test_the_nearest(self, digits: Dataset) -> None:
        chain = Chain(tutors(digits, "t"), tutors(digits, "a", "b"), names=("a", "b"))
        assert lesson(chain, KD, HINT) == ({"kd": "b", "hint": "b"}, ["b"])

    def test_by_name(self, digits: Dataset) -> None:
        chain = Chain(tutors(digits, "t"), tutors(digits, "a", "b"), names=("a", "b"))
        found = lesson(chain, KD, {**HINT, "teacher": "t"}, {**KD, "teacher": "a"})
        assert found == ({"kd": "b", "hint": "t", "kd#2": "a"}, ["t", "a", "b"])

    def test_densely_all_together_and_layers_of_the_nearest(self, digits: Dataset) -> None:
        chain = Chain(tutors(digits, "t"), tutors(digits, "a", "b"), densely=True)
        assert lesson(chain, KD, HINT) == ({"kd": None, "hint": "b"}, ["t", "a", "b"])

    def test_who_comes_later_is_not_heard(self, digits: Dataset) -> None:
        chain = Chain(tutors(digits, "t"), tutors(digits, "a"), names=("a", "b"))
        assert lesson(chain, KD, {**KD, "teacher": "b"}) == ({"kd": "a"}, ["a"])
        assert lesson(chain.direct(), KD, {**KD, "teacher": "a"}) == ({"kd": None}, ["t"])


class TestAWholeChain:
    def test_every_link_is_in_the_manifest(self, run: Run) -> None:
        first, second = run.manifest.links
        assert (first.name, second.name) == ("assistant-1", "assistant-2")
        assert (first.hears, second.hears) == (("mlp",), ("assistant-1",))
        sizes = [run.manifest.teachers[0].parameters, first.facts.parameters]
        assert sizes > [second.facts.parameters]
        for link in run.manifest.links:
            (score,) = link.scores
            assert score.test_accuracy > 0.5
            assert score.test_agreement is not None and score.test_agreement > 0.5
            assert score.train_seconds is not None and score.train_seconds > 0

    def test_agreement_is_that_with_the_teacher(self, run: Run) -> None:
        arrays = np.load(run.predictions_path)
        same = arrays["teacher_logits"].argmax(1) == arrays["student_logits"].argmax(1)
        assert run.manifest.student_scores[0].test_agreement == pytest.approx(same.mean())

    def test_assistants_are_networks_of_the_run(self, run: Run) -> None:
        path = run.path / "assistant-2.safetensors"
        restored = restore(run, path)
        parameters = sum(p.numel() for p in restored.parameters())
        assert parameters == run.manifest.links[1].facts.parameters
        assert run.verify() == []

    def test_cost_and_gain_are_said(self, run: Run) -> None:
        facts = dict(lineage(run.manifest))
        assert facts["Chain"].startswith("mlp (") and "assistant-2 (" in facts["Chain"]
        assert "s of training between teachers and student" in facts["Chain, cost"]
        mean = np.mean(
            [
                ours.test_accuracy - theirs.test_accuracy
                for ours, theirs in zip(
                    run.manifest.student_scores,
                    run.manifest.compared_scores["direct"],
                    strict=True,
                )
            ]
        )
        assert f"{mean * 100:+.2f} pp" in facts["Chain, gain"] or mean == 0
        assert "(2 seeds)" in facts["Chain, gain"]

    def test_curves_draw_the_chain(self, run: Run) -> None:
        spec = curves.validation_accuracy(run.metrics())
        assert spec is not None
        for series in ("student", "direct", "assistant assistant-1", "assistant assistant-2"):
            assert f"'series': '{series}'" in str(spec)


def test_the_last_link_teaches_as_a_teacher_of_the_same_weights(chained: dict[str, Any]) -> None:
    """The chain adds nothing of its own: the same student, bit for bit."""
    whole = distill(Recipe.from_dict(chained))
    weights = whole.path / "assistant-2.safetensors"
    del chained["assistant"]
    chained["teacher"] = [{"model": "mlp", "hidden": [20], "weights": str(weights)}]
    plain = distill(Recipe.from_dict(chained))
    assert sha256_file(plain.student_path) == sha256_file(whole.student_path)


def test_densely_is_an_ensemble_of_all_before(chained: dict[str, Any]) -> None:
    chained["chain"] = {"densely": True}
    whole = distill(Recipe.from_dict(chained))
    assert whole.manifest.links[1].hears == ("mlp", "assistant-1")
    chained["teacher"] = [
        {"name": str(n), "model": "mlp", "hidden": [hidden], "weights": str(whole.path / file)}
        for n, (hidden, file) in enumerate(
            [
                (48, "teacher.safetensors"),
                (32, "assistant-1.safetensors"),
                (20, "assistant-2.safetensors"),
            ]
        )
    ]
    plain = distill(Recipe.from_dict({**chained, "assistant": [], "chain": {}}))
    assert sha256_file(plain.student_path) == sha256_file(whole.student_path)


class TestKept:
    def test_assistants_are_reused(self, chained: dict[str, Any]) -> None:
        distill(Recipe.from_dict(chained))
        chained["student"]["hidden"] = [8]
        watch = Recorder()
        again = distill(Recipe.from_dict(chained), progress=watch)
        assert {line["phase"] for line in watch.lines} == {"student"}
        assert sum("reused" in text for text in watch.messages) == 3
        assert again.manifest.links[0].hears == ("mlp",)

    def test_the_chain_before_decides(self, chained: dict[str, Any]) -> None:
        distill(Recipe.from_dict(chained))
        chained["assistant"][0]["train"] = {"epochs": 1}
        watch = Recorder()
        distill(Recipe.from_dict(chained), progress=watch)
        phases = {line["phase"] for line in watch.lines}
        assert phases == {"assistant assistant-1", "assistant small", "student"}

    def test_the_losses_decide(self, chained: dict[str, Any]) -> None:
        distill(Recipe.from_dict(chained))
        chained["loss"][1]["temperature"] = 2.0
        watch = Recorder()
        distill(Recipe.from_dict(chained), progress=watch)
        assert "assistant small" in {line["phase"] for line in watch.lines}

    def test_an_assistant_of_given_weights_is_not_trained(self, chained: dict[str, Any]) -> None:
        whole = distill(Recipe.from_dict(chained))
        chained["assistant"][0]["weights"] = str(whole.path / "assistant-1.safetensors")
        watch = Recorder()
        again = distill(Recipe.from_dict(chained), progress=watch)
        assert "assistant assistant-1" not in {line["phase"] for line in watch.lines}
        assert sha256_file(again.student_path) == sha256_file(whole.student_path)

    def test_cached_answers(self, chained: dict[str, Any]) -> None:
        chained["assistant"][1]["cache"] = {"views": 2, "precision": "fp32"}
        chained["train"]["augment"] = ["affine"]
        run = distill(Recipe.from_dict(chained))
        assert len(list((runs_root() / "cache").iterdir())) == 1
        assert run.manifest.student_scores[0].test_accuracy > 0.4


def test_a_dry_run_looks_at_every_link(chained: dict[str, Any]) -> None:
    findings = examine(Recipe.from_dict(chained))
    checks = [finding.check for finding in findings]
    for start_of in ("assistant assistant-1: ", "assistant small: ", ""):
        assert f"{start_of}finite" in checks
    assert not [finding for finding in findings if finding.status == "fail"]
    assert not runs_root().exists()


@pytest.mark.parametrize(
    "after",
    [
        pytest.param("assistant assistant-1 2", marks=pytest.mark.slow),
        "assistant small 1",
        pytest.param("student 2", marks=pytest.mark.slow),
    ],
)
def test_killed_then_resumed_is_the_same_student(
    chained: dict[str, Any], tmp_path: Path, after: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "tiny.toml"
    path.write_text(dump_toml(chained))
    whole = distill(path, out=tmp_path / "whole")
    monkeypatch.setenv("EDGEKD_RUNS", str(tmp_path / "other-runs"))
    with start(path, tmp_path / "killed") as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.strip() == after:
                process.send_signal(signal.SIGKILL)
                break
    resumed = distill(resume=tmp_path / "killed")
    assert sha256_file(resumed.student_path) == sha256_file(whole.student_path)
    keys = [(line["phase"], line["epoch"]) for line in resumed.metrics()]
    assert keys == [(line["phase"], line["epoch"]) for line in whole.metrics()]
    assert [link.hears for link in resumed.manifest.links] == [("mlp",), ("assistant-1",)]


class TestFaults:
    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"teacher": []}, "needs somebody to learn from|needs a teacher"),
            ({"assistant": [{"model": "mlp", "name": "mlp"}]}, "another network called 'mlp'"),
            ({"assistant": [{"model": "mlp", "losses": ["kid"]}]}, "kid.*Did you mean 'kd'"),
            ({"assistant": [{"model": "mlp", "losses": ["cross-entropy"]}]}, "labels alone"),
            ({"assistant": [{"model": "mlp", "train": {"epocs": 1}}]}, "train.epocs"),
            ({"assistant": [{"model": "mlq"}]}, "did you mean|Did you mean"),
            ({"assistant": [], "chain": {"direct": True}}, "no chain to compare with"),
            ({"peer": [{"model": "mlp", "name": "p"}]}, "peers learn beside"),
        ],
    )
    def test_found_before_anything_is_written(
        self, chained: dict[str, Any], change: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(RecipeError) as caught:
            distill(Recipe.from_dict(chained | change))
        assert re.search(message, f"{caught.value} {caught.value.hint}")
        assert not runs_root().exists()

    def test_a_layer_that_the_last_assistant_lacks(self, chained: dict[str, Any]) -> None:
        chained["loss"].append({"name": "hint", "layers": [["layers.0", "layers.9"]]})
        with pytest.raises(RecipeError, match=r"hint"):
            distill(Recipe.from_dict(chained))
        assert not runs_root().exists()

    def test_names(self, chained: dict[str, Any]) -> None:
        named = named_assistants(Recipe.from_dict(chained))
        assert [item.name for item in named] == ["assistant-1", "small"]
        assert [item.train.epochs for item in named] == [3, 2]
