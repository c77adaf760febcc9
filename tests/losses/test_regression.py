"""Regression against scikit-learn and SciPy in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import huber
from sklearn.metrics import mean_absolute_error, mean_squared_error

from edgekd.errors import DataError, EdgekdError
from edgekd.losses.base import Outputs
from edgekd.losses.regression import Regression, regression_loss


def batch() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(scale=2, size=(9, 3)), rng.normal(scale=2, size=(9, 3))


def test_equals_scikit_learn() -> None:
    z, y = batch()
    outputs, target = torch.tensor(z), torch.tensor(y)
    square = regression_loss(outputs, target)
    assert square.item() == pytest.approx(mean_squared_error(y, z))
    absolute = regression_loss(outputs, target, distance="l1")
    assert absolute.item() == pytest.approx(mean_absolute_error(y, z))


@pytest.mark.parametrize("delta", [0.3, 1.0, 5.0])
def test_equals_scipys_huber(delta: float) -> None:
    z, y = batch()
    loss = Regression(distance="huber", delta=delta)
    value = loss(Outputs(torch.tensor(z)), None, torch.tensor(y))
    assert value.item() == pytest.approx(huber(delta, z - y).mean())


def test_one_output_takes_flat_targets() -> None:
    """Without the check, (N, 1) - (N,) would broadcast to (N, N)."""
    value = regression_loss(torch.tensor([[2.0], [5.0], [1.0]]), torch.tensor([1, 3, 1]))
    assert value.item() == pytest.approx((1 + 4 + 0) / 3)


def test_class_indices_become_one_hot() -> None:
    # (0.5, 0.5) against (0, 1) and (1, 2) against (1, 0): (0.25 + 2) / 2
    value = regression_loss(torch.tensor([[0.5, 0.5], [1.0, 2.0]]), torch.tensor([1, 0]))
    assert value.item() == pytest.approx((0.25 + 2.0) / 2)


def test_errors() -> None:
    assert Regression.needs_teacher is False
    with pytest.raises(EdgekdError, match="mse, l1, huber"):
        Regression(distance="l2")  # type: ignore[arg-type]
    with pytest.raises(EdgekdError, match="delta must be above 0"):
        Regression(delta=0.0)
    with pytest.raises(DataError, match="do not fit"):
        regression_loss(torch.zeros(4, 3), torch.zeros(4))
    with pytest.raises(DataError, match="do not fit"):
        regression_loss(torch.zeros(4, 3), torch.zeros(4, 2))
