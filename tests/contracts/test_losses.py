"""What every loss of the table must keep, whoever wrote it.

`tests.losses.cases` says how each one is built. A new row needs an entry there.
"""

from __future__ import annotations

import doctest
import importlib
import inspect
import math
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from edgekd.errors import RecipeError
from edgekd.losses import LOSSES
from edgekd.losses.base import Loss
from edgekd.registry import Row
from tests.losses.cases import CASES, CLASSES, Case, Example, example, make, value_of

DOCS = Path(__file__).parents[2] / "docs" / "losses"

ROWS = pytest.mark.parametrize("row", list(LOSSES), ids=lambda row: row.name)


def every(wanted: Callable[[Case], bool] = lambda case: True) -> pytest.MarkDecorator:
    """Parametrise a test with the name and the case of every loss that is wanted."""
    found = [
        pytest.param(name, case, id=f"{name}-{variant}" if variant else name)
        for name, cases in CASES.items()
        for variant, case in cases.items()
        if wanted(case)
    ]
    return pytest.mark.parametrize(("name", "case"), found)


def gradients(name: str, case: Case, batch: Example) -> tuple[Tensor, list[Tensor]]:
    """Return the value, and the gradients on the student and on the loss's own parameters."""
    loss = make(name, case, batch)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        value = loss(batch.student, batch.teacher, batch.target)
    assert value.requires_grad, f"{name} is cut off from the student"
    value.backward()
    return value, [x.grad for x in (*batch.leaves(), *loss.parameters()) if x.grad is not None]


def test_every_loss_is_tested() -> None:
    missing = [row.name for row in LOSSES if row.name not in CASES]
    assert not missing, (
        f"no case for {', '.join(missing)}: say in CASES of tests/losses/cases.py how to build it "
        "(options, and shapes of the features it needs), so that the contracts below hold for it"
    )
    assert not set(CASES) - {row.name for row in LOSSES}, "cases of losses that are gone"


@every()
def test_gives_a_finite_scalar_whose_gradient_reaches_the_student_alone(
    name: str, case: Case
) -> None:
    batch = example(case)
    loss = make(name, case, batch)
    assert isinstance(loss, Loss)
    value, found = gradients(name, case, batch)
    assert value.shape == ()
    assert value.dtype == torch.float32
    assert torch.isfinite(value)
    assert all(torch.isfinite(gradient).all() for gradient in found)
    reached = [x.grad for x in batch.leaves() if x.grad is not None]
    assert any(gradient.abs().sum() > 0 for gradient in reached)
    theirs = (batch.teacher.logits, *batch.teacher.features.values())
    assert all(x.grad is None for x in theirs)


@every()
def test_asks_for_the_layers_that_it_reads(name: str, case: Case) -> None:
    batch = example(case)
    ours, theirs = make(name, case, batch).layers()
    assert set(ours) == set(case.student)
    assert set(theirs) == set(case.teacher)


@every()
def test_says_whether_it_needs_a_teacher(name: str, case: Case) -> None:
    batch = example(case)
    loss = make(name, case, batch)
    if loss.needs_teacher:
        with pytest.raises(RecipeError, match=f"{name!r} needs a teacher"):
            loss(batch.student, None, batch.target)
    else:
        assert torch.isfinite(loss(batch.student, None, batch.target))


@every(lambda case: not case.remembers)
def test_is_a_mean_over_samples(name: str, case: Case) -> None:
    """A batch seen twice has the same loss: the size of a batch is no hidden weight."""
    batch = example(case)
    once, twice = value_of(name, case, batch), value_of(name, case, batch.twice())
    torch.testing.assert_close(twice, once, rtol=1e-5, atol=1e-6)


EXTREMES = {
    "large": lambda x: 1e4 * x,
    "tiny": lambda x: 1e-20 * x,
    "zero": torch.zeros_like,
    "equal": lambda x: torch.ones_like(x) * x[:1],
    "one-dead": lambda x: torch.cat([torch.zeros_like(x[:1]), x[1:]]),
}


@pytest.mark.parametrize("n", [8, 2, 1])
@pytest.mark.parametrize("extreme", EXTREMES)
@every()
def test_survives_extremes(name: str, case: Case, extreme: str, n: int) -> None:
    batch = example(case, n).changed(EXTREMES[extreme])
    value, found = gradients(name, case, batch)
    assert torch.isfinite(value)
    assert all(torch.isfinite(gradient).all() for gradient in found)


@every()
def test_survives_a_student_that_is_the_teacher(name: str, case: Case) -> None:
    """Differences of 0 are where square roots and norms have no gradient."""
    batch = example(case)
    batch.student.logits = batch.teacher.logits.detach().clone().requires_grad_()
    value, found = gradients(name, case, batch)
    assert torch.isfinite(value)
    assert all(torch.isfinite(gradient).all() for gradient in found)


@pytest.mark.parametrize("precision", [torch.float16, torch.bfloat16], ids=str)
@every()
def test_half_precision_is_computed_in_float32(
    name: str, case: Case, precision: torch.dtype
) -> None:
    half = example(case).changed(lambda x: x.to(precision))
    value = value_of(name, case, half)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, value_of(name, case, half.changed(Tensor.float)))


@every()
def test_autocast_does_not_take_it_back_to_half_precision(name: str, case: Case) -> None:
    half = example(case).changed(Tensor.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        value = value_of(name, case, half)
    assert value.dtype == torch.float32
    # Adapters may compute in half precision, as the networks do; what is compared may not.
    torch.testing.assert_close(value, value_of(name, case, half), rtol=0.03, atol=0.01)


@every()
def test_takes_the_probabilities_of_mixed_samples(name: str, case: Case) -> None:
    """Mixup gives (N, C) probabilities; those of a single class are that class."""
    batch = example(case)
    expected = value_of(name, case, batch)
    batch.target = functional.one_hot(batch.target, CLASSES).float()
    torch.testing.assert_close(value_of(name, case, batch), expected)
    batch.target = 0.7 * batch.target + 0.3 * batch.target.roll(1, 0)
    value, found = gradients(name, case, batch)
    assert torch.isfinite(value)
    assert all(torch.isfinite(gradient).all() for gradient in found)


@every(lambda case: case.masked)
def test_padding_counts_for_nothing(name: str, case: Case) -> None:
    """Neither the value nor any gradient depends on what stands at padding."""
    batch = example(case, padded=True)
    mask = batch.student.mask
    assert mask is not None and not mask.all()

    def filled(filling: float) -> Example:
        def fill(x: Tensor) -> Tensor:
            return x.masked_fill(~mask[..., None], filling)

        return batch.changed(fill)

    # An adapter's own weights see what stands at padding of a layer, if only times 0.
    calm, wild = filled(0.0), filled(300.0 if case.student else math.nan)
    wild.target = batch.target.masked_fill(~mask, -100)
    value, expected = gradients(name, case, calm)
    other, found = gradients(name, case, wild)
    torch.testing.assert_close(other, value)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)
    for leaf in wild.leaves():
        assert leaf.grad is None or not leaf.grad[~mask].any()


@every(lambda case: case.masked and not case.student)
def test_a_mask_beside_one_prediction_a_sequence_changes_nothing(name: str, case: Case) -> None:
    """A network that reads padded sequences and classifies them whole has such a mask."""
    batch = example(case)
    expected = value_of(name, case, batch)
    batch.student.mask = example(case, padded=True).student.mask
    batch.teacher.mask = batch.student.mask
    assert torch.equal(value_of(name, case, batch), expected)


@ROWS
def test_is_documented_with_source_shapes_and_a_number(row: Row) -> None:
    loss = row.load()
    module = importlib.import_module(loss.__module__)
    assert re.search(r"https://(arxiv\.org/abs|doi\.org)/\d", inspect.getsource(module))
    assert "Shapes:" in (loss.__doc__ or "")
    tests = doctest.DocTestFinder().find(module, row.name)
    examples = [example for test in tests for example in test.examples]
    assert any("round(" in example.source for example in examples)
    assert doctest.testmod(module).failed == 0


@ROWS
def test_says_in_the_docs_when_to_use_it(row: Row) -> None:
    pages = [path.read_text(encoding="utf-8") for path in DOCS.glob("*.md")]
    found = [page.split(f"\n## {row.name}\n", 1) for page in pages]
    sections = [parts[1].split("\n## ")[0] for parts in found if len(parts) == 2]
    assert len(sections) == 1, f"one page of docs/losses needs a section '## {row.name}'"
    for part in ("**What it matches.**", "**When.**", "**Options.**"):
        assert part in sections[0]
