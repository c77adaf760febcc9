"""Distilled regression against SciPy, and the bound against its definition."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import huber
from sklearn.metrics import mean_absolute_error, mean_squared_error

from edgekd.errors import EdgekdError
from edgekd.losses.base import Outputs
from edgekd.losses.regression_kd import RegressionKD, bounded_regression_loss, regression_kd_loss
from edgekd.schedule import Schedule


def batch(n: int = 40) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    y = np.random.default_rng(0).normal(size=(n, 3))
    s, t = y + np.random.default_rng(1).normal(size=(2, n, 3))
    return s, t, y


def test_equals_scikit_learn_and_scipy() -> None:
    s, t, _ = batch()
    ours, theirs = torch.tensor(s), torch.tensor(t)
    assert regression_kd_loss(ours, theirs).item() == pytest.approx(mean_squared_error(t, s))
    value = regression_kd_loss(ours, theirs, distance="l1")
    assert value.item() == pytest.approx(mean_absolute_error(t, s))
    value = regression_kd_loss(ours, theirs, distance="huber", delta=0.5)
    assert value.item() == pytest.approx(huber(0.5, s - t).mean())


@pytest.mark.parametrize("margin", [0.0, 0.3, 100.0])
def test_bound_equals_its_definition(margin: float) -> None:
    s, t, y = batch()
    total = 0.0
    for a, b, c in zip(s, t, y, strict=True):
        ours, theirs = (float(np.linalg.norm(z - c)) ** 2 / 3 for z in (a, b))
        total += ours if ours + margin > theirs else 0.0
    value = bounded_regression_loss(
        torch.tensor(s), torch.tensor(t), torch.tensor(y), margin=margin
    )
    assert value.item() == pytest.approx(total / len(s))
    assert 0 < value.item() <= mean_squared_error(y, s) + 1e-9


def test_a_student_that_is_better_is_left_alone() -> None:
    """Errors 1 and 2 of the student, 2 and 1 of the teacher: a gradient for the second only."""
    s = torch.tensor([[1.0], [2.0]], requires_grad=True)
    t = torch.tensor([[2.0], [1.0]], requires_grad=True)
    bounded_regression_loss(s, t, torch.zeros(2)).backward()
    assert s.grad is not None and t.grad is None
    assert s.grad.flatten().tolist() == [0.0, 2.0]  # d/ds of s^2 / 2 samples, at 2


def test_module() -> None:
    s, t, y = (torch.tensor(part) for part in batch())
    plain = RegressionKD(distance="l1")(Outputs(s), Outputs(t), y)
    assert torch.equal(plain, regression_kd_loss(s, t, distance="l1"))
    loss = RegressionKD(
        bounded=True, margin=Schedule(schedule="linear", start=0.0, end=2.0), distance="huber"
    )
    loss.progress = 0.5
    bounded = loss(Outputs(s), Outputs(t), y)
    expected = bounded_regression_loss(s, t, y, margin=1.0, distance="huber")
    assert torch.equal(bounded, expected)


def test_errors() -> None:
    with pytest.raises(EdgekdError, match="mse, l1, huber"):
        RegressionKD(distance="l3")  # type: ignore[arg-type]
    with pytest.raises(EdgekdError, match="at least 0"):
        RegressionKD(bounded=True, margin=-1.0)
    with pytest.raises(EdgekdError, match="bounded = true"):
        RegressionKD(margin=0.5)
