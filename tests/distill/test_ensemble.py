"""Several teachers as one, each way of averaging and weighing against plain NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import log_softmax, softmax

from edgekd.distill.ensemble import by_confidence, by_correctness, combine
from edgekd.losses.base import Outputs
from edgekd.recipe import EnsembleSpec

RANDOM = np.random.default_rng(0)
LOGITS = {name: RANDOM.normal(size=(5, 4)) * 3 for name in ("a", "b", "c")}
WEIGHTS = {"a": 1.0, "b": 2.0, "c": 1.0}
LABELS = np.array([0, 3, 1, 2, 2])


def combined(labels: np.ndarray | None = None, seed: int = 0, **options: object) -> np.ndarray:
    answers = {name: Outputs(torch.tensor(value)) for name, value in LOGITS.items()}
    targets = None if labels is None else torch.tensor(labels)
    spec = EnsembleSpec.model_validate(options)
    return combine(answers, WEIGHTS, spec, targets=targets, seed=seed).logits.numpy()


def mean(shares: np.ndarray) -> np.ndarray:
    """The mean of the teachers' probabilities, with shares (3, 1) or (3, 5)."""
    soft = np.stack([softmax(value, axis=1) for value in LOGITS.values()])
    return (shares[:, :, None] * soft).sum(0)


def test_one_teacher_is_itself_with_its_features() -> None:
    only = Outputs(torch.ones(2, 3), {"layer": torch.zeros(2, 5)})
    assert combine({"a": only}, {"a": 7.0}, EnsembleSpec()) is only


def test_probabilities_are_averaged() -> None:
    shares = np.array([[0.25], [0.5], [0.25]])
    np.testing.assert_allclose(np.exp(combined()), mean(shares), rtol=1e-5)


def test_a_loss_at_the_same_temperature_sees_the_mean_of_what_is_softened() -> None:
    found = softmax(combined(temperature=4.0) / 4.0, axis=1)
    soft = [softmax(value / 4.0, axis=1) for value in LOGITS.values()]
    np.testing.assert_allclose(found, np.average(soft, axis=0, weights=[1, 2, 1]), rtol=1e-5)


def test_logits_are_averaged() -> None:
    wanted = np.average(list(LOGITS.values()), axis=0, weights=[1, 2, 1])
    np.testing.assert_allclose(combined(average="logits"), wanted, rtol=1e-5)


def test_the_sure_weigh_more() -> None:
    soft = np.stack([softmax(value, axis=1) for value in LOGITS.values()])
    shares = np.array([[1.0], [2.0], [1.0]]) * np.exp((soft * np.log(soft)).sum(-1))
    shares /= shares.sum(0)
    np.testing.assert_allclose(np.exp(combined(weigh="confidence")), mean(shares), rtol=1e-4)


def test_the_right_weigh_more() -> None:
    """Against the formula of CA-MKD, written out."""
    loss = np.stack([-log_softmax(v, axis=1)[np.arange(5), LABELS] for v in LOGITS.values()])
    camkd = (1 - np.exp(loss) / np.exp(loss).sum(0)) / 2
    shares = np.array([[1.0], [2.0], [1.0]]) * camkd
    shares /= shares.sum(0)
    found = combined(LABELS, weigh="correctness")
    np.testing.assert_allclose(np.exp(found), mean(shares), rtol=1e-4)
    logits = torch.tensor(np.stack(list(LOGITS.values())))
    soft = torch.nn.functional.one_hot(torch.tensor(LABELS), 4).double()
    assert torch.allclose(
        by_correctness(logits, soft), by_correctness(logits, torch.tensor(LABELS))
    )


def test_without_a_label_all_count_alike() -> None:
    labels = LABELS.copy()
    labels[1] = -1
    fixed, weighed = combined(), combined(labels, weigh="correctness")
    np.testing.assert_allclose(weighed[1], fixed[1], rtol=1e-5)
    assert np.abs(weighed[0] - fixed[0]).max() > 1e-3
    mixed = torch.full((5, 4), torch.nan)
    logits = torch.tensor(np.stack(list(LOGITS.values())))
    assert torch.equal(by_correctness(logits, mixed), torch.ones(3, 5, dtype=torch.float64))


def test_one_at_random_by_weight() -> None:
    drawn = [combined(seed=seed, weigh="random") for seed in range(400)]
    alone = {name: log_softmax(value, axis=1) for name, value in LOGITS.items()}
    counts = {
        name: sum(np.allclose(found, value, atol=1e-4) for found in drawn)
        for name, value in alone.items()
    }
    assert sum(counts.values()) == 400
    assert counts["b"] == pytest.approx(200, abs=40)  # four standard deviations
    np.testing.assert_array_equal(drawn[0], combined(seed=0, weigh="random"))


def test_tokens() -> None:
    """(N, L, C): a share for each sample."""
    answers = {name: Outputs(torch.randn(2, 3, 4)) for name in "ab"}
    logits = torch.stack([answer.logits for answer in answers.values()])
    assert by_confidence(logits).shape == (2, 2)
    spec = EnsembleSpec(weigh="confidence")
    assert combine(answers, {"a": 1.0, "b": 1.0}, spec).logits.shape == (2, 3, 4)
