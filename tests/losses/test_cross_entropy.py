"""Cross-entropy against numbers worked out with SciPy in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import log_softmax

from edgekd.errors import EdgekdError
from edgekd.losses.base import Outputs
from edgekd.losses.cross_entropy import CrossEntropy


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
def test_equals_scipy(smoothing: float) -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(scale=3, size=(9, 6))
    target = rng.integers(0, 6, size=9)
    soft = np.full((9, 6), smoothing / 6)
    soft[np.arange(9), target] += 1 - smoothing
    expected = -(soft * log_softmax(logits, axis=-1)).sum(-1).mean()
    value = CrossEntropy(label_smoothing=smoothing)(
        Outputs(torch.tensor(logits, dtype=torch.float32)), None, torch.tensor(target)
    )
    assert value.item() == pytest.approx(expected, rel=1e-5)


def test_needs_no_teacher() -> None:
    assert CrossEntropy.needs_teacher is False


def test_refuses_a_smoothing_of_one() -> None:
    with pytest.raises(EdgekdError, match=r"\[0, 1\)"):
        CrossEntropy(label_smoothing=1.0)
