"""The Bernoulli divergence against SciPy's relative entropy of two-element distributions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import expit, rel_entr

from edgekd.losses.base import Outputs
from edgekd.losses.binary_kd import BinaryKD, bernoulli_divergence, binary_kd_loss
from edgekd.losses.kd import kd_loss

LOGITS = arrays(np.float32, (4, 6), elements=st.floats(-15, 15, width=32))


def reference(student: np.ndarray, teacher: np.ndarray, temperature: float) -> float:
    s, t = student.astype(np.float64) / temperature, teacher.astype(np.float64) / temperature
    each = rel_entr(expit(t), expit(s)) + rel_entr(expit(-t), expit(-s))
    return float(each.mean(-1).mean() * temperature**2)


@given(LOGITS, LOGITS, st.sampled_from([1.0, 2.0, 4.0]))
@settings(max_examples=40, deadline=None)
def test_equals_scipy(student: np.ndarray, teacher: np.ndarray, temperature: float) -> None:
    value = binary_kd_loss(torch.tensor(student), torch.tensor(teacher), temperature=temperature)
    expected = reference(student, teacher, temperature)
    assert value.item() == pytest.approx(expected, rel=2e-4, abs=2e-4)


def test_is_kd_of_two_classes() -> None:
    """A coin with log odds z is a softmax over (z, 0)."""
    z = torch.randn(7, 1, dtype=torch.float64)
    w = torch.randn(7, 1, dtype=torch.float64)
    zeros = torch.zeros_like(z)
    coins = binary_kd_loss(z, w, temperature=3.0)
    two = kd_loss(torch.cat([z, zeros], 1), torch.cat([w, zeros], 1), temperature=3.0)
    assert coins.item() == pytest.approx(two.item())


def test_golden_number() -> None:
    # 0.8 against 0.5: 0.8 log 1.6 + 0.2 log 0.4 = 0.192745
    value = bernoulli_divergence(torch.tensor(0.0), torch.tensor(4.0).log())
    assert value.item() == pytest.approx(0.192745, abs=1e-6)


def test_gradient_is_the_difference_of_probabilities() -> None:
    s = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    t = torch.randn(3, 4, dtype=torch.float64)
    binary_kd_loss(s, t, temperature=2.0).backward()
    assert s.grad is not None
    expected = 2 * (expit(s.detach().numpy() / 2) - expit(t.numpy() / 2)) / 12
    np.testing.assert_allclose(s.grad.numpy(), expected, atol=1e-12)


def test_classes_do_not_touch_one_another() -> None:
    s = torch.randn(3, 4, requires_grad=True)
    t = s.detach().clone()
    t[:, 1] += 2.0
    binary_kd_loss(s, t, temperature=1.0).backward()
    assert s.grad is not None
    assert s.grad[:, 1].abs().min() > 1e-3
    assert s.grad[:, [0, 2, 3]].abs().max() < 1e-6


def test_module() -> None:
    s, t = torch.randn(4, 3), torch.randn(4, 3)
    value = BinaryKD(temperature=2.0)(Outputs(s), Outputs(t), torch.zeros(4, 3))
    assert torch.equal(value, binary_kd_loss(s, t, temperature=2.0))
