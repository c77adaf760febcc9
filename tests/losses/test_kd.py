"""The distillation loss against numbers worked out with SciPy in float64, and its known traps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import log_softmax, rel_entr, softmax

from edgekd.errors import EdgekdError
from edgekd.losses.base import Outputs
from edgekd.losses.kd import KD, kd_loss


def reference(student: np.ndarray, teacher: np.ndarray, temperature: float) -> float:
    """Hinton's loss from its definition: relative entropy per sample, mean over samples, T^2."""
    p = softmax(teacher.astype(np.float64) / temperature, axis=-1)
    q = softmax(student.astype(np.float64) / temperature, axis=-1)
    return float(rel_entr(p, q).sum(axis=-1).mean() * temperature**2)


LOGITS = arrays(np.float32, (5, 7), elements=st.floats(-20, 20, width=32))


@given(LOGITS, LOGITS, st.sampled_from([1.0, 2.0, 4.0, 8.0]))
@settings(max_examples=60, deadline=None)
def test_equals_scipy(student: np.ndarray, teacher: np.ndarray, temperature: float) -> None:
    value = kd_loss(torch.tensor(student), torch.tensor(teacher), temperature=temperature)
    assert value.item() == pytest.approx(
        reference(student, teacher, temperature), rel=2e-4, abs=2e-4
    )


def test_golden_number() -> None:
    # softmax((2, 1, 0) / 2) against softmax((0, 1, 2) / 2), from SciPy's rel_entr, times T^2 = 4
    value = kd_loss(
        torch.tensor([[0.0, 1.0, 2.0]]), torch.tensor([[2.0, 1.0, 0.0]]), temperature=2.0
    )
    assert value.item() == pytest.approx(1.2806267, abs=1e-6)


def test_is_per_sample_not_per_sample_and_class() -> None:
    """`nn.KLDivLoss()` divides by N * C; the loss here must not depend on repeating the batch."""
    rng = np.random.default_rng(0)
    s, t = (torch.tensor(rng.normal(size=(4, 10)), dtype=torch.float32) for _ in range(2))
    once = kd_loss(s, t, temperature=4.0)
    assert torch.allclose(once, kd_loss(s.repeat(3, 1), t.repeat(3, 1), temperature=4.0))
    default = torch.nn.KLDivLoss()  # the shipped bug, measured as about 160 x at C=10, T=4
    with pytest.warns(UserWarning, match="batchmean"):
        wrong = default((s / 4).log_softmax(-1), (t / 4).softmax(-1))
    assert (once / wrong).item() == pytest.approx(160.0, rel=1e-3)


def test_gradient_size_does_not_depend_on_temperature() -> None:
    """At a high temperature the gradient tends to (z_s - z_t) / C with zero-mean logits."""
    rng = np.random.default_rng(1)
    s = rng.normal(size=(1, 10))
    t = rng.normal(size=(1, 10))
    s -= s.mean()
    t -= t.mean()
    student = torch.tensor(s, requires_grad=True)
    kd_loss(student, torch.tensor(t), temperature=1000.0).backward()
    assert student.grad is not None
    np.testing.assert_allclose(student.grad.numpy(), (s - t) / 10, rtol=5e-3, atol=5e-5)


def test_no_gradient_reaches_the_teacher() -> None:
    student = torch.randn(3, 4, requires_grad=True)
    teacher = torch.randn(3, 4, requires_grad=True)
    kd_loss(student, teacher, temperature=2.0).backward()
    assert teacher.grad is None
    assert student.grad is not None


def test_zero_where_student_is_teacher() -> None:
    logits = torch.randn(6, 10)
    assert kd_loss(logits, logits, temperature=3.0).item() == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_logits_are_computed_in_float32(dtype: torch.dtype) -> None:
    student, teacher = torch.tensor([[30.0, -30.0]]), torch.tensor([[-30.0, 30.0]])
    value = kd_loss(student.to(dtype), teacher.to(dtype), temperature=1.0)
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(reference(student.numpy(), teacher.numpy(), 1.0), rel=1e-5)


def test_module_and_errors() -> None:
    loss = KD(temperature=2.0)
    s, t = torch.randn(2, 3), torch.randn(2, 3)
    target = torch.zeros(2, dtype=torch.long)
    assert torch.equal(loss(Outputs(s), Outputs(t), target), kd_loss(s, t, temperature=2.0))
    with pytest.raises(EdgekdError, match="needs a teacher"):
        loss(Outputs(s), None, target)
    with pytest.raises(EdgekdError, match="above 0"):
        KD(temperature=0.0)


def test_reference_agrees_with_the_log_form() -> None:
    """The reference itself, against the other way to write it."""
    rng = np.random.default_rng(2)
    s, t = rng.normal(size=(2, 8, 5))
    log_p, log_q = log_softmax(t / 3, axis=-1), log_softmax(s / 3, axis=-1)
    other = (np.exp(log_p) * (log_p - log_q)).sum(-1).mean() * 9
    assert reference(s, t, 3.0) == pytest.approx(other)
