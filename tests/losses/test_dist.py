"""DIST against Pearson's correlation of SciPy, row by row and column by column."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax
from scipy.stats import pearsonr

from edgekd.errors import EdgekdError
from edgekd.losses.base import Outputs
from edgekd.losses.dist import DIST, dist_loss, pearson


def distance(a: np.ndarray, b: np.ndarray) -> float:
    """1 - r, where the code's epsilon draws r to 0 if both hardly vary."""
    norms = np.linalg.norm(a - a.mean()) * np.linalg.norm(b - b.mean())
    return float(1 - pearsonr(a, b).statistic * norms / (norms + 1e-8))


def reference(
    s: np.ndarray, t: np.ndarray, *, beta: float, gamma: float, temperature: float
) -> float:
    p, q = softmax(s / temperature, axis=-1), softmax(t / temperature, axis=-1)
    inter = np.mean([distance(a, b) for a, b in zip(p, q, strict=True)])
    intra = np.mean([distance(a, b) for a, b in zip(p.T, q.T, strict=True)])
    return float((beta * inter + gamma * intra) * temperature**2)


@given(
    st.integers(0, 2**32 - 1),
    st.integers(2, 9),
    st.integers(3, 8),
    st.sampled_from([1.0, 4.0]),
    st.sampled_from([(1.0, 1.0), (2.0, 0.0), (0.0, 3.0)]),
)
@settings(max_examples=40, deadline=None)
def test_equals_scipy(
    seed: int, n: int, classes: int, temperature: float, weights: tuple[float, float]
) -> None:
    s, t = np.random.default_rng(seed).normal(scale=1.5, size=(2, n, classes))
    options: dict[str, Any] = {"beta": weights[0], "gamma": weights[1], "temperature": temperature}
    value = dist_loss(torch.tensor(s), torch.tensor(t), **options)
    assert value.item() == pytest.approx(reference(s, t, **options), rel=1e-6)


def test_equals_pearsons_correlation_where_predictions_vary() -> None:
    s, t = np.random.default_rng(0).normal(size=(2, 16, 5))
    value = dist_loss(torch.tensor(s), torch.tensor(t), beta=0.0, gamma=1.0, temperature=1.0)
    p, q = softmax(s, axis=-1), softmax(t, axis=-1)
    expected = np.mean([1 - np.corrcoef(p[:, c], q[:, c])[0, 1] for c in range(5)])
    assert value.item() == pytest.approx(expected, rel=1e-6)


def test_golden_number() -> None:
    # deviations of (0.7, 0.2, 0.1) and (0.5, 0.3, 0.2), in thirtieths: 11, -4, -7 and 5, -1, -4
    s, t = torch.tensor([[0.7, 0.2, 0.1]]).log(), torch.tensor([[0.5, 0.3, 0.2]]).log()
    expected = 1 - (11 * 5 + 4 + 28) / np.sqrt((121 + 16 + 49) * (25 + 1 + 16))
    value = dist_loss(s, t, beta=1.0, gamma=0.0, temperature=1.0)
    assert value.item() == pytest.approx(expected, abs=1e-6)


def test_only_relations_count() -> None:
    """Probabilities that are mixed with the uniform distribution keep their correlation."""
    p = torch.tensor(np.random.default_rng(0).dirichlet(np.ones(5), size=6))
    flat = 0.3 * p + 0.7 / 5
    value = dist_loss(flat.log(), p.log(), beta=1.0, gamma=1.0, temperature=1.0)
    assert value.item() == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("n", [1, 2])
def test_small_batches_are_finite(n: int) -> None:
    s = torch.randn(n, 4, requires_grad=True)
    value = dist_loss(s, torch.randn(n, 4), beta=1.0, gamma=1.0, temperature=1.0)
    value.backward()
    assert torch.isfinite(value)
    assert s.grad is not None and torch.isfinite(s.grad).all() and s.grad.abs().sum() > 0


def test_what_does_not_vary_correlates_with_nothing() -> None:
    flat = torch.zeros(1, 3, requires_grad=True)
    value = pearson(flat, torch.tensor([[1.0, 2.0, 4.0]]))
    value.sum().backward()
    assert value.item() == 0.0
    assert flat.grad is not None and torch.isfinite(flat.grad).all()


def test_gradient_is_right_to_the_last_digit() -> None:
    torch.manual_seed(0)
    s = torch.randn(4, 5, dtype=torch.float64, requires_grad=True)
    t = torch.randn(4, 5, dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda z: dist_loss(z, t, beta=1.0, gamma=2.0, temperature=3.0), (s,)
    )


def test_module_and_errors() -> None:
    s, t = torch.randn(4, 3), torch.randn(4, 3)
    loss = DIST(beta=2.0, gamma=0.5, temperature=3.0)
    expected = dist_loss(s, t, beta=2.0, gamma=0.5, temperature=3.0)
    assert torch.equal(loss(Outputs(s), Outputs(t), torch.zeros(4).long()), expected)
    with pytest.raises(EdgekdError, match="at least 0"):
        DIST(gamma=-1.0)
    with pytest.raises(EdgekdError, match="not both 0"):
        DIST(beta=0.0, gamma=0.0)
