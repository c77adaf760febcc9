"""Attention maps in space and over time, against NumPy and SciPy in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import rel_entr, softmax

from edgekd.errors import EdgekdError, RecipeError
from edgekd.losses.attention_transfer import AttentionTransfer, attention_transfer_loss
from edgekd.losses.base import Facts, Outputs
from edgekd.losses.temporal_attention import TemporalAttention, temporal_attention_loss
from edgekd.schedule import Schedule


def unit(values: np.ndarray) -> np.ndarray:
    norm = np.sqrt((values**2).sum())
    return values / norm if norm else values


def spatial(student: np.ndarray, teacher: np.ndarray, power: float) -> float:
    """The paper's maps, sample by sample: 2-norm of the difference of unit vectors, squared."""
    found = []
    for a, b in zip(student.astype(float), teacher.astype(float), strict=True):
        maps = [unit((np.abs(x) ** power).sum(0).ravel()) for x in (a, b)]
        found.append(((maps[0] - maps[1]) ** 2).sum())
    return float(np.mean(found))


VALUES = st.floats(-10, 10, width=32).filter(lambda v: v == 0 or abs(v) > 1e-3)


@given(
    arrays(np.float32, (3, 2, 3, 2), elements=VALUES),
    arrays(np.float32, (3, 4, 3, 2), elements=VALUES),
    st.sampled_from([1.0, 2.0, 3.0]),
)
@settings(max_examples=40, deadline=None)
def test_equals_numpy(student: np.ndarray, teacher: np.ndarray, power: float) -> None:
    found = attention_transfer_loss(torch.tensor(student), torch.tensor(teacher), power=power)
    assert found.item() == pytest.approx(spatial(student, teacher, power), rel=1e-4, abs=1e-5)


def test_the_larger_map_is_averaged_down() -> None:
    rng = np.random.default_rng(0)
    student, teacher = rng.normal(size=(2, 3, 8, 4)), rng.normal(size=(2, 5, 4, 8))
    energies = [(x**2).sum(1) for x in (student, teacher)]
    ours = energies[0].reshape(2, 4, 2, 4).mean(2)
    theirs = energies[1].reshape(2, 4, 4, 2).mean(3)
    expected = np.mean(
        [((unit(a) - unit(b)) ** 2).sum() for a, b in zip(ours, theirs, strict=True)]
    )
    found = attention_transfer_loss(torch.tensor(student), torch.tensor(teacher))
    assert found.item() == pytest.approx(expected, rel=1e-9)


def test_equal_looks_cost_nothing_whatever_the_scale_and_opposite_looks_cost_two() -> None:
    x = torch.rand(2, 3, 4, 4) + 0.1
    assert attention_transfer_loss(x * 7.0, x).item() == pytest.approx(0.0, abs=1e-6)
    left, right = torch.zeros(2, 1, 1, 2), torch.zeros(2, 1, 1, 2)
    left[..., 0], right[..., 1] = 1.0, 1.0
    assert attention_transfer_loss(left, right).item() == pytest.approx(2.0)


@pytest.mark.parametrize("size", [1e-30, 1e4, 1e30])
def test_extreme_and_dead_features_stay_finite(size: float) -> None:
    student = (torch.randn(3, 2, 4, 4) * size).detach()
    student[1] = 0.0
    student.requires_grad_(True)
    teacher = torch.randn(3, 2, 4, 4) * size
    teacher[2] = 0.0
    value = attention_transfer_loss(student, teacher)
    value.backward()
    assert torch.isfinite(value)
    assert student.grad is not None and torch.isfinite(student.grad).all()
    tokens = student.detach().flatten(2).transpose(1, 2).requires_grad_(True)
    for normalise in ("l2", "softmax"):
        value = temporal_attention_loss(
            tokens,
            teacher.flatten(2).transpose(1, 2),
            normalise=normalise,
        )
        (gradient,) = torch.autograd.grad(value, tokens)
        assert torch.isfinite(value) and torch.isfinite(gradient).all()


def temporal(
    student: np.ndarray, teacher: np.ndarray, mask: np.ndarray, normalise: str, temperature: float
) -> float:
    """Energies of the moments that count, sample by sample."""
    found = []
    for a, b, counts in zip(student.astype(float), teacher.astype(float), mask, strict=True):
        if not counts.any():
            continue
        energies = [(x[counts] ** 2).sum(1) for x in (a, b)]
        if normalise == "l2":
            found.append(((unit(energies[0]) - unit(energies[1])) ** 2).sum())
            continue
        q, p = (softmax(e / e.mean() / temperature) for e in energies)
        found.append(rel_entr(p, q).sum() * temperature**2)
    return float(np.mean(found)) if found else 0.0


@given(
    arrays(np.float32, (3, 5, 2), elements=st.floats(0.125, 8, width=32)),
    arrays(np.float32, (3, 5, 3), elements=st.floats(0.125, 8, width=32)),
    arrays(np.bool_, (3, 5)),
    st.booleans(),
    st.sampled_from(["l2", "softmax"]),
    st.sampled_from([0.5, 1.0, 4.0]),
)
@settings(max_examples=60, deadline=None)
def test_temporal_equals_numpy_with_and_without_a_mask(
    student: np.ndarray,
    teacher: np.ndarray,
    mask: np.ndarray,
    masked: bool,
    normalise: str,
    temperature: float,
) -> None:
    found = temporal_attention_loss(
        torch.tensor(student),
        torch.tensor(teacher),
        normalise=normalise,  # type: ignore[arg-type]
        temperature=temperature,
        mask=torch.tensor(mask) if masked else None,
    )
    counts = mask if masked else np.ones_like(mask)
    expected = temporal(student, teacher, counts, normalise, temperature)
    assert found.item() == pytest.approx(expected, rel=1e-3, abs=1e-5)


def test_golden_number_over_time() -> None:
    # energies (1, 4) and (4, 1): 2 - 2 * 8 / 17
    student, teacher = torch.tensor([[[1.0], [2.0]]]), torch.tensor([[[2.0], [1.0]]])
    found = temporal_attention_loss(student, teacher)
    assert found.item() == pytest.approx(2 - 16 / 17, abs=1e-6)


def test_the_longer_sequence_is_averaged_down() -> None:
    long = torch.rand(2, 6, 3)
    short = (long.square().sum(-1).reshape(2, 3, 2).mean(-1)).sqrt()[..., None]
    assert temporal_attention_loss(long, short).item() == pytest.approx(0.0, abs=1e-6)
    assert temporal_attention_loss(short, long).item() == pytest.approx(0.0, abs=1e-6)


def test_padding_gets_no_gradient_and_other_lengths_with_a_mask_are_refused() -> None:
    student = torch.randn(2, 4, 3, requires_grad=True)
    mask = torch.tensor([[True, True, True, False], [True, True, False, False]])
    for normalise in ("l2", "softmax"):
        value = temporal_attention_loss(
            student,
            torch.randn(2, 4, 5),
            normalise=normalise,
            mask=mask,
        )
        (gradient,) = torch.autograd.grad(value, student)
        assert torch.equal(gradient.any(-1), mask)
    with pytest.raises(RecipeError, match="features of 3 tokens, but a mask of 4"):
        temporal_attention_loss(student, torch.randn(2, 3, 5), mask=mask)
    nothing = temporal_attention_loss(student, torch.randn(2, 4, 5), mask=torch.zeros_like(mask))
    assert nothing.item() == 0.0


def test_time_runs_along_an_axis_of_maps() -> None:
    """Maps (C, mels, frames); the teacher's as a sequence, too."""
    ours, theirs = torch.randn(2, 3, 4, 6), torch.randn(2, 5, 8, 6)
    energies = [np.abs(x.double().numpy()) ** 2 for x in (ours, theirs)]
    profiles = [[unit(one) for one in x.sum((1, 2))] for x in energies]
    expected = np.mean([((a - b) ** 2).sum() for a, b in zip(*profiles, strict=True)])
    pairs = [("a", "b")]
    loss = TemporalAttention(layers=pairs, axis="width")
    loss.build(facts((3, 4, 6), (5, 8, 6)))
    value = loss(outputs(a=ours), outputs(b=theirs), torch.zeros(2))
    assert value.item() == pytest.approx(expected, rel=1e-4)
    turned = TemporalAttention(layers=pairs, axis="height")
    swapped = outputs(a=ours.transpose(2, 3)), outputs(b=theirs.transpose(2, 3))
    assert turned(*swapped, torch.zeros(2)).item() == pytest.approx(expected, rel=1e-4)
    loss.build(facts((3, 4, 6), (6, 40)))
    sequence = outputs(b=theirs.flatten(1, 2).transpose(1, 2))
    value = loss(outputs(a=ours), sequence, torch.zeros(2))
    assert value.item() == pytest.approx(expected, rel=1e-4)
    with pytest.raises(RecipeError, match="axis says where time runs"):
        TemporalAttention(layers=pairs).build(facts((3, 4, 6), (5, 8, 6)))
    with pytest.raises(EdgekdError, match="axis must be"):
        TemporalAttention(layers=pairs, axis="time")  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(dtype: torch.dtype) -> None:
    student, teacher = torch.randn(2, 3, 4, 4), torch.randn(2, 3, 4, 4)
    for loss, shape in (
        (attention_transfer_loss, (2, 3, 4, 4)),
        (temporal_attention_loss, (2, 3, 16)),
    ):
        halves = student.reshape(shape).to(dtype), teacher.reshape(shape).to(dtype)
        found = loss(*halves)
        assert found.dtype == torch.float32
        exact = loss(halves[0].double(), halves[1].double())
        assert found.item() == pytest.approx(exact.item(), rel=1e-5)


def outputs(**features: torch.Tensor) -> Outputs:
    return Outputs(torch.zeros(2, 5), features)


def facts(student: tuple[int, ...], teacher: tuple[int, ...]) -> Facts:
    return Facts({"a": student}, {"b": teacher}, (5,), (5,), 10)


def test_modules_sum_their_pairs_and_leave_the_teacher_alone() -> None:
    a, b = torch.randn(2, 3, 4, 4, requires_grad=True), torch.randn(2, 6, 2, 2, requires_grad=True)
    loss = AttentionTransfer(layers=[("a", "b"), ("a", "b")], power=1.5)
    loss.build(facts((3, 4, 4), (6, 2, 2)))
    value = loss(outputs(a=a), outputs(b=b), torch.zeros(2))
    torch.testing.assert_close(value, 2 * attention_transfer_loss(a, b, power=1.5))
    value.backward()
    assert a.grad is not None and b.grad is None
    assert not list(loss.parameters())
    s, t = torch.randn(2, 5, 3, requires_grad=True), torch.randn(2, 7, 6, requires_grad=True)
    schedule = Schedule(schedule="linear", start=4.0, end=2.0)
    over_time = TemporalAttention(layers=[("a", "b")], normalise="softmax", temperature=schedule)
    over_time.build(facts((5, 3), (7, 6)))
    over_time.progress = 0.5
    value = over_time(outputs(a=s), outputs(b=t), torch.zeros(2))
    expected = temporal_attention_loss(s, t, normalise="softmax", temperature=3.0)
    torch.testing.assert_close(value, expected)
    value.backward()
    assert s.grad is not None and t.grad is None


@pytest.mark.parametrize(
    ("loss", "student", "teacher", "why"),
    [
        (AttentionTransfer, (5, 3), (6, 2, 2), "'temporal-attention'"),
        (AttentionTransfer, (3, 4, 4), (6, 1, 1), "one position"),
        (TemporalAttention, (3, 4, 4), (6, 2), "'attention-transfer'"),
        (TemporalAttention, (1, 4), (6, 2), "one moment"),
    ],
)
def test_layers_that_do_not_suit(
    loss: type[AttentionTransfer] | type[TemporalAttention],
    student: tuple[int, ...],
    teacher: tuple[int, ...],
    why: str,
) -> None:
    with pytest.raises(RecipeError, match=why) as caught:
        loss(layers=[("a", "b")]).build(facts(student, teacher))
    assert str(student) in caught.value.message and str(teacher) in caught.value.message


def test_options_that_cannot_be() -> None:
    pairs = [("a", "b")]
    with pytest.raises(EdgekdError, match="power must be at least 1"):
        AttentionTransfer(layers=pairs, power=0.5)
    with pytest.raises(EdgekdError, match="above 0"):
        TemporalAttention(layers=pairs, temperature=0.0)
    with pytest.raises(EdgekdError, match="normalise must be"):
        TemporalAttention(layers=pairs, normalise="max")  # type: ignore[arg-type]
    for loss in (AttentionTransfer(layers=pairs), TemporalAttention(layers=pairs)):
        with pytest.raises(EdgekdError, match="needs a teacher"):
            loss(outputs(a=torch.zeros(2, 3, 4)), None, torch.zeros(2))
