"""Similarity-preserving distillation against NumPy in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekd.errors import EdgekdError
from edgekd.losses.base import Outputs
from edgekd.losses.similarity import SimilarityPreserving, similarity_preserving_loss


def paper(s: np.ndarray, t: np.ndarray) -> float:
    """Equations 1 to 4 of the paper, with its 1 / b^2."""
    gram = [a.reshape(len(a), -1) @ a.reshape(len(a), -1).T for a in (s, t)]
    ours, theirs = (g / np.sqrt((g**2).sum(1, keepdims=True)) for g in gram)
    return float(((ours - theirs) ** 2).sum() / len(s) ** 2)


@given(st.integers(2, 8), st.integers(0, 2**16))
@settings(max_examples=30, deadline=None)
def test_is_the_papers_times_the_batch(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    s, t = rng.normal(size=(n, 3, 2, 2)), rng.normal(size=(n, 5))
    ours = Outputs(torch.zeros(n, 2), {"a": torch.tensor(s)})
    theirs = Outputs(torch.zeros(n, 2), {"b": torch.tensor(t)})
    value = SimilarityPreserving(layers=[("a", "b")])(ours, theirs, torch.zeros(n))
    assert value.item() == pytest.approx(n * paper(s, t), rel=1e-9)


def test_the_size_of_the_batch_is_no_weight() -> None:
    s, t = torch.randn(6, 4), torch.randn(6, 3)
    once = similarity_preserving_loss(s, t)
    twice = similarity_preserving_loss(s.repeat(2, 1), t.repeat(2, 1))
    assert torch.allclose(once, twice, rtol=1e-5)


def test_golden_number_and_zero() -> None:
    # Rows (1, 0) and (0, 1) against (1, 1) / sqrt(2) twice: 2 - sqrt(2) each
    s = torch.tensor([[2.0, 0.0], [0.0, 5.0]])
    t = torch.tensor([[1.0], [3.0]])
    value = similarity_preserving_loss(s, torch.ones(2, 1)).item()
    assert value == pytest.approx(2 - np.sqrt(2), rel=1e-6)
    assert similarity_preserving_loss(7.0 * t, t).item() == pytest.approx(0.0, abs=1e-12)


def test_gradient_agrees_with_differences_and_spares_the_teacher() -> None:
    s = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    t = torch.randn(4, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: similarity_preserving_loss(x, t), (s,))
    similarity_preserving_loss(s, t).backward()
    assert t.grad is None


@pytest.mark.parametrize("scale", [0.0, 1e-20, 1e15])
def test_extreme_activations(scale: float) -> None:
    s = (torch.randn(4, 3) * scale).requires_grad_()
    value = similarity_preserving_loss(s, torch.randn(4, 3))
    value.backward()
    assert torch.isfinite(value)
    assert s.grad is not None and torch.isfinite(s.grad).all()


def test_a_dead_sample_has_a_bounded_gradient() -> None:
    s = torch.randn(4, 3)
    s[0] = 0.0
    s.requires_grad_()
    similarity_preserving_loss(s, torch.randn(4, 3)).backward()
    assert s.grad is not None and s.grad.abs().max() < 1e3


def test_half_precision_and_no_teacher() -> None:
    s, t = torch.randn(4, 8), torch.randn(4, 8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = SimilarityPreserving()(Outputs(s), Outputs(t), torch.zeros(4))
    assert value.item() == pytest.approx(
        4 * paper(s.double().numpy(), t.double().numpy()), rel=1e-4
    )
    with pytest.raises(EdgekdError, match="needs a teacher"):
        SimilarityPreserving()(Outputs(s), None, torch.zeros(4))
