"""Decoupled distillation against its definition in float64, sample by sample, with SciPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import rel_entr, softmax

from edgekd.errors import DataError, EdgekdError, RecipeError
from edgekd.losses.base import Facts, Outputs
from edgekd.losses.dkd import DKD, dkd_loss
from edgekd.losses.kd import kd_loss

LOGITS = arrays(np.float32, (5, 4), elements=st.floats(-8, 8, width=32))


def parts(s: np.ndarray, t: np.ndarray, y: int, temperature: float) -> tuple[float, float]:
    """TCKD and NCKD of one sample, from probabilities."""
    p = softmax(t.astype(np.float64) / temperature)
    q = softmax(s.astype(np.float64) / temperature)
    of_target = rel_entr([p[y], 1 - p[y]], [q[y], 1 - q[y]]).sum()
    others = rel_entr(np.delete(p, y) / (1 - p[y]), np.delete(q, y) / (1 - q[y])).sum()
    return float(of_target), float(others)


def reference(
    s: np.ndarray, t: np.ndarray, y: np.ndarray, *, alpha: float, beta: float, temperature: float
) -> float:
    values = [parts(*row, temperature) for row in zip(s, t, y, strict=True)]
    return float(np.mean([alpha * a + beta * b for a, b in values]) * temperature**2)


@given(
    LOGITS,
    LOGITS,
    arrays(np.int64, (5,), elements=st.integers(0, 3)),
    st.sampled_from([1.0, 4.0]),
    st.sampled_from([(1.0, 8.0), (0.5, 0.0), (0.0, 2.0)]),
)
@settings(max_examples=60, deadline=None)
def test_equals_scipy(
    s: np.ndarray, t: np.ndarray, y: np.ndarray, temperature: float, weights: tuple[float, float]
) -> None:
    options: dict[str, Any] = {"alpha": weights[0], "beta": weights[1], "temperature": temperature}
    value = dkd_loss(torch.tensor(s), torch.tensor(t), torch.tensor(y), **options)
    assert value.item() == pytest.approx(reference(s, t, y, **options), rel=1e-3, abs=1e-3)


def test_coupled_again_it_is_kd() -> None:
    """Equation 5 of the paper: KD = TCKD + (1 - p_t) NCKD, here for one sample."""
    rng = np.random.default_rng(0)
    for _ in range(5):
        s, t = rng.normal(scale=2, size=(2, 1, 6))
        y = int(rng.integers(6))
        coupled = 1 - softmax(t[0] / 2)[y]
        value = dkd_loss(
            torch.tensor(s),
            torch.tensor(t),
            torch.tensor([y]),
            alpha=1,
            beta=coupled,
            temperature=2,
        )
        expected = kd_loss(torch.tensor(s), torch.tensor(t), temperature=2.0)
        assert value.item() == pytest.approx(expected.item())


def test_golden_number() -> None:
    # teacher (0.8, 0.15, 0.05), student (0.4, 0.2, 0.4), target 0:
    # 0.8 log 2 + 0.2 log(1/3) = 0.334795; 0.75 log(9/4) + 0.25 log(3/8) = 0.362990
    s, t = torch.tensor([[0.4, 0.2, 0.4]]).log(), torch.tensor([[0.8, 0.15, 0.05]]).log()
    y = torch.tensor([0])
    value = dkd_loss(s, t, y, alpha=1.0, beta=0.0, temperature=1.0)
    assert value.item() == pytest.approx(0.334795, abs=1e-6)
    value = dkd_loss(s, t, y, alpha=0.0, beta=1.0, temperature=1.0)
    assert value.item() == pytest.approx(0.362990, abs=1e-6)


def test_a_very_sure_teacher_still_tells_of_the_others() -> None:
    """Where the target's probability rounds to 1, p / (1 - p_t) would be 0 / 0."""
    s = torch.tensor([[0.0, 2.0, 1.0]], requires_grad=True)
    t = torch.tensor([[200.0, 1.0, 2.0]])
    dkd_loss(s, t, torch.tensor([0]), alpha=0.0, beta=1.0, temperature=1.0).backward()
    q, p = softmax([2.0, 1.0]), softmax([1.0, 2.0])
    assert s.grad is not None
    np.testing.assert_allclose(s.grad[0].numpy(), [0.0, *(q - p)], atol=1e-6)


def test_mixed_samples_have_two_targets() -> None:
    """Three quarters class 2 and one quarter class 0, as mixup leaves it; then one class only."""
    s, t = np.random.default_rng(0).normal(scale=2, size=(2, 2, 4))
    mixed = torch.tensor([[0.25, 0.0, 0.75, 0.0], [0.0, 1.0, 0.0, 0.0]])
    options: dict[str, Any] = {"alpha": 1.0, "beta": 2.0, "temperature": 3.0}
    first = [reference(s[:1], t[:1], np.array([y]), **options) for y in (2, 0)]
    second = reference(s[1:], t[1:], np.array([1]), **options)
    expected = (0.75 * first[0] + 0.25 * first[1] + second) / 2
    ours, theirs = torch.tensor(s), torch.tensor(t)
    assert dkd_loss(ours, theirs, mixed, **options).item() == pytest.approx(expected)
    assert DKD(**options)(Outputs(ours), Outputs(theirs), mixed).item() == pytest.approx(expected)


def test_gradient_is_right_to_the_last_digit() -> None:
    torch.manual_seed(0)
    s = torch.randn(4, 5, dtype=torch.float64, requires_grad=True)
    t, y = torch.randn(4, 5, dtype=torch.float64), torch.tensor([0, 4, 2, 2])
    assert torch.autograd.gradcheck(
        lambda z: dkd_loss(z, t, y, alpha=1.0, beta=2.0, temperature=3.0), (s,)
    )


def test_module_and_errors() -> None:
    s, t, y = torch.randn(2, 3), torch.randn(2, 3), torch.tensor([2, 0])
    expected = dkd_loss(s, t, y, alpha=0.5, beta=2.0, temperature=3.0)
    loss = DKD(alpha=0.5, beta=2.0, temperature=3.0)
    assert torch.equal(loss(Outputs(s), Outputs(t), y), expected)
    with pytest.raises(EdgekdError, match="at least 0"):
        DKD(alpha=-1.0)
    with pytest.raises(EdgekdError, match="not both 0"):
        DKD(alpha=0.0, beta=0.0)
    with pytest.raises(RecipeError, match="at least 2 classes"):
        loss.build(Facts({}, {}, (1,), (1,), 10))
    with pytest.raises(DataError, match=r"\(2, 4\).*\(2, 3\) do not fit"):
        loss(Outputs(s), Outputs(t), torch.zeros(2, 4))
