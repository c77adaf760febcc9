"""Attention over teacher layers against NumPy in float64, and that it learns to choose."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import softmax
from torch import nn

from edgekd.errors import EdgekdError, RecipeError
from edgekd.losses.base import Facts, Outputs
from edgekd.losses.cross_layer import CrossLayer, attended_error
from edgekd.losses.hint import hint_loss

PAIRS = [("a", "x"), ("a", "y"), ("b", "y")]
STUDENT: dict[str, Any] = {"a": (3, 4, 4), "b": (6, 2, 2)}
TEACHER: dict[str, Any] = {"x": (5, 4, 4), "y": (6, 2, 2)}


def built(pairs: Any = PAIRS, student: Any = STUDENT, teacher: Any = TEACHER) -> CrossLayer:
    torch.manual_seed(0)
    loss = CrossLayer(layers=pairs, width=8)
    loss.build(Facts(student, teacher, (5,), (5,), 100))
    return loss


def outputs(shapes: dict[str, Any], count: int, mask: Any = None, grad: bool = False) -> Outputs:
    features = {n: torch.randn(count, *s).requires_grad_(grad) for n, s in shapes.items()}
    return Outputs(torch.zeros(count, 5), features, mask)


def perceptron(network: nn.Module, x: np.ndarray) -> np.ndarray:
    first, second = network[0], network[2]  # type: ignore[index]
    w1, b1, w2, b2 = (
        p.detach().numpy().astype(float)
        for p in (first.weight, first.bias, second.weight, second.bias)
    )
    found: np.ndarray = np.maximum(x @ w1.T + b1, 0.0) @ w2.T + b2
    return found


def test_equals_numpy() -> None:
    loss = built()
    ours, theirs = outputs(STUDENT, 3), outputs(TEACHER, 3)
    s, t = (
        {n: x.numpy().astype(float) for n, x in side.features.items()} for side in (ours, theirs)
    )
    queries = {n: perceptron(loss.queries[i], s[n].mean((2, 3))) for i, n in enumerate("ab")}
    keys = {n: perceptron(loss.keys[i], t[n].mean((2, 3))) for i, n in enumerate("xy")}
    adapted = [
        adapter(ours.features[n]).detach().numpy()
        for adapter, (n, _) in zip(loss.adapters, PAIRS, strict=True)
    ]
    errors = [((a - t[n]) ** 2).mean((1, 2, 3)) for a, (_, n) in zip(adapted, PAIRS, strict=True)]
    scores = np.stack([(queries["a"] * keys[n]).sum(1) / np.sqrt(8) for n in "xy"], axis=1)
    weights = softmax(scores, axis=1)
    expected = (weights * np.stack(errors[:2], axis=1)).sum(1).mean() + errors[2].mean()
    assert loss(ours, theirs, torch.zeros(3)).item() == pytest.approx(expected, rel=1e-5)


def test_a_single_teacher_layer_is_a_hint() -> None:
    loss = built([("b", "y")])
    ours, theirs = outputs(STUDENT, 2), outputs(TEACHER, 2)
    expected = hint_loss(ours.features["b"], theirs.features["y"])
    torch.testing.assert_close(loss(ours, theirs, torch.zeros(2)), expected)


def test_a_sample_does_not_depend_on_its_batch() -> None:
    loss = built()
    ours, theirs = outputs(STUDENT, 3), outputs(TEACHER, 3)
    alone = []
    for n in range(3):
        parts = [
            Outputs(side.logits[n : n + 1], {k: v[n : n + 1] for k, v in side.features.items()})
            for side in (ours, theirs)
        ]
        alone.append(loss(*parts, torch.zeros(1)))
    torch.testing.assert_close(loss(ours, theirs, torch.zeros(3)), torch.stack(alone).mean())


def test_tokens_count_and_padding_does_not() -> None:
    shapes = {"a": (4, 6)}, {"x": (4, 6), "y": (4, 6)}
    loss = built([("a", "x"), ("a", "y")], *shapes)
    mask = torch.tensor([[True, True, True, True], [True, False, False, False]])
    ours, theirs = outputs(shapes[0], 2, mask), outputs(shapes[1], 2)
    before = loss(ours, theirs, torch.zeros(2))
    with torch.no_grad():
        ours.features["a"][1, 1:] = 1e6
        theirs.features["x"][1, 1:] = -1e6
    torch.testing.assert_close(loss(ours, theirs, torch.zeros(2)), before)
    weights = attended_error(
        torch.zeros(2, 2), torch.tensor([[1.0, 1.0], [6.0, 6.0]]), torch.tensor([4.0, 1.0])
    )
    assert weights.item() == pytest.approx((4 * 1 + 6) / 5)


def test_everything_of_its_own_learns_and_the_teacher_does_not() -> None:
    loss = built()
    ours, theirs = outputs(STUDENT, 4, grad=True), outputs(TEACHER, 4, grad=True)
    loss(ours, theirs, torch.zeros(4)).backward()
    silent = [n for n, p in loss.named_parameters() if p.grad is None]
    assert not silent
    assert all(x.grad is not None for x in ours.features.values())
    assert all(x.grad is None for x in theirs.features.values())


def test_attention_goes_to_the_layer_that_can_be_matched() -> None:
    shapes = {"a": (6,)}, {"x": (6,), "y": (6,)}
    loss = built([("a", "x"), ("a", "y")], *shapes)
    ours = outputs(shapes[0], 64)
    theirs = outputs(shapes[1], 64)
    features = {"x": ours.features["a"] + 0.1, "y": theirs.features["y"] * 3}
    theirs = Outputs(theirs.logits, features)
    optimizer = torch.optim.Adam(loss.parameters(), lr=0.01)
    first = loss(ours, theirs, torch.zeros(64)).item()
    for _ in range(60):
        optimizer.zero_grad()
        value = loss(ours, theirs, torch.zeros(64))
        value.backward()
        optimizer.step()
    assert first > 3.0
    assert value.item() < 0.3  # 0.01 for x alone, about 10 for y


def test_errors() -> None:
    with pytest.raises(EdgekdError, match="width must be at least 1"):
        CrossLayer(layers=PAIRS, width=0)
    with pytest.raises(RecipeError, match=r"'a', teacher 'x'.*no positions left"):
        built([("a", "x")], {"a": (6,)}, {"x": (5, 4, 4)})
    with pytest.raises(RecipeError, match="needs a teacher"):
        built()(outputs(STUDENT, 2), None, torch.zeros(2))
