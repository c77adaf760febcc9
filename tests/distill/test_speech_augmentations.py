"""Augmentations of speech: each does what it says, a sample at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy import signal

from edgekd.distill.views import Views
from edgekd.errors import RecipeError
from edgekd.recipe import AugmentSpec

RATE = 8000
LENGTH = 2000
SHAPE = (1, LENGTH)


def views(name: str, **options: object) -> Views:
    return Views([AugmentSpec.model_validate({"name": name, **options})], SHAPE, 20, 0)


def applied(name: str, waves: torch.Tensor, **options: object) -> tuple[torch.Tensor, Any]:
    made = views(name, **options)
    return made.apply(waves, torch.arange(20), view=1), made.parameters(1)[0]


@pytest.fixture
def tones() -> torch.Tensor:
    """A tone of 500 Hz under a bell in the first half, 20 times."""
    t = np.arange(LENGTH) / RATE
    tone = np.sin(2 * np.pi * 500 * t) * np.exp(-(((t - 0.06) / 0.02) ** 2))
    return torch.from_numpy(tone).float().expand(20, 1, LENGTH).contiguous()


@pytest.fixture
def noise() -> torch.Tensor:
    return torch.randn(20, *SHAPE, generator=torch.Generator().manual_seed(0))


def test_speed_moves_frequency_and_time(tones: torch.Tensor) -> None:
    found, drawn = applied("speed", tones, low=0.8, high=1.25)
    factors = drawn["factor"].numpy()
    assert factors.min() >= 0.8 and factors.max() <= 1.25 and factors.std() > 0.08
    t = np.arange(LENGTH) / RATE
    for after, factor in zip(found[:, 0].numpy(), factors, strict=True):
        moved = t * factor
        expected = np.sin(2 * np.pi * 500 * moved) * np.exp(-(((moved - 0.06) / 0.02) ** 2))
        assert np.abs(after - expected).max() < 0.01


def test_the_same_speed_changes_nothing_and_what_is_behind_is_silent(noise: torch.Tensor) -> None:
    same, _ = applied("speed", noise, low=1.0, high=1.0)
    torch.testing.assert_close(same, noise)
    fast, _ = applied("speed", noise, low=2.0, high=2.0)
    torch.testing.assert_close(fast[..., : LENGTH // 2], noise[..., ::2])
    assert not fast[..., LENGTH // 2 + 1 :].any()


def test_time_mask(noise: torch.Tensor) -> None:
    found, drawn = applied("time-mask", noise, count=2, most=0.2)
    silent = (found == 0)[:, 0]
    assert torch.equal(found[:, 0][~silent], noise[:, 0][~silent])
    for row, start, end in zip(silent, drawn["start"], drawn["end"], strict=True):
        expected = np.zeros(LENGTH, bool)
        for one, other in zip(start.tolist(), end.tolist(), strict=True):
            assert 0 <= one <= other <= 1 and other - one <= 0.2
            expected[round(one * LENGTH) : round(other * LENGTH)] = True
        assert (row.numpy() != expected).sum() <= 4
    assert len({int(row.sum()) for row in silent}) > 10


def test_frequency_mask(noise: torch.Tensor) -> None:
    found, drawn = applied("frequency-mask", noise, most=0.3)
    hertz, before = signal.periodogram(noise[:, 0].numpy(), RATE, detrend=False)
    after = signal.periodogram(found[:, 0].numpy(), RATE, detrend=False)[1]
    for row in range(20):
        low, high = (float(drawn[name][row]) * RATE / 2 for name in ("start", "end"))
        inside = (hertz > low + 10) & (hertz < high - 10)
        outside = (hertz < low - 10) | (hertz > high + 10)
        assert (after[row][inside] < 1e-9).all()
        np.testing.assert_allclose(after[row][outside], before[row][outside], rtol=1e-3, atol=1e-9)


def test_filter_has_the_gains_that_were_drawn(noise: torch.Tensor) -> None:
    found, drawn = applied("filter", noise, decibels=9.0, points=4)
    gains = drawn["gains"].numpy()
    assert np.abs(gains).max() <= 9.0 and gains.std() > 4
    hertz, before = signal.periodogram(noise[:, 0].numpy(), RATE, detrend=False)
    after = signal.periodogram(found[:, 0].numpy(), RATE, detrend=False)[1]
    heard = before > before.max() * 1e-4
    for row in range(20):
        expected = np.interp(hertz, np.linspace(0, RATE / 2, 4), gains[row])
        measured = 10 * np.log10(after[row][heard[row]] / before[row][heard[row]])
        np.testing.assert_allclose(measured, expected[heard[row]], atol=0.05)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("speed", {"low": 1.2, "high": 0.8}, r"low is 1\.2, high 0\.8"),
        ("speed", {"low": 0.0}, r"0 < low"),
        ("time-mask", {"most": 1.5}, r"time-mask: count is 1, most 1\.5"),
        ("frequency-mask", {"count": 0}, "frequency-mask: count is 0"),
        ("filter", {"points": 1}, "points is 1"),
    ],
)
def test_options_that_cannot_be(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        views(name, **options)
