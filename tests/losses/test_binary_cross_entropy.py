"""Binary cross-entropy against scikit-learn's log loss and its definition in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import expit
from sklearn.metrics import log_loss

from edgekd.errors import DataError, EdgekdError
from edgekd.losses.base import Outputs
from edgekd.losses.binary_cross_entropy import BinaryCrossEntropy, binary_cross_entropy_loss


def batch(n: int = 9, classes: int = 4) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(scale=2, size=(n, classes)), rng.integers(0, 2, size=(n, classes))


def test_equals_scikit_learn() -> None:
    logits, target = batch()
    expected = np.mean(
        [log_loss(y, expit(z), labels=[0, 1]) for z, y in zip(logits, target, strict=True)]
    )
    value = binary_cross_entropy_loss(torch.tensor(logits), torch.tensor(target))
    assert value.item() == pytest.approx(expected)


@pytest.mark.parametrize(("weight", "smoothing"), [(3.0, 0.0), (1.0, 0.2), (0.5, 0.1)])
def test_weight_and_smoothing(weight: float, smoothing: float) -> None:
    logits, target = batch()
    q = np.where(target == 1, 1 - smoothing / 2, smoothing / 2)
    p = expit(logits)
    expected = -(weight * q * np.log(p) + (1 - q) * np.log(1 - p)).mean()
    loss = BinaryCrossEntropy(positive_weight=weight, label_smoothing=smoothing)
    value = loss(Outputs(torch.tensor(logits)), None, torch.tensor(target))
    assert value.item() == pytest.approx(expected)


@pytest.mark.parametrize("dtype", [torch.bool, torch.int64, torch.float32])
def test_targets_of_any_type(dtype: torch.dtype) -> None:
    logits, target = (torch.tensor(part) for part in batch())
    value = binary_cross_entropy_loss(logits, target.to(dtype))
    assert value.item() == pytest.approx(binary_cross_entropy_loss(logits, target.double()).item())


def test_a_class_index_is_one_yes_and_many_noes() -> None:
    logits = torch.tensor(batch()[0])
    index = torch.tensor([0, 1, 2, 3, 0, 1, 2, 3, 3])
    expected = binary_cross_entropy_loss(logits, torch.eye(4)[index])
    assert binary_cross_entropy_loss(logits, index).item() == pytest.approx(expected.item())


def test_one_output_takes_flat_targets() -> None:
    # -log sigmoid(1) = 0.313262 for the yes, -log sigmoid(-1) = 1.313262 for the no
    value = binary_cross_entropy_loss(torch.tensor([[1.0], [1.0]]), torch.tensor([1, 0]))
    assert value.item() == pytest.approx((0.313262 + 1.313262) / 2, abs=1e-6)


def test_errors() -> None:
    assert BinaryCrossEntropy.needs_teacher is False
    with pytest.raises(EdgekdError, match="above 0"):
        BinaryCrossEntropy(positive_weight=0.0)
    with pytest.raises(EdgekdError, match=r"\[0, 1\)"):
        BinaryCrossEntropy(label_smoothing=1.0)
    with pytest.raises(DataError, match=r"\(9, 3\).*\(9, 4\).*do not fit"):
        binary_cross_entropy_loss(torch.zeros(9, 4), torch.zeros(9, 3))
