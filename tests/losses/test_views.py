"""Losses between views: their references, and what keeps the teacher from one answer for all."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import log_softmax, softmax

from edgekd.errors import EdgekdError
from edgekd.losses.base import Facts, Outputs
from edgekd.losses.consistency import consistency_loss
from edgekd.losses.dino import DINO, dino_loss

NO_LABELS = torch.full((6,), -1)


def random(*shape: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(scale=3, size=shape), rng.normal(scale=3, size=shape)


def built(**options: float) -> DINO:
    loss = DINO(**options)
    loss.build(Facts({}, {}, (4,), (4,), 6))
    return loss


def test_consistency_is_the_brier_distance_of_the_probabilities() -> None:
    s, t = random(7, 5)
    expected = np.square(softmax(s, axis=1) - softmax(t, axis=1)).mean()
    value = consistency_loss(torch.tensor(s), torch.tensor(t))
    assert value.item() == pytest.approx(expected, rel=1e-12)
    assert consistency_loss(torch.tensor(s), torch.tensor(s)).item() == 0.0


def test_dino_against_numpy() -> None:
    s, t = random(6, 4)
    centre = np.array([0.5, -1.0, 0.0, 2.0])
    q = softmax((t - centre) / 0.04, axis=1)
    expected = -(q * log_softmax(s / 0.1, axis=1)).sum(axis=1).mean()
    value = dino_loss(
        torch.tensor(s),
        torch.tensor(t),
        torch.tensor(centre),
        temperature=0.1,
        teacher_temperature=0.04,
    )
    assert value.item() == pytest.approx(expected, rel=1e-12)


def test_the_centre_is_a_moving_average_of_the_teacher() -> None:
    """It begins at 0, each batch is compared before it counts, and evaluation moves nothing."""
    loss = built(momentum=0.9)
    expected = np.zeros(4)
    for seed in range(5):
        rng = np.random.default_rng(seed)
        t = rng.normal(size=(6, 4)).astype(np.float32)
        loss(Outputs(torch.zeros(6, 4)), Outputs(torch.tensor(t)), NO_LABELS)
        expected = 0.9 * expected + 0.1 * t.mean(axis=0)
    np.testing.assert_allclose(loss.centre.numpy(), expected, rtol=1e-5)
    assert set(loss.state_dict()) == {"centre"}
    loss.eval()
    loss(Outputs(torch.zeros(6, 4)), Outputs(torch.ones(6, 4)), NO_LABELS)
    np.testing.assert_allclose(loss.centre.numpy(), expected, rtol=1e-5)


def test_what_all_samples_share_is_centred_away() -> None:
    """A teacher with one favourite class for all teaches, once centred, nothing of it."""
    loss = built(momentum=0.0)
    theirs = torch.tensor([[9.0, 0.0, 0.0, 0.0]]).repeat(6, 1)
    loss(Outputs(torch.zeros(6, 4)), Outputs(theirs), NO_LABELS)
    student = torch.zeros(6, 4, requires_grad=True)
    loss(Outputs(student), Outputs(theirs), NO_LABELS).backward()
    assert student.grad is not None
    torch.testing.assert_close(student.grad, torch.zeros(6, 4))


def test_wrong_options() -> None:
    with pytest.raises(EdgekdError, match="momentum"):
        DINO(momentum=1.0)
    with pytest.raises(EdgekdError, match="temperature"):
        DINO(teacher_temperature=0.0)
