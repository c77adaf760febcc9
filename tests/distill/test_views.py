"""A view depends on the sample and the view's number, and on nothing else."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from edgekd.distill import AUGMENTATIONS
from edgekd.distill.views import Views
from edgekd.recipe import AugmentSpec

SHAPE = (1, 8, 8)


def make(*names: str, seed: int = 0) -> Views:
    return Views([AugmentSpec(name=name) for name in names], SHAPE, 50, seed)


@pytest.mark.parametrize("name", AUGMENTATIONS.names)
def test_a_batch_shows_what_the_whole_split_shows(name: str) -> None:
    data = torch.rand(50, *SHAPE, generator=torch.Generator().manual_seed(1))
    everything = torch.arange(50)
    whole = make(name).apply(data, everything, view=3)
    assert not torch.equal(whole, data)
    random = np.random.default_rng(0)
    views = make(name)
    for size in (1, 2, 7, 50):
        chosen = torch.from_numpy(random.permutation(50)[:size])
        part = views.apply(data[chosen], chosen, view=3)
        assert torch.allclose(part, whole[chosen], atol=1e-6)


def test_views_differ_by_number_and_by_seed() -> None:
    data = torch.rand(50, *SHAPE)
    everything = torch.arange(50)
    one = make("affine").apply(data, everything, view=0)
    assert not torch.equal(one, make("affine").apply(data, everything, view=1))
    assert not torch.equal(one, make("affine", seed=1).apply(data, everything, view=0))
    views = make("affine", "erase")
    first = views.apply(data, everything, view=0)
    views.apply(data, everything, view=5)
    assert torch.equal(first, views.apply(data, everything, view=0))


def test_the_callers_generator_is_left_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    make("affine", "flip").apply(
        torch.rand(50, *SHAPE, generator=torch.Generator()), torch.arange(50), 1
    )
    assert torch.equal(torch.rand(2), expected)
