"""What losses on features bring along: trained, clipped, resumed, and gone from the student."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from safetensors.torch import load_file
from torch import Tensor, nn

from edgekd.data.load import load_dataset
from edgekd.distill.loop import fit
from edgekd.distill.players import Players
from edgekd.distill.progress import Progress
from edgekd.distill.stage import distill
from edgekd.distill.terms import student_terms
from edgekd.distill.trainable import Job
from edgekd.distill.tutor import Tutor
from edgekd.errors import RecipeError
from edgekd.models.build import build
from edgekd.recipe import Recipe

RAW: dict[str, Any] = {
    "name": "features",
    "data": {
        "source": "digits",
        "split": {"train": 200, "calibration": 32, "validation": 64, "test": 64},
    },
    "teacher": [{"model": "resnet8", "width": 0.5}],
    "student": {"model": "resnet8", "width": 0.25},
    "loss": [
        {"name": "cross-entropy"},
        {"name": "hint", "layers": [["layer1", "layer1"], ["layer3", "layer3"]]},
        {"name": "cross-layer", "layers": [["layer2", "layer1"], ["layer2", "layer2"]]},
    ],
    "train": {"epochs": 2, "batch_size": 64, "learning_rate": 0.01, "threads": 1, "select": "last"},
}


def job(path: Path, loss: list[dict[str, Any]] | None = None, **train: Any) -> Job:
    raw = {**RAW, "train": {**RAW["train"], **train}}
    if loss is not None:
        raw["loss"] = loss
    recipe = Recipe.from_dict(raw)
    dataset = load_dataset(recipe.data)
    torch.manual_seed(0)
    teacher, student = (
        build(spec.model, spec.options, num_classes=10, input_shape=(1, 8, 8))
        for spec in (recipe.teacher[0], recipe.student)
    )
    return Job(
        phase="student",
        seed=0,
        student=student,
        teachers=(Tutor("teacher", teacher, dataset),),
        terms=student_terms(recipe.loss, recipe.train),
        train=recipe.train,
        dataset=dataset,
        checkpoint=path,
    )


def train(work: Job, stop_after: int = 99) -> None:
    """Train, and die after so many epochs as if the process had been killed."""

    def log(line: dict[str, Any]) -> None:
        if line["epoch"] > stop_after:
            raise KeyboardInterrupt

    fit(work, Fabric(accelerator="cpu", devices=1), Progress(), log)


def own(work: Job) -> dict[str, Tensor]:
    """The parameters of the losses, by name."""
    return {
        f"{term.name}.{name}": p for term in work.terms for name, p in term.loss.named_parameters()
    }


def hooks(model: nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


@pytest.fixture
def spied(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the first step of a training started from."""
    seen: list[dict[str, Any]] = []
    original: Any = Players.step

    def step(self: Players, *arguments: Any) -> Any:
        if not seen:
            losses = dict(self.trainable.losses.named_parameters())
            given = [p for group in self.optimizer.param_groups for p in group["params"]]
            first = {name: p.detach().clone() for name, p in losses.items()}
            seen.append({"losses": losses, "given": given, "first": first})
        return original(self, *arguments)

    monkeypatch.setattr(Players, "step", step)
    return seen


def test_adapters_are_trained_by_the_optimizer_that_has_each_of_them_once(
    tmp_path: Path, spied: list[dict[str, Any]]
) -> None:
    work = job(tmp_path / "c.pt")
    train(work)
    seen = spied[0]
    # Weights and biases: two adapters of hint; one adapter, a query and two keys of cross-layer.
    assert len(seen["losses"]) == 2 * 2 + 2 + 3 * 4
    for name, parameter in seen["losses"].items():
        assert sum(p is parameter for p in seen["given"]) == 1, name
        assert not torch.equal(parameter, seen["first"][name]), f"{name} did not move"
    expected = len(seen["losses"]) + len(list(work.student.parameters()))
    assert len(seen["given"]) == len({id(p) for p in seen["given"]}) == expected


def test_clipping_holds_adapters_too(tmp_path: Path, spied: list[dict[str, Any]]) -> None:
    """With plain gradient descent nothing moves further than rate x norm in a step."""
    plain: dict[str, Any] = {
        "optimizer": "sgd",
        "momentum": 0.0,
        "weight_decay": 0.0,
        "schedule": "constant",
        "epochs": 1,
        "learning_rate": 0.5,
        "clip_norm": 1e-3,
    }
    train(job(tmp_path / "c.pt", **plain))
    seen = spied[0]
    moved = torch.stack([(p - seen["first"][n]).norm() for n, p in seen["losses"].items()]).norm()
    steps = -(-200 // 64)
    assert 0 < moved <= 0.5 * 1e-3 * steps * 1.001


def test_a_resumed_training_has_its_adapters_back_bit_for_bit(tmp_path: Path) -> None:
    whole, broken = job(tmp_path / "whole.pt"), job(tmp_path / "broken.pt")
    train(whole)
    with pytest.raises(KeyboardInterrupt):
        train(broken, stop_after=1)
    stored = torch.load(tmp_path / "broken.pt", weights_only=True)
    assert any(name.startswith("losses.1.adapters.0.") for name in stored["trainable"])
    resumed = job(tmp_path / "broken.pt")
    train(resumed)
    expected, found = own(whole), own(resumed)
    assert expected.keys() == found.keys() and expected
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    state = resumed.student.state_dict()
    assert all(
        torch.equal(state[name], value) for name, value in whole.student.state_dict().items()
    )


def test_no_hook_is_left_on_either_network_whatever_happens(tmp_path: Path) -> None:
    work = job(tmp_path / "c.pt")
    before = hooks(work.student)
    train(work)
    teacher = work.teachers[0].model
    assert hooks(work.student) == hooks(teacher) == before == 0
    stopped = job(tmp_path / "d.pt")
    with pytest.raises(KeyboardInterrupt):
        train(stopped, stop_after=0)
    assert hooks(stopped.student) == 0


def test_the_students_file_holds_nothing_of_the_losses() -> None:
    raw = {**RAW, "train": {**RAW["train"], "epochs": 1}}
    run = distill(Recipe.from_dict(raw))
    with torch.random.fork_rng():
        bare = build("resnet8", {"width": 0.25}, num_classes=10, input_shape=(1, 8, 8))
    assert set(load_file(run.student_path)) == set(bare.state_dict())


@pytest.mark.parametrize(
    ("pair", "role", "close"),
    [
        (["layr2", "layer2"], "student", "layer2"),
        (["layer2", "layer4"], "teacher", "layer"),
        (["layer2.0.conv3", "layer2"], "student", "layer2.0.conv"),
    ],
)
def test_a_wrong_layer_name_gets_the_closest_ones(
    tmp_path: Path, pair: list[str], role: str, close: str
) -> None:
    work = job(tmp_path / "c.pt", [{"name": "hint", "layers": [pair]}])
    with pytest.raises(RecipeError, match=f"hint: unknown layer of the {role}") as caught:
        train(work)
    assert close in caught.value.faults[0].partition("Did you mean")[2]


def test_shapes_that_do_not_suit_are_refused_before_training(tmp_path: Path) -> None:
    work = job(tmp_path / "c.pt", [{"name": "hint", "layers": [["linear", "layer2"]]}])
    with pytest.raises(RecipeError, match=r"'linear'.*'layer2'.*\(10,\).*\(16, 4, 4\)"):
        train(work)
    assert not (tmp_path / "c.pt").exists()


def test_wrong_options_are_faults_of_the_recipe() -> None:
    raw = {**RAW, "loss": [{"name": "hint"}, {"name": "minilm", "layers": ["a"], "heads": "4"}]}
    with pytest.raises(RecipeError) as caught:
        Recipe.from_dict(raw)
    faults = "\n".join(caught.value.faults)
    for part in ("loss[0].layers: missing", "loss[1].layers", "loss[1].heads"):
        assert part in faults


def test_mixed_precision_training_works(tmp_path: Path) -> None:
    losses = [
        *RAW["loss"],
        {"name": "attention-transfer", "layers": [["layer2", "layer2"]]},
    ]
    work = job(tmp_path / "c.pt", losses, epochs=1)
    lines: list[dict[str, Any]] = []
    fabric = Fabric(accelerator="cpu", devices=1, precision="bf16-mixed")
    fit(work, fabric, Progress(), lines.append)
    assert all(torch.isfinite(torch.tensor(v)) for v in lines[0]["terms"].values())
