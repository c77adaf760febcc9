"""Peers, teachers that follow, and learning without labels."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional

from edgekd.data.load import load_dataset, load_for_student
from edgekd.data.split import Part, RawData
from edgekd.distill.batches import TrainingBatches
from edgekd.distill.checkpoint import Checkpoint
from edgekd.distill.evaluate import predict
from edgekd.distill.following_teacher import average_of
from edgekd.distill.job import Job, Peer, Term
from edgekd.distill.loop import fit
from edgekd.distill.online import in_company
from edgekd.distill.progress import Progress
from edgekd.distill.stage import distill, examine
from edgekd.distill.tutor import Tutor
from edgekd.errors import EdgekdError, RecipeError
from edgekd.losses.cross_entropy import CrossEntropy
from edgekd.losses.kd import KD
from edgekd.models.build import build
from edgekd.recipe import DataSpec, EnsembleSpec, Recipe, TrainSpec
from edgekd.rundir import Run
from edgekd.runtimes.torch import restore

MLP: dict[str, Any] = {"model": "mlp", "hidden": [12]}
FOLLOWS: dict[str, Any] = {"follows": "student", "decay": 0.9}


def recipe_of(tiny: dict[str, Any], **more: Any) -> Recipe:
    """A recipe without the tiny teacher, on few samples."""
    tiny["data"]["split"]["train"] = 300
    return Recipe.from_dict({**tiny, "teacher": [], **more})


class Watch(Progress):
    """Remembers what is said, and may stop as Ctrl-C does."""

    def __init__(self, stop: int = 0) -> None:
        self.stop = stop
        self.messages: list[str] = []

    def message(self, text: str) -> None:
        self.messages.append(text)

    def epoch(self, line: dict[str, Any]) -> None:
        if self.stop and line["phase"] == "student" and line["epoch"] == self.stop:
            raise KeyboardInterrupt


class Double(nn.Module):
    """A network that computes in float64, whatever it is given."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner = build("mlp", {"hidden": [width]}, num_classes=10, input_shape=(1, 8, 8))
        self.double()

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.inner(inputs.double())
        return logits


def networks(*widths: int) -> list[nn.Module]:
    torch.manual_seed(0)
    return [Double(width) for width in widths]


def by_hand(
    models: list[nn.Module], batches: TrainingBatches, target: Any, *, epochs: int, rate: float
) -> None:
    """Let networks learn from one another, written out: plain SGD, all moving at once."""
    optimizers = [
        torch.optim.SGD(model.parameters(), lr=rate, momentum=0.9, nesterov=True)
        for model in models
    ]
    for epoch in range(epochs):
        for batch in batches.epoch(epoch, torch.device("cpu")):
            said = [model.train()(batch.inputs) for model in models]
            losses = [
                functional.cross_entropy(ours, batch.targets)
                + functional.kl_div(
                    functional.log_softmax(ours, -1), target(said, number), reduction="batchmean"
                )
                for number, ours in enumerate(said)
            ]
            for optimizer, loss in zip(optimizers, losses, strict=True):
                optimizer.zero_grad()
                loss.backward()
            for optimizer in optimizers:
                optimizer.step()


def others(said: list[torch.Tensor], number: int) -> torch.Tensor:
    """The mean of what the others say."""
    soft = [s.detach().softmax(-1) for i, s in enumerate(said) if i != number]
    return torch.stack(soft).mean(0)


def everybody(said: list[torch.Tensor], number: int) -> torch.Tensor:
    """The mean of what all say, oneself among them."""
    return torch.stack([s.detach().softmax(-1) for s in said]).mean(0)


@pytest.mark.parametrize(
    ("widths", "with_self", "target"),
    [((12, 20), False, others), ((12, 20, 16), False, others), ((12, 20, 16), True, everybody)],
    ids=["two", "three", "with themselves"],
)
def test_equals_a_loop_by_hand(
    tmp_path: Path, widths: tuple[int, ...], with_self: bool, target: Any
) -> None:
    """Zhang et al.: each learns from labels and from the others, in float64, to 1e-6."""
    split = {"train": 200, "calibration": 16, "validation": 50, "test": 50}
    dataset = load_dataset(DataSpec.model_validate({"source": "digits", "split": split}))
    train = TrainSpec(
        epochs=2,
        batch_size=50,
        learning_rate=0.05,
        optimizer="sgd",
        weight_decay=0.0,
        schedule="constant",
        warmup=0.0,
        select="last",
        threads=1,
    )

    def terms(prefix: str) -> list[Term]:
        return [
            Term(f"{prefix}cross-entropy", 1.0, CrossEntropy()),
            Term(f"{prefix}kd", 1.0, KD(temperature=1.0)),
        ]

    models = networks(*widths)
    references = copy.deepcopy(models)
    job = Job(
        phase="student",
        seed=0,
        student=models[0],
        terms=terms(""),
        train=train,
        dataset=dataset,
        checkpoint=tmp_path / "c.pt",
        ensemble=EnsembleSpec(with_self=with_self),
        peers=tuple(
            Peer(Tutor(f"p{number}", model, dataset), terms(f"p{number}/"))
            for number, model in enumerate(models[1:], 1)
        ),
    )
    lines: list[dict[str, Any]] = []
    fit(job, Fabric(accelerator="cpu", devices=1), Progress(), lines.append)
    by_hand(references, TrainingBatches(dataset, train, 0), target, epochs=2, rate=0.05)
    for ours, theirs in zip(models, references, strict=True):
        for name, value in ours.state_dict().items():
            torch.testing.assert_close(value, theirs.state_dict()[name], rtol=1e-6, atol=1e-6)
    expected = {"cross-entropy", "kd"} | {
        f"p{n}/{name}" for n in range(1, len(widths)) for name in ("cross-entropy", "kd")
    }
    assert set(lines[-1]["terms"]) == expected


class TestPeers:
    def test_a_run_keeps_them(self, tiny: dict[str, Any]) -> None:
        peers = [
            {**MLP, "hidden": [16]},
            {**MLP, "name": "small", "input": {"transforms": [{"name": "resize", "size": [4, 4]}]}},
        ]
        run = distill(recipe_of(tiny, peer=peers))
        manifest = run.manifest
        assert run.verify() == []
        assert [facts.name for facts in manifest.peers] == ["mlp", "small"]
        assert manifest.teachers == () and manifest.student_scores[0].test_agreement is None
        dataset = load_for_student(run.recipe)
        for number, score in enumerate(manifest.peer_scores, 1):
            path = run.path / f"peer-{number}.safetensors"
            known = manifest.networks[path.name]
            network = restore(run, path).eval()
            assert known.sample_shape == ((1, 8, 8), (1, 4, 4))[number - 1]
            if number == 1:
                logits = predict(network, dataset, "test", device=torch.device("cpu"))
                reached = (logits.argmax(1) == dataset.splits["test"].targets).mean()
                assert score.test_accuracy == pytest.approx(reached)
            assert score.test_accuracy > 0.1 and score.test_agreement is not None
        terms = set(run.metrics()[-1]["terms"])
        assert {"kd", "cross-entropy", "mlp/kd", "small/cross-entropy"} <= terms

    def test_the_same_architecture_begins_elsewhere(self, tiny: dict[str, Any]) -> None:
        recipe = recipe_of(tiny, peer=[{**MLP, "name": "a"}, {**MLP, "name": "b"}])
        job = in_company(plain_job(recipe), recipe)
        first = [next(m.parameters()) for m in (job.student, *(p.tutor.model for p in job.peers))]
        assert not torch.equal(first[0], first[1]) and not torch.equal(first[1], first[2])

    def test_beside_a_teacher_with_labels_in_another_order(self, tiny: dict[str, Any]) -> None:
        names = [str(digit) for digit in reversed(range(10))]
        tiny["data"]["split"]["train"] = 300
        tiny["loss"].append({"name": "hint", "weight": 0.1, "layers": [["1", "1"]], "teacher": "p"})
        tiny["loss"].append({"name": "logits-mse", "weight": 0.01, "teacher": "mlp"})
        tiny["peer"] = [{**MLP, "hidden": [16], "name": "p", "classes": names, "view": "other"}]
        tiny["train"]["augment"] = ["affine"]
        run = distill(Recipe.from_dict(tiny))
        terms = set(run.metrics()[-1]["terms"])
        assert {"hint", "p/kd", "p/logits-mse"} <= terms and "p/hint" not in terms
        assert run.manifest.peer_scores[0].test_accuracy > 0.4

    def test_opponents_of_every_network(self, tiny: dict[str, Any]) -> None:
        tiny["loss"].append({"name": "adversarial", "weight": 0.1})
        run = distill(recipe_of(tiny, peer=[{**MLP, "name": "p"}]))
        assert "p/adversarial" in run.metrics()[-1]["terms"]

    @pytest.mark.parametrize(
        ("peers", "more", "message"),
        [
            ([{**MLP, "name": "x"}, {**MLP, "name": "x"}], {}, "two networks are called 'x'"),
            ([{**MLP, "name": "student"}], {}, "two networks are called 'student'"),
            ([], {"ensemble": {"with_self": True}}, "only peers"),
            ([{**MLP, "depht": 3}], {}, "unknown key of 'mlp'"),
            ([MLP], {"loss": [{"name": "kd", "teacher": "nobody"}]}, "no teacher 'nobody'"),
            (
                [MLP],
                {"loss": [{"name": "hint", "layers": [["1", "1"]]}]},
                "nothing that a peer could learn",
            ),
            ([MLP], {"stage": [{"name": "one", "epochs": 1}]}, "peers learn all the time"),
        ],
    )
    def test_faults(
        self, tiny: dict[str, Any], peers: list[Any], more: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(RecipeError, match=message):
            distill(recipe_of(tiny, peer=peers, **more))


def plain_job(recipe: Recipe) -> Job:
    """The job of a student, before anybody is with it."""
    dataset = load_for_student(recipe)
    torch.manual_seed(0)
    student = build("mlp", {"hidden": [12]}, num_classes=10, input_shape=(1, 8, 8))
    return Job("student", 0, student, [], recipe.train, dataset, Path("unused"))


class TestFollowing:
    def test_closed_form(self) -> None:
        """The mean of all steps, until that is slower than the decay; from then on exponential."""
        network = nn.Linear(1, 1, bias=False).double()
        average = average_of(network, 0.75)
        values = [3.0, -1.0, 4.0, 1.0, 5.0, -9.0, 2.0]
        for value in values:
            with torch.no_grad():
                network.weight.fill_(value)
            average.update_parameters(network)
        expected = float(np.mean(values[:4]))
        for value in values[4:]:
            expected = 0.75 * expected + 0.25 * value
        assert average.module.weight.item() == pytest.approx(expected, rel=1e-12)

    def test_a_run_keeps_the_average(self, tiny: dict[str, Any]) -> None:
        tiny["student"] = {"model": "resnet8", "width": 0.25}  # with running statistics
        tiny["loss"].append({"name": "hint", "weight": 0.1, "layers": [["layer2", "layer2"]]})
        tiny["train"]["augment"] = ["affine"]
        run = distill(recipe_of(tiny, teacher=[{**FOLLOWS, "view": "other"}]))
        manifest = run.manifest
        assert run.verify() == []
        assert manifest.teachers[0].name == "mean-teacher"
        student, teacher = load_file(run.student_path), load_file(run.teacher_path)
        assert student.keys() == teacher.keys()
        assert any(not torch.equal(student[name], teacher[name]) for name in student)
        assert manifest.student_scores[0].test_agreement is not None
        assert manifest.teacher_scores[0] is not None
        dataset = load_for_student(run.recipe)
        network = restore(run, run.teacher_path).eval()
        logits = predict(network, dataset, "test", device=torch.device("cpu"))
        reached = (logits.argmax(1) == dataset.splits["test"].targets).mean()
        assert manifest.teacher_scores[0].test_accuracy == pytest.approx(reached)
        assert set(run.metrics()[-1]["terms"]) == {"cross-entropy", "kd", "hint"}

    def test_beside_a_frozen_teacher_in_the_recipes_order(self, tiny: dict[str, Any]) -> None:
        tiny["data"]["split"]["train"] = 300
        tiny["teacher"].insert(0, {**FOLLOWS, "name": "mean"})
        run = distill(Recipe.from_dict(tiny))
        assert [facts.name for facts in run.manifest.teachers] == ["mean", "mlp"]
        shapes = [
            next(iter(load_file(run.path / name).values())).shape[0]
            for name in ("teacher.safetensors", "teacher-2.safetensors")
        ]
        assert shapes == [12, 48]

    @pytest.mark.parametrize(
        ("keys", "message"),
        [
            ({"cache": True}, "keeps learning: no cache"),
            ({"fold": True}, "keeps learning: it cannot fold"),
            ({"model": "mlp"}, "one of model"),
            ({"classes": ["a"]}, "takes no classes"),
            ({"hidden": [3]}, "takes no hidden"),
            ({"decay": 1.0}, "decay"),
        ],
    )
    def test_faults(self, tiny: dict[str, Any], keys: dict[str, Any], message: str) -> None:
        with pytest.raises(RecipeError, match=message):
            recipe_of(tiny, teacher=[{**FOLLOWS, **keys}])
        with pytest.raises(RecipeError, match="decay goes with follows"):
            recipe_of(tiny, teacher=[{"model": "mlp", "decay": 0.5}])

    def test_the_doctor_does_not_ask_what_it_cannot_know(self, tiny: dict[str, Any]) -> None:
        tiny["train"]["augment"] = ["affine"]
        tiny["loss"][1]["weight"] = {"schedule": "warm-up", "start": 0.0, "end": 1.0}
        found = examine(recipe_of(tiny, teacher=[{**FOLLOWS, "view": "other"}]))
        assert not [finding for finding in found if finding.check.startswith("labels aligned")]
        assert {finding.status for finding in found} == {"ok"}
        balance = next(f for f in found if f.check == "balance of terms")
        assert "weight of 0 at first: kd" in balance.message


COMPANY: dict[str, dict[str, Any]] = {
    "peers": {"peer": [{**MLP, "hidden": [16], "view": "other"}], "ensemble": {"with_self": True}},
    "mean teacher": {"teacher": [{**FOLLOWS, "view": "other"}]},
    "views": {"teacher": [{**FOLLOWS, "view": "other"}], "loss": [{"name": "dino"}]},
    "all": {"teacher": [FOLLOWS], "peer": [{"model": "resnet8", "width": 0.25}]},
}


@pytest.mark.parametrize("company", COMPANY)
def test_an_interrupted_run_ends_where_a_whole_one_does(
    tiny: dict[str, Any], tmp_path: Path, company: str
) -> None:
    tiny["train"] |= {"augment": ["affine"], "epochs": 4, "accumulate": 2, "ema": 0.9}
    recipe = recipe_of(tiny, **COMPANY[company])
    whole = distill(recipe, out=tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        distill(recipe, out=tmp_path / "run", progress=Watch(stop=3))
    state = Checkpoint.load(tmp_path / "run" / "checkpoints" / "student-0.pt")
    assert state is not None and state.epoch == 2
    resumed: Run = distill(resume=tmp_path / "run")
    weights = [name for name in whole.manifest.files if name.endswith(".safetensors")]
    assert len(weights) >= 2
    for name in weights:
        assert resumed.manifest.files[name].sha256 == whole.manifest.files[name].sha256, name


def mostly_unlabelled() -> RawData:
    """Four classes, told apart by where a sample is bright; one label in ten."""
    random = np.random.default_rng(0)
    images = random.normal(size=(400, 1, 8, 8)).astype(np.float32)
    targets = np.arange(400) % 4
    images[np.arange(400), 0, targets] += 1.5

    def part(first: int, last: int, every: int) -> Part:
        known = np.where(np.arange(first, last) % every < 4, targets[first:last], -1)
        return Part(
            ids=tuple(f"s{i}" for i in range(first, last)),
            targets=known,
            reader=lambda chosen: images[first:last][chosen],
        )

    parts = {"train": part(0, 240, 40), "validation": part(240, 320, 4), "test": part(320, 400, 4)}
    return RawData(parts, tuple("abcd"), (1, 8, 8))


def labelled(turned: bool = False) -> RawData:
    """Four classes; where ``turned``, every training sample has the label of another class."""
    random = np.random.default_rng(0)
    images = random.normal(size=(400, 1, 8, 8)).astype(np.float32)
    targets = np.arange(400) % 4
    images[np.arange(400), 0, targets] += 1.5

    def part(first: int, last: int, by: int) -> Part:
        return Part(
            ids=tuple(f"s{i}" for i in range(first, last)),
            targets=(targets[first:last] + by) % 4,
            reader=lambda chosen: images[first:last][chosen],
        )

    parts = {
        "train": part(0, 200, int(turned)),
        "calibration": part(200, 240, 0),
        "validation": part(240, 320, 0),
        "test": part(320, 400, 0),
    }
    return RawData(parts, tuple("abcd"), (1, 8, 8))


class TestWithoutLabels:
    def test_other_labels_give_the_same_student(self, tiny: dict[str, Any]) -> None:
        """Bit for bit. With a term on labels they do not, so that this test can fail."""
        tiny["train"] |= {"select": "last"}

        def weights(turned: bool) -> str:
            data = {"source": f"{__name__}:labelled", "turned": turned}
            teacher = [{**FOLLOWS, "view": "other"}]
            run = distill(Recipe.from_dict({**tiny, "data": data, "teacher": teacher}))
            assert run.manifest.student is not None
            return str(run.manifest.student.sha256)

        tiny["loss"] = [{"name": "dino"}]
        assert weights(False) == weights(True)
        tiny["loss"] = [{"name": "dino"}, {"name": "cross-entropy"}]
        assert weights(False) != weights(True)

    def test_neighbours_choose_and_score(self, tiny: dict[str, Any]) -> None:
        tiny["loss"] = [{"name": "dino"}]
        tiny["train"] |= {"augment": ["affine"], "select": "last"}
        run = distill(recipe_of(tiny, teacher=[{**FOLLOWS, "view": "other"}]))
        score = run.manifest.student_scores[0]
        assert score.knn_accuracy is not None and score.knn_accuracy > 0.3
        line = run.metrics()[-1]
        assert {"validation_knn_accuracy", "collapsed"} <= set(line)
        assert in_company(plain_job(run.recipe), run.recipe).label_free

    def test_with_labels_accuracy_is_accuracy(self, tiny: dict[str, Any]) -> None:
        run = distill(recipe_of(tiny, teacher=[FOLLOWS]))
        assert run.manifest.student_scores[0].knn_accuracy is None
        assert "validation_knn_accuracy" not in run.metrics()[-1]

    def test_a_collapse_is_said(self, tiny: dict[str, Any]) -> None:
        """Without sharpening, nothing keeps the student from the same answer for all."""
        tiny["loss"] = [{"name": "kd", "temperature": 1.0}]
        tiny["train"] |= {"learning_rate": 1.0, "weight_decay": 0.9, "epochs": 4}
        watch = Watch()
        run = distill(recipe_of(tiny, teacher=[FOLLOWS]), progress=watch)
        assert any("collapsed" in text for text in watch.messages)
        assert any(line.get("collapsed") for line in run.metrics())

    def test_consistency_beside_few_labels(self, tiny: dict[str, Any]) -> None:
        tiny["data"] = {"source": f"{__name__}:mostly_unlabelled", "split": {"calibration": 8}}
        tiny["loss"] = [{"name": "cross-entropy"}, {"name": "consistency", "weight": 5.0}]
        tiny["train"] |= {"augment": ["affine"], "doctor": "off"}
        tiny["teacher"] = [{**FOLLOWS, "view": "other"}]
        run = distill(Recipe.from_dict(tiny))
        terms = run.metrics()[-1]["terms"]
        assert terms["consistency"] > 0 and terms["cross-entropy"] > 0
        assert run.manifest.student_scores[0].knn_accuracy is None


def test_unknown_follower(tiny: dict[str, Any]) -> None:
    with pytest.raises(EdgekdError, match="follows"):
        recipe_of(tiny, teacher=[{"follows": "me"}])
