from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from edgekd.errors import DataError
from edgekd.metrics.classes import per_class_accuracy
from edgekd.metrics.divergence import mean_kl, negative_log_likelihood
from edgekd.metrics.probabilities import confidences, logits_of, looks_like_probabilities


@given(st.integers(1, 20), st.integers(2, 6), st.integers(0, 2**32))
def test_kl_and_nll_are_those_of_torch(n: int, c: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = 4 * rng.normal(size=(2, n, c))
    targets = rng.integers(0, c, n)
    log_q = torch.log_softmax(torch.from_numpy(b), 1)
    log_p = torch.log_softmax(torch.from_numpy(a), 1)
    kl = torch.nn.functional.kl_div(log_q, log_p, log_target=True, reduction="batchmean")
    assert mean_kl(a, b) == pytest.approx(float(kl), abs=1e-10)
    assert mean_kl(a, a + 3.0) == pytest.approx(0.0, abs=1e-12)
    nll = torch.nn.functional.cross_entropy(torch.from_numpy(a) / 2, torch.from_numpy(targets))
    assert negative_log_likelihood(a, targets, 2.0) == pytest.approx(float(nll))


def test_confidence_is_the_largest_probability() -> None:
    assert confidences(np.log([[0.2, 0.7, 0.1]])) == pytest.approx([0.7])
    assert confidences(np.array([[1e4, 0.0]])) == pytest.approx([1.0])


def test_probabilities_are_told_from_logits() -> None:
    p = torch.softmax(torch.randn(50, 10, generator=torch.Generator().manual_seed(0)), 1).numpy()
    assert looks_like_probabilities(p)
    assert looks_like_probabilities(np.round(p * 256) / 256)
    assert not looks_like_probabilities(np.log(p))
    assert not looks_like_probabilities(np.abs(np.log(p)))
    assert not looks_like_probabilities(np.empty((0, 3)))
    again = torch.softmax(torch.from_numpy(logits_of(p)), 1).numpy()
    assert again == pytest.approx(p, abs=1e-3)


def test_a_probability_of_zero_stays_finite() -> None:
    assert np.isfinite(logits_of(np.array([[1.0, 0.0]]))).all()


def test_per_class_accuracy_by_hand() -> None:
    logits = np.eye(4)[[0, 0, 1, 2, 2, 2]]
    targets = np.array([0, 1, 1, 2, 2, 0])
    assert per_class_accuracy(logits, targets) == (0.5, 0.5, 1.0, None)
    with pytest.raises(DataError):
        per_class_accuracy(logits, targets[:3])


def test_refused() -> None:
    with pytest.raises(DataError, match="do not fit"):
        mean_kl(np.zeros((2, 3)), np.zeros((2, 4)))
    with pytest.raises(DataError, match="shape"):
        mean_kl(np.zeros((0, 3)), np.zeros((0, 3)))
    with pytest.raises(DataError, match="infinite"):
        mean_kl(np.array([[np.inf, 0.0]]), np.zeros((1, 2)))
