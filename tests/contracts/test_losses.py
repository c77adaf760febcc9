"""What every loss of the table must keep, whoever wrote it."""

from __future__ import annotations

import doctest
import importlib
import inspect

import pytest
import torch

from edgekd.losses import LOSSES
from edgekd.losses.base import Loss, Outputs
from edgekd.registry import Row

ROWS = pytest.mark.parametrize("row", list(LOSSES), ids=lambda row: row.name)


def batch(n: int = 8, classes: int = 5) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    student = torch.randn(n, classes, generator=generator, requires_grad=True)
    teacher = torch.randn(n, classes, generator=generator, requires_grad=True)
    return student, teacher, torch.randint(0, classes, (n,), generator=generator)


@ROWS
def test_gives_a_finite_scalar_whose_gradient_reaches_the_student_alone(row: Row) -> None:
    loss = row.load()()
    assert isinstance(loss, Loss)
    student, teacher, target = batch()
    value = loss(Outputs(student), Outputs(teacher), target)
    assert value.shape == ()
    assert torch.isfinite(value)
    value.backward()
    assert student.grad is not None and student.grad.abs().sum() > 0
    assert teacher.grad is None


@ROWS
def test_says_whether_it_needs_a_teacher(row: Row) -> None:
    loss = row.load()()
    student, _, target = batch()
    if loss.needs_teacher:
        with pytest.raises(Exception, match="needs a teacher"):
            loss(Outputs(student), None, target)
    else:
        assert torch.isfinite(loss(Outputs(student), None, target))


@ROWS
def test_is_a_mean_over_samples(row: Row) -> None:
    """A batch seen twice has the same loss: the size of a batch is no hidden weight."""
    loss = row.load()()
    s, t, y = batch()
    once = loss(Outputs(s), Outputs(t), y)
    twice = loss(Outputs(s.repeat(2, 1)), Outputs(t.repeat(2, 1)), y.repeat(2))
    assert torch.allclose(once, twice, rtol=1e-5)


@ROWS
def test_survives_extreme_logits(row: Row) -> None:
    loss = row.load()()
    s = torch.tensor([[1e4, -1e4, 0.0]], requires_grad=True)
    t = torch.tensor([[-1e4, 1e4, 0.0]])
    value = loss(Outputs(s), Outputs(t), torch.tensor([1]))
    value.backward()
    assert torch.isfinite(value)
    assert s.grad is not None and torch.isfinite(s.grad).all()


@ROWS
def test_is_documented_with_source_shapes_and_a_number(row: Row) -> None:
    loss = row.load()
    module = importlib.import_module(loss.__module__)
    text = inspect.getsource(module)
    assert "https://arxiv.org/abs/" in text
    assert "Shapes:" in (loss.__doc__ or "")
    tests = doctest.DocTestFinder().find(module, row.name)
    examples = [example for test in tests for example in test.examples]
    assert any("round(" in example.source for example in examples)
    assert doctest.testmod(module).failed == 0
