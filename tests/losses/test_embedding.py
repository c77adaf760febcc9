"""Embeddings: one vector a sample from vectors, tokens and maps; directions that stay finite."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from edgekd.errors import EdgekdError, RecipeError
from edgekd.losses.base import Facts, Outputs
from edgekd.losses.embedding import (
    Projection,
    embedding,
    embeddings,
    full_precision,
    read_pairs,
    unit,
    widths,
)


def test_vectors_tokens_and_maps() -> None:
    rng = np.random.default_rng(0)
    maps = rng.normal(size=(2, 3, 4, 5))
    tokens = rng.normal(size=(2, 4, 3))
    found = embedding(torch.tensor(maps))
    np.testing.assert_allclose(found.numpy(), maps.mean((2, 3)))
    assert embedding(torch.tensor(maps), flatten=True).shape == (2, 60)
    np.testing.assert_allclose(embedding(torch.tensor(tokens)).numpy(), tokens.mean(1))
    assert embedding(torch.ones(2, 3, dtype=torch.float16)).dtype == torch.float32


def test_padding_does_not_count_whatever_it_holds() -> None:
    tokens = torch.tensor([[[1.0], [3.0]], [[5.0], [float("nan")]]], requires_grad=True)
    mask = torch.tensor([[True, True], [True, False]])
    found = embedding(tokens, mask)
    assert found.flatten().tolist() == [2.0, 5.0]
    found.sum().backward()
    assert tokens.grad is not None
    assert tokens.grad.flatten().tolist() == [0.5, 0.5, 1.0, 0.0]
    with pytest.raises(EdgekdError, match="not one vector for each token"):
        embedding(torch.ones(2, 3, 1), mask)


def test_pairs_of_layers_and_their_widths() -> None:
    facts = Facts({"a": (8, 4, 4), "b": (6, 5)}, {"c": (3,), "d": ()}, (10,), (7,), 100)
    assert widths(facts, ()) == [(10, 7)]
    assert widths(facts, (("a", "c"), ("b", "c"))) == [(8, 3), (5, 3)]
    with pytest.raises(RecipeError, match="'d' gives one number"):
        widths(facts, (("a", "d"),))
    student = Outputs(torch.ones(2, 10), {"a": torch.ones(2, 8, 4, 4)})
    teacher = Outputs(torch.ones(2, 7), {"c": torch.ones(2, 3, requires_grad=True)})
    ((ours, theirs),) = embeddings(student, teacher, (("a", "c"),))
    assert ours.shape == (2, 8)
    assert not theirs.requires_grad


@pytest.mark.parametrize("wrong", [[], ["ab"], [("a",)], [("a", "b", "c")]])
def test_wrong_layers(wrong: list[object]) -> None:
    with pytest.raises(EdgekdError, match="layers must be pairs"):
        read_pairs(wrong)  # type: ignore[arg-type]


def test_unit_is_the_direction_and_its_gradient_is_that_of_numpy() -> None:
    rng = np.random.default_rng(1)
    x, g = rng.normal(size=(2, 4, 3))
    rows = torch.tensor(x, requires_grad=True)
    found = unit(rows)
    norm = np.linalg.norm(x, axis=1, keepdims=True)
    np.testing.assert_allclose(found.detach().numpy(), x / norm, rtol=1e-12)
    found.backward(torch.tensor(g))
    assert rows.grad is not None
    # the projection onto what is orthogonal to x, over its length
    expected = (g - (g * x).sum(1, keepdims=True) * x / norm**2) / norm
    np.testing.assert_allclose(rows.grad.numpy(), expected, rtol=1e-9, atol=1e-12)


def test_unit_at_extremes() -> None:
    rows = torch.tensor([[0.0, 0.0], [3e30, 4e30], [3e-7, 4e-7]], requires_grad=True)
    found = unit(rows)
    expected = torch.tensor([[0.0, 0.0], [0.6, 0.8], [0.6, 0.8]])
    assert torch.allclose(found, expected)
    found.sum().backward()
    assert rows.grad is not None and torch.isfinite(rows.grad).all()
    assert rows.grad[0].abs().sum() == 0
    assert unit(torch.tensor([[float("nan"), 1.0]])).isnan().any()  # never hidden


def test_products_are_exact_under_autocast() -> None:
    rows = torch.randn(8, 8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert (rows @ rows).dtype == torch.bfloat16
        with full_precision(rows):
            assert torch.equal(rows @ rows, torch.mm(rows, rows))
            assert (rows @ rows).dtype == torch.float32
    assert Projection(8, 3).to(torch.bfloat16)(rows).dtype == torch.float32
