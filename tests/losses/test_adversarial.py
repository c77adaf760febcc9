"""The adversarial loss: its numbers, who moves whom, when the discriminator rests, the guard."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from edgekd.distill.batches import Batch
from edgekd.errors import EdgekdError, RecipeError
from edgekd.losses.adversarial import LEAST, SATURATED, Adversarial, Guard
from edgekd.losses.base import Facts, Outputs
from edgekd.losses.discriminator import (
    Discriminator,
    fooling_loss,
    gradient_penalty,
    telling_loss,
    told_apart,
)
from tests.losses.fitting import (
    differing,
    interrupted_and_resumed,
    make_job,
    make_players,
    owners,
    trained,
)

FACTS = Facts({"a": (6, 2, 2)}, {"b": (4,)}, (3,), (3,), 100)
BOTH = pytest.mark.parametrize("regularisation", ["gradient-penalty", "spectral-norm"])


def built(**options: object) -> Adversarial:
    torch.manual_seed(0)
    loss = Adversarial(**options)  # type: ignore[arg-type]
    loss.build(FACTS)
    return loss


def pair(n: int = 6) -> tuple[Outputs, Outputs]:
    generator = torch.Generator().manual_seed(n)
    ours, theirs = (torch.randn(n, 3, generator=generator) for _ in range(2))
    return Outputs(ours), Outputs(theirs)


def scores(rows: np.ndarray, discriminator: Discriminator) -> tuple[np.ndarray, np.ndarray]:
    """Return scores and slopes of a discriminator with one hidden layer, by hand."""
    first, last = (m for m in discriminator.layers if isinstance(m, nn.Linear))
    w, b, v, c = (
        p.detach().double().numpy() for p in (first.weight, first.bias, last.weight, last.bias)
    )
    hidden = rows @ w.T + b
    slope = np.where(hidden > 0, 1.0, 0.2)
    return (hidden * slope) @ v[0] + c[0], (slope * v[0]) @ w


def test_both_losses_equal_numpy() -> None:
    loss = built(hidden=[5], penalty=3.0)
    (discriminator,) = loss.discriminators
    assert isinstance(discriminator, Discriminator)
    ours, theirs = pair()
    fake, _ = scores(ours.logits.double().numpy(), discriminator)
    real, slopes = scores(theirs.logits.double().numpy(), discriminator)
    value = loss(ours, theirs, torch.zeros(6))
    assert value.item() == pytest.approx(np.log1p(np.exp(-fake)).mean(), rel=1e-5)
    told = 0.5 * (np.log1p(np.exp(-real)).mean() + np.log1p(np.exp(fake)).mean())
    penalty = 3.0 * 0.5 * (slopes**2).sum(1).mean()
    found = loss.opponent_loss(ours, theirs)
    assert found is not None
    assert found.item() == pytest.approx(told + penalty, rel=1e-5)


def test_golden_numbers() -> None:
    # sigmoid(log 3) = 3/4
    assert fooling_loss(torch.tensor([math.log(3.0)])).item() == pytest.approx(math.log(4 / 3))
    told = telling_loss(torch.tensor([math.log(3.0)]), torch.tensor([math.log(3.0)]))
    assert told.item() == pytest.approx(0.5 * (math.log(4 / 3) + math.log(4)))
    rows = torch.tensor([[1.0, 2.0]], requires_grad=True)
    assert gradient_penalty((rows**2).sum(-1), rows).item() == pytest.approx(10.0)  # |2, 4|^2 / 2
    assert told_apart(torch.tensor([1.0, -1.0]), torch.tensor([0.0, -2.0])).item() == 0.5


def test_spectral_norms_are_one() -> None:
    torch.manual_seed(0)
    discriminator = Discriminator(8, [16], spectral=True)
    for _ in range(50):  # a power iteration a pass
        discriminator(torch.randn(2, 8))
    discriminator.eval()
    for layer in discriminator.layers:
        if isinstance(layer, nn.Linear):
            assert torch.linalg.matrix_norm(layer.weight, ord=2).item() == pytest.approx(
                1, abs=1e-2
            )


@BOTH
def test_who_moves_whom(tmp_path: Path, regularisation: str) -> None:
    """Discriminators are in their own optimizer once; the student's loss leaves no trace there."""
    loss = Adversarial(layers=[("1", "1")], regularisation=regularisation)  # type: ignore[arg-type]
    job = make_job(tmp_path / "x.pt", loss)
    trainable, players = make_players(job)
    assert players.opponents_optimizer is not None
    optimizers = [players.optimizer, players.opponents_optimizer]
    playing = list(loss.discriminators.parameters())
    assert playing and all(owners(p, optimizers) == [1] for p in playing)
    others = [p for p in trainable.parameters() if not any(p is q for q in playing)]
    assert any(p is q for p in others for q in loss.adapters.parameters())
    assert all(owners(p, optimizers) == [0] for p in others)

    before = [p.detach().clone() for p in playing]
    rows = torch.randn(7, 1, 8, 8)
    seen = Outputs(torch.randn(7, 10), {"1": torch.randn(7, 24)})
    with trainable.learners[0].capture.hooked():
        batch = Batch(rows, torch.zeros(7, dtype=torch.long), torch.arange(7))
        terms = players.forward(batch, {"teacher": seen})
    players.fabric.backward(terms["loss"])
    assert all(p.grad is None for p in playing)
    assert all(p.grad is not None for p in loss.adapters.parameters())
    player = [p for p in job.student.parameters() if p.grad is not None]
    assert player and any(p.grad.abs().sum() > 0 for p in player if p.grad is not None)
    players.optimizer.zero_grad()
    assert all(torch.equal(p, q) for p, q in zip(playing, before, strict=True))

    students = [p.detach().clone() for p in others]
    players.play()
    assert not all(torch.equal(p, q) for p, q in zip(playing, before, strict=True))
    assert all(torch.equal(p, q) for p, q in zip(others, students, strict=True))
    assert all(p.grad is None for p in [*others, *playing])
    assert all(p.grad is None for p in job.teachers[0].model.parameters())
    assert not any(p.requires_grad for p in playing)


def test_the_game_settles_where_student_is_teacher() -> None:
    loss = built(rest_above=0.8)
    torch.manual_seed(0)
    shift = torch.tensor([2.0, 0.0, -1.0])
    student = nn.Parameter(torch.zeros(3))
    optimizer = torch.optim.Adam([student], lr=0.01)
    opponent = torch.optim.Adam(loss.discriminators.parameters(), lr=0.01, betas=(0.5, 0.999))
    for _ in range(600):
        theirs = Outputs(torch.randn(32, 3) + shift)
        ours = torch.randn(32, 3) + student
        optimizer.zero_grad()
        loss(Outputs(ours), theirs, torch.zeros(32)).backward()
        optimizer.step()
        opponent.zero_grad()
        value = loss.opponent_loss(Outputs(ours.detach()), theirs)
        if value is not None:
            value.backward()
            opponent.step()
    assert (student.detach() - shift).norm().item() < 0.3  # it began at 2.2
    assert float(loss.guard.accuracy) == pytest.approx(0.5, abs=0.15)


def test_a_discriminator_that_wins_rests_and_wakes() -> None:
    loss = built(hidden=[], rest_above=0.8)
    ours, theirs = Outputs(torch.full((4, 3), -1.0)), Outputs(torch.full((4, 3), 1.0))
    (discriminator,) = loss.discriminators
    assert isinstance(discriminator, Discriminator)
    (linear,) = discriminator.layers
    assert isinstance(linear, nn.Linear)
    with torch.no_grad():
        linear.weight.fill_(1.0)
        linear.bias.zero_()
    moved = [loss.opponent_loss(ours, theirs) is not None for _ in range(12)]
    # accuracy 1 - 0.5 * 0.9^n is above 0.8 from the ninth step on
    assert moved == [True] * 8 + [False] * 4
    assert int(loss.guard.rests) == 4
    fooled = [loss.opponent_loss(theirs, theirs) is not None for _ in range(6)]
    assert fooled[-1] and int(loss.guard.faults) == 0


class TestGuard:
    def test_damps_what_stays_saturated_and_lets_it_recover(self) -> None:
        guard = Guard(rest_above=0.8, patience=3)
        high = torch.tensor(SATURATED + 1.0)
        rows = [torch.zeros(2, 2)]
        given = [guard.damped(high, rows).item() / high.item() for _ in range(7)]
        assert given == pytest.approx([1, 1, 0.5, 0.5, 0.5, 0.25, 0.25])
        low = torch.tensor(0.7)
        for _ in range(9):
            guard.damped(low, rows)
        assert float(guard.damping) == 1.0
        for _ in range(3 * 20):
            guard.damped(high, rows)
        assert float(guard.damping) == LEAST

    def test_an_interruption_begins_a_new_streak(self) -> None:
        guard = Guard(rest_above=0.8, patience=3)
        for term in (9.0, 9.0, 0.1, 9.0, 9.0):
            guard.damped(torch.tensor(term), [torch.zeros(1, 1)])
        assert float(guard.damping) == 1.0 and int(guard.streak) == 2

    def test_its_state_is_in_the_state_dict(self) -> None:
        assert set(built().guard.state_dict()) == {
            "accuracy",
            "damping",
            "streak",
            "faults",
            "rests",
        }

    @pytest.mark.parametrize("broken", [float("nan"), float("inf")])
    def test_a_broken_discriminator_harms_nobody(self, broken: float) -> None:
        loss = built()
        with torch.no_grad():
            next(loss.discriminators.parameters()).fill_(broken)
        ours, theirs = pair()
        ours.logits.requires_grad_()
        value = loss(ours, theirs, torch.zeros(6))
        value.backward()
        assert value.item() == 0.0
        assert ours.logits.grad is not None and ours.logits.grad.abs().sum() == 0.0
        assert loss.opponent_loss(Outputs(ours.logits.detach()), theirs) is None
        assert int(loss.guard.faults) == 2
        assert float(loss.guard.accuracy) == 0.5


def test_tokens_of_padding_are_not_judged() -> None:
    loss = built()
    torch.manual_seed(3)
    ours, theirs = torch.randn(2, 4, 3), torch.randn(2, 4, 3)
    mask = torch.tensor([[True, True, False, False], [True, False, False, False]])
    value = loss(Outputs(ours, mask=mask), Outputs(theirs, mask=mask), torch.zeros(2))
    rows = torch.stack([ours[0, 0], ours[0, 1], ours[1, 0]])
    assert torch.allclose(value, loss(Outputs(rows), Outputs(rows), torch.zeros(3)))


@BOTH
@pytest.mark.parametrize("n", [2, 1])
def test_short_batches_and_extreme_logits(regularisation: str, n: int) -> None:
    loss = built(regularisation=regularisation)
    ours = Outputs(torch.tensor([[1e4, -1e4, 0.0]]).repeat(n, 1).requires_grad_())
    theirs = Outputs(torch.tensor([[-1e4, 1e4, 0.0]]).repeat(n, 1))
    value = loss(ours, theirs, torch.zeros(n))
    value.backward()
    assert torch.isfinite(value)
    assert ours.logits.grad is not None and torch.isfinite(ours.logits.grad).all()
    told = loss.opponent_loss(Outputs(ours.logits.detach()), theirs)
    assert told is not None and torch.isfinite(told)


def test_half_precision() -> None:
    loss = built(layers=[("a", "b")])
    ours = Outputs(torch.zeros(4, 3), {"a": torch.randn(4, 6, 2, 2).bfloat16()})
    theirs = Outputs(torch.zeros(4, 3), {"b": torch.randn(4, 4).bfloat16()})
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = loss(ours, theirs, torch.zeros(4))
    assert value.dtype == torch.float32
    told = loss.opponent_loss(ours, theirs)
    assert told is not None and told.dtype == torch.float32


def test_errors() -> None:
    loss = Adversarial()
    with pytest.raises(RecipeError, match=r"\(3,\) of the student with \(4,\)"):
        loss.build(Facts({}, {}, (3,), (4,), 10))
    with pytest.raises(EdgekdError, match="needs a teacher"):
        built()(pair()[0], None, torch.zeros(6))
    with pytest.raises(EdgekdError, match="regularisation is 'dropout'"):
        Adversarial(regularisation="dropout")  # type: ignore[arg-type]
    for wrong in ({"hidden": [0]}, {"penalty": -1.0}, {"patience": 0}, {"rest_above": 0.4}):
        with pytest.raises(EdgekdError, match="must"):
            Adversarial(**wrong)


@BOTH
def test_resumed_is_bit_for_bit_the_uninterrupted(tmp_path: Path, regularisation: str) -> None:
    def make() -> Adversarial:
        # Both kinds of rest and a guard that acts within three epochs
        return Adversarial(
            layers=[("1", "1")],
            regularisation=regularisation,  # type: ignore[arg-type]
            rest_above=0.6,
            patience=2,
        )

    whole = trained(make_job(tmp_path / "whole.pt", make()))
    assert int(whole.trainable["losses.1.guard.rests"]) > 0
    for after in (1, 2):
        resumed = interrupted_and_resumed(tmp_path / f"{after}.pt", make, after=after)
        assert differing(resumed.trainable, whole.trainable) == []
        assert differing(resumed.best, whole.best) == []
    assert len(whole.optimizers) == 2
    assert not any("discriminator" in name for name in whole.best)


def test_trains_under_mixed_precision(tmp_path: Path) -> None:
    job = make_job(tmp_path / "x.pt", Adversarial(), epochs=8)
    state = trained(job, precision="bf16-mixed")
    assert state.best_accuracy > 0.6  # chance is 0.1
    assert int(state.trainable["losses.1.guard.faults"]) == 0
