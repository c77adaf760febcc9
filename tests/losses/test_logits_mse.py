"""Mean squared difference of logits: its normalisation, and its tie to distillation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import mean_squared_error

from edgekd.losses.base import Outputs
from edgekd.losses.kd import kd_loss
from edgekd.losses.logits_mse import LogitsMSE, logits_mse_loss


def random(*shape: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(scale=3, size=shape), rng.normal(scale=3, size=shape)


def test_equals_scikit_learn() -> None:
    s, t = random(9, 6)
    value = logits_mse_loss(torch.tensor(s), torch.tensor(t))
    assert value.item() == pytest.approx(mean_squared_error(t, s))


@pytest.mark.parametrize("classes", [2, 10, 50])
def test_published_forms_are_weights_of_it(classes: int) -> None:
    s, t = random(7, classes)
    value = logits_mse_loss(torch.tensor(s), torch.tensor(t)).item()
    kim = np.mean([np.linalg.norm(a - b) ** 2 for a, b in zip(s, t, strict=True)])
    assert value * classes == pytest.approx(kim)
    ba = np.mean([np.linalg.norm(a - b) ** 2 / 2 for a, b in zip(s, t, strict=True)])
    assert value * classes / 2 == pytest.approx(ba)


def test_kd_tends_to_half_of_it() -> None:
    s, t = random(5, 8)
    s, t = (z - z.mean(-1, keepdims=True) for z in (s, t))
    far = kd_loss(torch.tensor(s), torch.tensor(t), temperature=3000.0).item()
    assert far == pytest.approx(logits_mse_loss(torch.tensor(s), torch.tensor(t)).item() / 2, 1e-2)


def test_standardised_it_is_a_correlation() -> None:
    """For z-scores, the mean square of the difference is 2 (1 - r) (C - 1) / C."""
    s, t = random(6, 5)
    loss = LogitsMSE(standardise=True)
    value = loss(Outputs(torch.tensor(s)), Outputs(torch.tensor(t)), torch.zeros(6).long())
    r = np.array([np.corrcoef(a, b)[0, 1] for a, b in zip(s, t, strict=True)])
    assert value.item() == pytest.approx((2 * (1 - r) * 4 / 5).mean(), rel=1e-5)


def test_golden_number() -> None:
    # differences 1, 0, -2 and 3, 0, 0: (1 + 4) / 3 and 9 / 3, so 7 / 3
    s = torch.tensor([[1.0, 2.0, 3.0], [3.0, 1.0, 1.0]])
    t = torch.tensor([[0.0, 2.0, 5.0], [0.0, 1.0, 1.0]])
    assert logits_mse_loss(s, t).item() == pytest.approx(7 / 3)
