"""What holds for every loss on responses: padding, precision, switches, shapes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from edgekd.errors import EdgekdError, ModelError, RecipeError
from edgekd.losses.base import Facts, Loss, Outputs
from edgekd.losses.binary_cross_entropy import BinaryCrossEntropy
from edgekd.losses.binary_kd import BinaryKD
from edgekd.losses.cross_entropy import CrossEntropy
from edgekd.losses.dist import DIST
from edgekd.losses.dkd import DKD
from edgekd.losses.kd import KD
from edgekd.losses.logits_mse import LogitsMSE
from edgekd.losses.regression import Regression
from edgekd.losses.regression_kd import RegressionKD
from edgekd.losses.soft_cross_entropy import SoftCrossEntropy
from edgekd.schedule import Schedule

FAMILY: dict[str, Callable[[], Loss]] = {
    "cross-entropy": lambda: CrossEntropy(label_smoothing=0.1),
    "kd": lambda: KD(temperature=2.0),
    "kd, standardised": lambda: KD(standardise=True),
    "soft-cross-entropy": lambda: SoftCrossEntropy(temperature=2.0),
    "soft-cross-entropy, standardised": lambda: SoftCrossEntropy(standardise=True),
    "logits-mse": LogitsMSE,
    "logits-mse, standardised": lambda: LogitsMSE(standardise=True),
    "dkd": lambda: DKD(temperature=2.0, beta=2.0),
    "dkd, standardised": lambda: DKD(standardise=True),
    "dist": lambda: DIST(temperature=2.0),
    "dist, standardised": lambda: DIST(standardise=True),
    "binary-kd": lambda: BinaryKD(temperature=2.0),
    "regression-kd": lambda: RegressionKD(distance="huber"),
    "regression-kd, bounded": lambda: RegressionKD(bounded=True),
    "binary-cross-entropy": lambda: BinaryCrossEntropy(label_smoothing=0.1),
    "regression": lambda: Regression(distance="huber"),
}
EVERY = pytest.mark.parametrize("make", FAMILY.values(), ids=FAMILY.keys())

N, L, C = 3, 4, 5
LENGTHS = (4, 2, 1)


def tokens() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Logits of student and teacher (N, L, C), class indices (N, L), mask (N, L)."""
    generator = torch.Generator().manual_seed(0)
    s, t = torch.randn(2, N, L, C, generator=generator) * 2
    y = torch.randint(0, C, (N, L), generator=generator)
    mask = torch.arange(L) < torch.tensor(LENGTHS)[:, None]
    return s, t, y, mask


@EVERY
def test_the_mean_over_tokens_is_that_over_the_same_rows_without_padding(
    make: Callable[[], Loss],
) -> None:
    s, t, y, mask = tokens()
    padded = make()(Outputs(s, mask=mask), Outputs(t, mask=mask), y)
    cut = [torch.cat([part[i, :n] for i, n in enumerate(LENGTHS)]) for part in (s, t, y)]
    assert cut[0].shape == (sum(LENGTHS), C)
    bare = make()(Outputs(cut[0]), Outputs(cut[1]), cut[2])
    torch.testing.assert_close(padded, bare)


@EVERY
@pytest.mark.parametrize("rubbish", [1e4, float("nan"), float("-inf")])
def test_nothing_at_padding_counts(make: Callable[[], Loss], rubbish: float) -> None:
    """Neither in the value nor in the gradient, whatever stands there."""
    s, t, y, mask = tokens()
    results = []
    for fill in (0.0, rubbish):
        ours = s.masked_fill(~mask[..., None], fill).requires_grad_()
        theirs = t.masked_fill(~mask[..., None], -fill)
        labels = y.masked_fill(~mask, -100 if fill else 0)
        value = make()(Outputs(ours, mask=mask), Outputs(theirs, mask=mask), labels)
        value.backward()
        assert ours.grad is not None
        results.append((value.detach(), ours.grad))
    torch.testing.assert_close(results[0], results[1], rtol=0, atol=0)
    assert (results[1][1][~mask] == 0).all()
    assert results[1][1][mask].abs().sum() > 0


@EVERY
def test_without_a_mask_every_token_counts(make: Callable[[], Loss]) -> None:
    s, t, y, _ = tokens()
    all_of_them = torch.ones(N, L, dtype=torch.bool)
    without = make()(Outputs(s), Outputs(t), y)
    torch.testing.assert_close(without, make()(Outputs(s, mask=all_of_them), Outputs(t), y))


@pytest.mark.parametrize("name", list(FAMILY))
@pytest.mark.parametrize("length", [L, C])
def test_the_mask_of_a_sequence_says_nothing_about_one_prediction_for_it(
    name: str, length: int
) -> None:
    s, t, y, _ = tokens()
    s, t, y = s[:, 0], t[:, 0], y[:, 0]
    mask = torch.arange(length) < torch.tensor(LENGTHS)[:, None]
    make = FAMILY[name]
    torch.testing.assert_close(
        make()(Outputs(s, mask=mask), Outputs(t, mask=mask), y), make()(Outputs(s), Outputs(t), y)
    )


@EVERY
def test_targets_of_mixed_samples_are_probabilities(make: Callable[[], Loss]) -> None:
    """A mix of one class alone is that class."""
    s, t, y, _ = tokens()
    s, t, y = s[:, 0], t[:, 0], y[:, 0]
    whole = make()(Outputs(s), Outputs(t), torch.eye(C)[y])
    torch.testing.assert_close(whole, make()(Outputs(s), Outputs(t), y))
    half = make()(Outputs(s), Outputs(t), 0.5 * torch.eye(C)[y] + 0.5 * torch.eye(C)[(y + 1) % C])
    assert torch.isfinite(half)


@EVERY
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(
    make: Callable[[], Loss], dtype: torch.dtype
) -> None:
    s, t, y, _ = tokens()
    s, t = (10 * s).to(dtype), (10 * t).to(dtype)
    value = make()(Outputs(s), Outputs(t), y)
    assert value.dtype == torch.float32
    exact = make()(Outputs(s.double()), Outputs(t.double()), y)
    assert exact.dtype == torch.float64
    assert value.item() == pytest.approx(exact.item(), rel=1e-5)


@EVERY
def test_extreme_logits_give_finite_values_and_gradients(make: Callable[[], Loss]) -> None:
    s = torch.tensor([[1e4, -1e4, 0.0], [0.0, 0.0, 0.0], [1e-30, 0, 0]], requires_grad=True)
    t = torch.tensor([[-1e4, 1e4, 0.0], [1e4, 1e4, 1e4], [0.0, 0.0, 0.0]])
    value = make()(Outputs(s), Outputs(t), torch.tensor([1, 2, 0]))
    value.backward()
    assert torch.isfinite(value)
    assert s.grad is not None and torch.isfinite(s.grad).all()


@EVERY
def test_a_batch_of_two_teaches(make: Callable[[], Loss]) -> None:
    s, t, y, _ = tokens()
    ours = s[:2, 0].clone().requires_grad_()
    make()(Outputs(ours), Outputs(t[:2, 0]), y[:2, 0]).backward()
    assert ours.grad is not None and torch.isfinite(ours.grad).all()
    assert ours.grad.abs().sum() > 0


@pytest.mark.parametrize("loss", [KD, SoftCrossEntropy, LogitsMSE, DKD, DIST])
def test_standardised_neither_shift_nor_scale_of_a_sample_counts(loss: type[Loss]) -> None:
    s, t, y, _ = tokens()
    s, t, y = s[:, 0].double(), t[:, 0].double(), y[:, 0]
    scale = torch.tensor([[0.5], [2.0], [7.0]]).double()
    for switch, same in ((True, True), (False, False)):
        make = loss(standardise=switch)
        before = make(Outputs(s), Outputs(t), y)
        after = make(Outputs(s * scale + 3.0), Outputs(t / scale - 1.0), y)
        assert (before.item() == pytest.approx(after.item(), rel=1e-5)) is same


@pytest.mark.parametrize("loss", [KD, SoftCrossEntropy, DKD, DIST, BinaryKD])
def test_a_temperature_may_be_a_schedule(loss: type[Loss]) -> None:
    s, t, y, _ = tokens()
    table = {"schedule": "linear", "start": 5.0, "end": 1.0}
    for given in (Schedule.model_validate(table), table):
        moving = loss(temperature=given)
        for progress, temperature in ((0.0, 5.0), (0.5, 3.0), (1.0, 1.0)):
            moving.progress = progress
            fixed = loss(temperature=temperature)
            torch.testing.assert_close(
                moving(Outputs(s), Outputs(t), y), fixed(Outputs(s), Outputs(t), y)
            )
    with pytest.raises(EdgekdError, match="above 0"):
        loss(temperature=Schedule(schedule="cosine", start=4.0, end=0.0))
    with pytest.raises(EdgekdError, match="neither a number nor a schedule"):
        loss(temperature={"schedule": "square", "start": 4.0, "end": 1.0})


TAUGHT = [n for n, make in FAMILY.items() if make().needs_teacher]


@pytest.mark.parametrize("name", TAUGHT)
def test_unlike_logits_are_refused(name: str) -> None:
    """With (N, 1) against (N, C), plain arithmetic would broadcast without a word."""
    loss = FAMILY[name]()
    with pytest.raises(RecipeError, match=r"\(5,\).*\(1,\)"):
        loss.build(Facts({}, {}, (5,), (1,), 100))
    loss.build(Facts({}, {}, (5,), (5,), 100))
    loss.build(Facts({}, {}, (7, 5), (7, 5), 100))
    s, t = torch.zeros(3, 5), torch.zeros(3, 1)
    with pytest.raises(ModelError, match=r"\(3, 5\).*\(3, 1\)"):
        loss(Outputs(s), Outputs(t), torch.zeros(3).long())
    with pytest.raises(RecipeError, match="needs a teacher"):
        loss(Outputs(s), None, torch.zeros(3).long())
