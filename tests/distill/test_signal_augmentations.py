"""Augmentations of signals: each does what it says, a sample at a time."""

from __future__ import annotations

import pytest
import torch

from edgekd.distill.views import Views
from edgekd.errors import RecipeError
from edgekd.recipe import AugmentSpec

SHAPE = (1, 400)


def views(name: str, **options: object) -> Views:
    return Views([AugmentSpec.model_validate({"name": name, **options})], SHAPE, 30, 0)


@pytest.fixture
def signals() -> torch.Tensor:
    return torch.randn(30, *SHAPE, generator=torch.Generator().manual_seed(0))


def test_time_shift(signals: torch.Tensor) -> None:
    made = views("time-shift", most=0.1)
    shifts = made.parameters(2)[0]["shift"]
    assert shifts.min() >= -40 and shifts.max() <= 40 and len(shifts.unique()) > 10
    found = made.apply(signals, torch.arange(30), view=2)
    for before, after, shift in zip(signals[:, 0], found[:, 0], shifts.tolist(), strict=True):
        expected = torch.zeros(400)
        if shift >= 0:
            expected[shift:] = before[: 400 - shift]
        else:
            expected[:shift] = before[-shift:]
        assert torch.equal(after, expected)


def test_noise_has_the_ratio_that_was_drawn(signals: torch.Tensor) -> None:
    made = views("noise", low=5.0, high=30.0)
    ratios = made.parameters(0)[0]["ratio"]
    assert ratios.min() >= 5 and ratios.max() <= 30
    added = made.apply(signals, torch.arange(30), view=0) - signals
    power = signals.square().mean(dim=(1, 2)) / added.square().mean(dim=(1, 2))
    # The power of 400 values of noise has a standard error of 7%, 0.3 dB.
    torch.testing.assert_close(10 * power.log10(), ratios, atol=1.5, rtol=0)
    assert len({round(float(row[0, 0]), 6) for row in added}) == 30
    silent = torch.zeros(2, *SHAPE)
    assert torch.equal(made.apply(silent, torch.tensor([3, 4]), view=0), silent)


def test_gain(signals: torch.Tensor) -> None:
    found = views("gain", decibels=6.0).apply(signals, torch.arange(30), view=1)
    factors = (found / signals).flatten(1)
    torch.testing.assert_close(factors, factors[:, :1].expand_as(factors))
    decibels = 20 * factors[:, 0].log10()
    assert decibels.abs().max() <= 6.001 and decibels.std() > 2


def test_options_that_cannot_be() -> None:
    with pytest.raises(RecipeError, match=r"most is 2\.0"):
        views("time-shift", most=2.0)
    with pytest.raises(RecipeError, match=r"low is 30\.0, above high"):
        views("noise", low=30.0, high=20.0)
