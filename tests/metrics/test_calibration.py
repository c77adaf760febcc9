from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from edgekd.errors import DataError
from edgekd.metrics.calibration import (
    LIMITS,
    at_limit,
    expected_calibration_error,
    fit_temperature,
    reliability,
)
from edgekd.metrics.divergence import negative_log_likelihood


def samples(n: int, c: int, seed: int, sharp: float = 3.0) -> tuple[np.ndarray, np.ndarray]:
    """Logits, and labels drawn from their softmax at temperature 2: overconfident by that."""
    rng = np.random.default_rng(seed)
    logits = sharp * rng.normal(size=(n, c))
    p = torch.softmax(torch.from_numpy(logits) / 2.0, 1).numpy()
    return logits, np.array([rng.choice(c, p=row / row.sum()) for row in p])


def ece_by_loop(logits: np.ndarray, targets: np.ndarray, bins: int) -> float:
    """The definition, sample by sample."""
    sums = [[0.0, 0.0] for _ in range(bins)]
    for row, target in zip(logits, targets, strict=True):
        p = [math.exp(v - max(row)) for v in row]
        sure = max(p) / sum(p)
        index = min(bins - 1, max(0, math.ceil(sure * bins) - 1))
        sums[index][0] += sure
        sums[index][1] += float(int(np.argmax(row)) == target)
    return sum(abs(a - b) for a, b in sums) / len(targets)


@given(st.integers(1, 60), st.integers(2, 6), st.integers(2, 20), st.integers(0, 2**32))
def test_ece_is_that_of_a_loop(n: int, c: int, bins: int, seed: int) -> None:
    logits, targets = samples(n, c, seed)
    found = expected_calibration_error(logits, targets, bins=bins)
    assert found == pytest.approx(ece_by_loop(logits, targets, bins), abs=1e-9)


def test_bins_hold_every_sample_once() -> None:
    logits, targets = samples(300, 4, 0)
    found = reliability(logits, targets)
    assert len(found) == 15
    assert sum(one.samples for one in found) == 300
    assert [one.low for one in found] == pytest.approx([i / 15 for i in range(15)])
    assert all(one.samples == 0 for one in found[:3]), "no confidence is below 1/4"
    for one in found:
        if one.confidence is not None:
            assert one.low <= one.confidence <= one.high
        else:
            assert one.accuracy is None


def test_certainty_is_in_the_last_bin() -> None:
    found = reliability(np.array([[1000.0, 0.0]]), np.array([0]))
    assert (found[-1].samples, found[-1].confidence, found[-1].accuracy) == (1, 1.0, 1.0)
    assert expected_calibration_error(np.array([[1000.0, 0.0]]), np.array([0])) == 0.0


def test_temperature_is_that_of_gradient_descent() -> None:
    logits, targets = samples(2000, 5, 1)
    log_t = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([log_t], max_iter=100)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        scaled = torch.from_numpy(logits) / log_t.exp()
        loss = torch.nn.functional.cross_entropy(scaled, torch.from_numpy(targets))
        loss.backward()
        return loss

    optimizer.step(closure)
    found = fit_temperature(logits, targets)
    assert found == pytest.approx(float(log_t.detach().exp()), rel=1e-3)
    assert found == pytest.approx(2.0, abs=0.15), "the temperature that the labels came from"
    other, labels = samples(2000, 5, 2)
    before = expected_calibration_error(other, labels)
    assert expected_calibration_error(other, labels, temperature=found) < before / 3
    assert negative_log_likelihood(other, labels, found) < negative_log_likelihood(other, labels)


def test_no_temperature_is_small_enough_where_all_is_right() -> None:
    found = fit_temperature(np.array([[2.0, 0.0], [0.0, 2.0]]), np.array([0, 1]))
    assert found == pytest.approx(LIMITS[0], rel=1e-3)
    assert at_limit(found)
    assert not at_limit(1.0)


def test_refused() -> None:
    with pytest.raises(DataError, match="sample 1 are NaN"):
        expected_calibration_error(np.array([[0.0, 1.0], [np.nan, 0.0]]), np.array([0, 0]))
    with pytest.raises(DataError, match="do not fit"):
        fit_temperature(np.zeros((2, 3)), np.array([0, 3]))
