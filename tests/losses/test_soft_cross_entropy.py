"""Cross-entropy on soft targets against numbers worked out with SciPy in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import log_softmax, softmax
from scipy.stats import entropy

from edgekd.losses.base import Outputs
from edgekd.losses.kd import kd_loss
from edgekd.losses.soft_cross_entropy import SoftCrossEntropy, soft_cross_entropy_loss

LOGITS = arrays(np.float32, (5, 7), elements=st.floats(-20, 20, width=32))


def reference(student: np.ndarray, teacher: np.ndarray, temperature: float) -> float:
    soft = softmax(teacher.astype(np.float64) / temperature, axis=-1)
    log_student = log_softmax(student.astype(np.float64) / temperature, axis=-1)
    return float(-(soft * log_student).sum(-1).mean() * temperature**2)


@given(LOGITS, LOGITS, st.sampled_from([1.0, 2.0, 4.0]))
@settings(max_examples=40, deadline=None)
def test_equals_scipy(student: np.ndarray, teacher: np.ndarray, temperature: float) -> None:
    value = soft_cross_entropy_loss(
        torch.tensor(student), torch.tensor(teacher), temperature=temperature
    )
    # A logit of 20 is known to 2e-6 in float32, and so is its logarithm of a probability near one.
    allowed = 2e-6 * temperature
    expected = reference(student, teacher, temperature)
    assert value.item() == pytest.approx(expected, rel=1e-4, abs=allowed)


def test_is_kd_plus_the_entropy_of_the_teacher() -> None:
    rng = np.random.default_rng(0)
    s, t = rng.normal(scale=3, size=(2, 6, 5))
    extra = entropy(softmax(t / 3, axis=-1), axis=-1).mean() * 9
    ours, theirs = torch.tensor(s, requires_grad=True), torch.tensor(t)
    value = soft_cross_entropy_loss(ours, theirs, temperature=3.0)
    divergence = kd_loss(ours, theirs, temperature=3.0)
    assert value.item() == pytest.approx(divergence.item() + extra)
    gradients = [torch.autograd.grad(loss, ours)[0] for loss in (value, divergence)]
    torch.testing.assert_close(*gradients)


def test_golden_number() -> None:
    # softmax((1, 0)) = (0.7310586, 0.2689414) as the target of two equal logits: log 2
    value = soft_cross_entropy_loss(torch.zeros(1, 2), torch.tensor([[1.0, 0.0]]), temperature=1.0)
    assert value.item() == pytest.approx(0.69314718)


def test_module() -> None:
    s, t = torch.randn(4, 3), torch.randn(4, 3)
    loss = SoftCrossEntropy(temperature=2.0)
    expected = soft_cross_entropy_loss(s, t, temperature=2.0)
    assert torch.equal(loss(Outputs(s), Outputs(t), torch.zeros(4).long()), expected)
