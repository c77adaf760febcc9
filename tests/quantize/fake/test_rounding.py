"""Fake quantization against the arithmetic written out in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from edgekd.quantize.fake.rounding import round_activation, round_weight


@pytest.mark.parametrize("axis", [None, 0, 1])
def test_weights_lie_on_symmetric_grids(axis: int | None) -> None:
    values = np.random.default_rng(0).normal(size=(6, 4, 3, 3)).astype(np.float32)
    values[2] *= 300
    other = tuple(i for i in range(4) if i != axis)
    largest = np.abs(values).max() if axis is None else np.abs(values).max(other, keepdims=True)
    scale = (largest / 127).astype(np.float32)
    expected = np.clip(np.rint(values / scale), -127, 127) * scale
    found = round_weight(torch.from_numpy(values), axis).numpy()
    # Ties between two steps may go either way in float32.
    assert np.abs(found - expected).max() <= scale.max() * 1.001
    assert np.mean(np.abs(found - expected) < 1e-4 * scale) > 0.999


def test_activations_have_an_exact_zero_and_are_clipped() -> None:
    values = np.linspace(-3, 5, 1001, dtype=np.float32)
    low, high = -1.0, 4.0
    scale = (high - low) / 255
    zero = np.rint(-128 - low / scale)
    expected = (np.clip(np.rint(values / scale) + zero, -128, 127) - zero) * scale
    found = round_activation(torch.from_numpy(values), torch.tensor(low), torch.tensor(high))
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-5)
    assert round_activation(torch.zeros(1), torch.tensor(low), torch.tensor(high)).item() == 0.0


def test_a_range_without_zero_is_widened_to_it() -> None:
    found = round_activation(torch.tensor([2.0, 3.0]), torch.tensor(2.0), torch.tensor(3.0))
    steps = found / (3.0 / 255)
    assert torch.allclose(steps, steps.round(), atol=1e-3)


def test_gradients_pass_straight_through() -> None:
    weight = torch.randn(4, 3, requires_grad=True)
    round_weight(weight, 0).sum().backward()
    assert weight.grad is not None and torch.equal(weight.grad, torch.ones(4, 3))
    values = torch.tensor([-2.0, 0.5, 9.0], requires_grad=True)
    round_activation(values, torch.tensor(-1.0), torch.tensor(1.0)).sum().backward()
    assert values.grad is not None and values.grad.tolist() == [0.0, 1.0, 0.0]


def test_zeros_stay_zeros() -> None:
    assert round_weight(torch.zeros(2, 3), 0).eq(0).all()
    assert round_activation(torch.zeros(3), torch.tensor(0.0), torch.tensor(0.0)).eq(0).all()
