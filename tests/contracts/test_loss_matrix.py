"""Every loss against every pair of four unlike networks: it works, or it says why it does not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest
import torch

from edgekd.data.load import load_dataset
from edgekd.data.split import Dataset
from edgekd.distill.batches import Batch, TrainingBatches
from edgekd.distill.features import Capture, shapes_of
from edgekd.distill.layout import channels_first
from edgekd.distill.trainable import Job, Term, Trainable, build_losses, detached, freeze
from edgekd.distill.tutor import Tutor
from edgekd.errors import EdgekdError, RecipeError
from edgekd.losses import LOSSES
from edgekd.losses.base import Outputs
from edgekd.models.build import build
from edgekd.models.exits import add_exits
from edgekd.models.layers import capturable
from edgekd.recipe import DataSpec, TrainSpec
from tests.losses.support import NETWORKS, PAGE, SUPPORTED, Network, options_of, page

PAIRS = [(student, teacher) for student in NETWORKS for teacher in NETWORKS]
SHAPE = (1, 8, 8)


@cache
def digits() -> Dataset:
    split = {"train": 64, "calibration": 16, "validation": 16, "test": 16}
    return load_dataset(DataSpec.model_validate({"source": "digits", "split": split}))


def network(name: str, role: str) -> torch.nn.Module:
    spec = NETWORKS[name]
    options = spec.student if role == "student" else spec.teacher
    return build(spec.model, options, num_classes=10, input_shape=SHAPE)


def make_job(loss: str, student: str, teacher: str) -> Job:
    torch.manual_seed(0)
    options = options_of(loss, NETWORKS[student], NETWORKS[teacher])
    learns = network(student, "student")
    if loss == "early-exits":
        add_exits(learns, [NETWORKS[student].inner], num_classes=10, input_shape=SHAPE)
    return Job(
        phase="student",
        seed=0,
        student=learns,
        teachers=(Tutor("teacher", freeze(network(teacher, "teacher")), digits()),),
        terms=[Term(loss, 0.5, LOSSES.resolve(loss)(**options))],
        train=TrainSpec(epochs=1, batch_size=12, threads=1),
        dataset=digits(),
        checkpoint=Path("unused"),
    )


@contextmanager
def answered(job: Job) -> Iterator[tuple[Trainable, Batch, Outputs]]:
    """Give what trains, a batch, and the teacher's answer to it; hooks are on."""
    capture = Capture(job.student, job.captured(), "student")
    trainable = Trainable(job, capture)
    batches = TrainingBatches(job.dataset, job.train, job.seed)
    batch = next(batches.epoch(0, torch.device("cpu")))
    model = job.teachers[0].model
    theirs = job.captured_of("teacher")
    with Capture(model, theirs, "teacher").hooked() as heard, torch.no_grad():
        logits = model(batch.inputs)
        teacher = Outputs(logits, heard.take(), batch.mask, batch.indices)
    with channels_first([job.student]), capture.hooked():
        yield trainable, batch, teacher


def check_works(job: Job) -> None:
    """One forward and one backward, of the opponents too: everything is finite."""
    build_losses(job)
    with answered(job) as (trainable, batch, teacher):
        terms = trainable(batch, {"teacher": teacher})
        total = torch.stack(list(terms.values())).sum()
        torch.autograd.backward(total)
        assert torch.isfinite(total)
        found = {n: p.grad for n, p in trainable.named_parameters() if p.grad is not None}
        assert all(torch.isfinite(gradient).all() for gradient in found.values())
        assert any(g.abs().sum() > 0 for n, g in found.items() if n.startswith("student."))
        assert all(p.grad is None for p in job.teachers[0].model.parameters())
        assert trainable.last is not None
        for loss, opponent, _ in trainable.opponents():
            opponent.zero_grad()
            value = loss.opponent_loss(trainable.last, detached(teacher))
            assert value is not None and torch.isfinite(value)
            torch.autograd.backward(value)
            assert all(
                p.grad is not None and torch.isfinite(p.grad).all() for p in opponent.parameters()
            )


def check_refuses(job: Job, loss: str, student: Network, teacher: Network) -> None:
    """The error comes before training, is one of edgekd's, and names both shapes.

    Where a network has no queries and keys, there is no shape to name: the missing module is.
    """
    with pytest.raises(EdgekdError) as caught:
        build_losses(job)
    text = str(caught.value)
    if loss in ("minilm", "transformer-attention"):
        assert isinstance(caught.value, RecipeError) and loss in text
        who = "student" if student.attention == student.last else "teacher"
        assert f"layer of the {who}" in text and ".query" in text
        return
    assert isinstance(caught.value, RecipeError)
    assert loss in text
    example = torch.zeros(2, *SHAPE)
    shapes = [
        [str(shape) for shape in shapes_of(model, names, example, "x")[0].values()]
        for model, names in (
            (job.student, job.captured()),
            (job.teachers[0].model, job.captured_of("teacher")),
        )
    ]
    assert any(shape in text for shape in shapes[0]), f"no shape of the student in {text!r}"
    assert any(shape in text for shape in shapes[1]), f"no shape of the teacher in {text!r}"


@pytest.mark.parametrize("name", NETWORKS)
def test_the_layers_are_capturable(name: str) -> None:
    spec = NETWORKS[name]
    for role in ("student", "teacher"):
        found = capturable(network(name, role), torch.zeros(2, *SHAPE))
        assert {spec.inner, spec.last, spec.attention} <= set(found)


def test_every_loss_is_in_the_table() -> None:
    missing = [row.name for row in LOSSES if row.name not in SUPPORTED]
    assert not missing, (
        f"{', '.join(missing)}: say in SUPPORTED of tests/losses/support.py which teachers each "
        "student may have, then run: python -m tests.losses.support"
    )
    assert not set(SUPPORTED) - {row.name for row in LOSSES}, "losses that are gone"


@pytest.mark.parametrize(("student", "teacher"), PAIRS, ids=["-".join(pair) for pair in PAIRS])
@pytest.mark.parametrize("loss", SUPPORTED)
def test_works_or_says_why_not(loss: str, student: str, teacher: str) -> None:
    job = make_job(loss, student, teacher)
    if teacher in SUPPORTED[loss][student]:
        check_works(job)
    else:
        check_refuses(job, loss, NETWORKS[student], NETWORKS[teacher])


def test_the_page_is_what_the_table_says() -> None:
    assert PAGE.is_file() and PAGE.read_text(encoding="utf-8") == page(), (
        "docs/losses/support.md is out of date; run: python -m tests.losses.support"
    )
