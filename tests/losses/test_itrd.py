"""ITRD against NumPy in float64: Pearson's correlation, and entropies of a spectrum."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import pearsonr

from edgekd.errors import EdgekdError
from edgekd.losses.base import Facts, Outputs
from edgekd.losses.itrd import ITRD, correlation_loss, density, information_loss, renyi_entropy

Array = np.ndarray


def correlation_reference(s: Array, t: Array, alpha: float) -> float:
    terms = [
        abs(pearsonr(a, b).statistic - 1) ** (2 * alpha) for a, b in zip(s.T, t.T, strict=True)
    ]
    return float(np.log2(sum(terms)))


def entropy(matrix: Array) -> float:
    """Order 2, from the eigenvalues: S = -log2 of the sum of their squares."""
    return float(-np.log2((np.linalg.eigvalsh(matrix) ** 2).sum()))


def gram(rows: Array) -> Array:
    directions = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(directions @ directions.T)


def information_reference(s: Array, t: Array) -> float:
    a, b = gram(s) / len(s), gram(t) / len(t)
    joint = a * b / np.trace(a * b)
    return -(entropy(a) + entropy(b) - entropy(joint))


@given(st.integers(3, 8), st.integers(0, 2**16), st.sampled_from([1.0, 1.01, 1.5]))
@settings(max_examples=30, deadline=None)
def test_equals_numpy(n: int, seed: int, alpha: float) -> None:
    rng = np.random.default_rng(seed)
    s, t, other = rng.normal(size=(n, 4)) * 3 + 7, rng.normal(size=(n, 4)), rng.normal(size=(n, 6))
    value = correlation_loss(torch.tensor(s), torch.tensor(t), alpha=alpha)
    assert value.item() == pytest.approx(correlation_reference(s, t, alpha), abs=1e-4)
    value = information_loss(torch.tensor(s), torch.tensor(other))
    assert value.item() == pytest.approx(information_reference(s, other), rel=1e-9, abs=1e-12)


def test_density_matrices_are_what_their_name_says() -> None:
    matrix = density(torch.randn(6, 3, dtype=torch.float64))
    assert matrix.trace().item() == pytest.approx(1.0)
    assert torch.allclose(matrix, matrix.T)
    assert torch.linalg.eigvalsh(matrix).min() > -1e-12


def test_golden_numbers() -> None:
    # Four orthogonal samples are 2 bits; one sample seen four times is a pure state, 0 bits.
    assert renyi_entropy(density(torch.eye(4))).item() == pytest.approx(2.0)
    assert renyi_entropy(density(torch.ones(4, 3))).item() == pytest.approx(0.0, abs=1e-6)
    assert information_loss(torch.eye(4), torch.eye(4)).item() == pytest.approx(-2.0, abs=1e-6)
    assert information_loss(torch.ones(4, 3), torch.eye(4)).item() == pytest.approx(0.0, abs=1e-6)
    # correlations 1, -1 and, for a constant, 0: log2(0 + 4 + 1)
    s = torch.tensor([[0.0, 1.0, 3.0], [1.0, 0.0, 3.0]])
    t = torch.tensor([[0.0, 0.0, 0.0], [5.0, 5.0, 5.0]])
    assert correlation_loss(s, t, alpha=1.0).item() == pytest.approx(np.log2(5.0), abs=1e-5)


def test_perfect_correlation_is_finite() -> None:
    t = torch.randn(8, 4)
    s = (3.0 * t - 1.0).requires_grad_()
    value = correlation_loss(s, t)
    value.backward()
    assert value.item() == pytest.approx(np.log2(1e-6), abs=0.1)
    assert s.grad is not None and torch.isfinite(s.grad).all()


@pytest.mark.parametrize(
    "rows", [torch.zeros(4, 3), torch.full((4, 3), 0.7), 1e15 * torch.eye(4, 3)]
)
def test_dead_constant_and_huge_features(rows: torch.Tensor) -> None:
    s = rows.clone().requires_grad_()
    t = torch.randn(4, 3)
    (correlation_loss(s, t) + information_loss(s, t)).backward()
    assert s.grad is not None and torch.isfinite(s.grad).all()
    assert s.grad.abs().max() < 1e3


def test_gradient_agrees_with_differences() -> None:
    s = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    t = torch.randn(5, 3, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: correlation_loss(x, t), (s,))
    assert torch.autograd.gradcheck(lambda x: information_loss(x, t), (s,))


def test_module_projects_layers_but_not_equal_logits() -> None:
    s, t = torch.randn(6, 5), torch.randn(6, 5)
    loss = ITRD(correlation=2.0, information=3.0)
    loss.build(Facts({}, {}, (5,), (5,), 6))
    assert not list(loss.parameters())
    expected = 2 * correlation_loss(s, t) + 3 * information_loss(s, t)
    assert torch.allclose(loss(Outputs(s), Outputs(t), torch.zeros(6)), expected)
    layered = ITRD(layers=[("a", "b")])
    layered.build(Facts({"a": (4, 2, 2)}, {"b": (7,)}, (5,), (5,), 6))
    assert [tuple(p.shape) for p in layered.parameters()] == [(7, 4), (7,)]
    feature, wanted = (
        torch.randn(6, 4, 2, 2, requires_grad=True),
        torch.randn(6, 7, requires_grad=True),
    )
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = layered(Outputs(s, {"a": feature}), Outputs(t, {"b": wanted}), torch.zeros(6))
    value.backward()
    assert value.dtype == torch.float32
    assert feature.grad is not None and feature.grad.abs().sum() > 0
    assert wanted.grad is None
    assert all(p.grad is not None for p in layered.parameters())


def test_errors() -> None:
    for wrong in ({"correlation": 0.0, "information": 0.0}, {"correlation": -1.0}, {"alpha": 0.5}):
        with pytest.raises(EdgekdError, match="must be"):
            ITRD(**wrong)  # type: ignore[arg-type]
    with pytest.raises(EdgekdError, match="needs a teacher"):
        ITRD()(Outputs(torch.ones(2, 2)), None, torch.zeros(2))
