"""Mixup and CutMix against what their papers say."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from edgekd.distill.mix import cutmix, draw, mixup, soft_targets
from edgekd.recipe import MixSpec


def test_mixup_is_a_weighted_sum() -> None:
    ours, theirs = torch.full((2, 1, 2, 2), 4.0), torch.full((2, 1, 2, 2), 8.0)
    mixed = mixup(ours, theirs, torch.tensor([0.25, 1.0]))
    assert mixed[0].unique().tolist() == [7.0]
    assert mixed[1].unique().tolist() == [4.0]


def test_cutmix_counts_the_pixels_that_were_kept() -> None:
    random = np.random.default_rng(0)
    n = 200
    own = torch.from_numpy(random.random(n).astype(np.float32))
    centre = torch.from_numpy(random.random((n, 2)).astype(np.float32))
    mixed, kept = cutmix(torch.zeros(n, 3, 12, 12), torch.ones(n, 3, 12, 12), own, centre)
    assert set(mixed.unique().tolist()) == {0.0, 1.0}
    np.testing.assert_allclose(1.0 - mixed.mean(dim=(1, 2, 3)).numpy(), kept.numpy(), atol=1e-6)
    middle = torch.full((1, 2), 0.5)
    _, half = cutmix(
        torch.zeros(1, 1, 32, 32), torch.ones(1, 1, 32, 32), torch.tensor([0.75]), middle
    )
    assert half.item() == pytest.approx(0.75, abs=0.02)


def test_targets_follow_the_shares() -> None:
    soft = soft_targets(torch.tensor([1, 1]), torch.tensor([0, 1]), torch.tensor([0.7, 0.2]), 3)
    np.testing.assert_allclose(soft.numpy(), [[0.3, 0.7, 0.0], [0.0, 1.0, 0.0]], rtol=1e-6)


def test_drawn_once_for_a_view() -> None:
    spec = MixSpec(alpha=0.3)
    one, same, other = (draw(spec, 100, 0, view) for view in (4, 4, 5))
    assert np.array_equal(one.partner, same.partner) and np.array_equal(one.own, same.own)
    assert not np.array_equal(one.partner, other.partner)
    assert sorted(one.partner.tolist()) == list(range(100))
    assert ((one.own >= 0) & (one.own <= 1)).all()
